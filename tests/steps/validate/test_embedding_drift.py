"""Drift of what screens show, with real TensorFlow on drawn screens and a backbone of random weights."""

import functools
import json
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.dataset.snapshot import Batch
from steps.network.runtime import start_tensorflow
from steps.validate import embedding_drift as module
from steps.validate.embedding_drift import embed, embedding_drift, sample_by_group
from steps.validate.image_facts import picture_of
from tests.steps.conftest import Workspace

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.network.backbone import build_model  # noqa: E402

pytestmark = pytest.mark.integration

BACKBONE = "small"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "stock.weights.h5"
    size = module.SIDE
    stock = keras.applications.MobileNetV3Small(
        input_shape=(size, size, 3), weights=None, include_top=False, pooling="avg"
    )
    rng, drawn = np.random.default_rng(3), []
    for variable in stock.weights:
        value = variable.numpy()
        if value.ndim == 4:
            # Of a variance at which a picture's differences neither fade nor grow from layer to layer.
            inputs = value[..., 0].size if "depthwise" not in variable.name else value[..., 0, 0].size
            value = rng.normal(0, np.sqrt(2 / inputs), value.shape)
        drawn.append(value)
    stock.set_weights(drawn)
    stock.save_weights(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def _built_once():
    """Building the backbone takes seconds, and is the same for every test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_features", functools.cache(module._features))
        yield


def screen(seed, *, lines):
    """A screen of lines, as of text, or of round tokens, in colours that both have."""
    rng = np.random.default_rng(seed)
    pixels = np.full((240, 108, 3), 230, np.uint8)
    for n in range(24):
        x, y, colour = int(rng.integers(108)), int(rng.integers(240)), rng.integers(0, 120, 3).tolist()
        if lines:
            cv2.rectangle(pixels, (0, 10 * n), (x, 10 * n + 3), colour, -1)
        else:
            cv2.circle(pixels, (x, y), 24, colour, -1)
    return picture_of(pixels)


def side(name, count, *, lines, seed):
    """Two screens of each of `count` apps: their pictures and their groups."""
    pictures = {f"{name}{n}": screen(seed + n, lines=lines) for n in range(2 * count)}
    return pictures, {f"{name}{n}": f"{name}-app-{n // 2}" for n in range(2 * count)}


@pytest.fixture(scope="module")
def lines():
    return side("a", 40, lines=True, seed=0)


@pytest.fixture(scope="module")
def tokens():
    return side("b", 40, lines=False, seed=1000)


def drift(base, new, weights, limit=0.2):
    groups = [sample_by_group({name: given.get(name) for name in pictures}) for pictures, given in (base, new)]
    pictures = [{name: side[0][name] for name in drawn} for side, drawn in zip((base, new), groups, strict=True)]
    return embedding_drift(*pictures, *groups, weights=weights, backbone=BACKBONE, limit=limit)


def test_other_screens_have_drifted(lines, tokens, weights):
    found = drift(lines, tokens, weights)
    assert (found.feature, found.limit) == ("embedding", 0.2)
    assert (found.n_base, found.n_new) == (20, 20)
    assert found.drifted


def test_more_screens_of_the_same_kind_have_not(lines, weights):
    assert not drift(lines, side("c", 40, lines=True, seed=2000), weights).drifted


def test_the_same_samples_give_the_same_drift(lines, tokens, weights):
    backwards = [dict(reversed(part.items())) for part in lines]
    assert drift(lines, tokens, weights) == drift(backwards, tokens, weights)


def test_screenshots_without_a_group_stand_for_themselves(lines, tokens, weights):
    alone = [
        (pictures, dict.fromkeys(pictures, missing))
        for (pictures, _), missing in zip((lines, tokens), (None, np.nan), strict=True)
    ]
    found = drift(*alone, weights)
    assert (found.n_base, found.n_new) == (40, 40)
    assert found == drift((lines[0], {}), (tokens[0], {}), weights)


def test_of_a_large_side_a_sample_counts(lines, tokens, weights, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "embed", lambda pictures, *_: seen.append(len(pictures)) or embed(pictures, *_))
    many = {f"{name}-{copy}": picture for name, picture in lines[0].items() for copy in range(30)}
    groups = {name: lines[1][name.split("-")[0]] for name in many}
    assert drift((many, groups), tokens, weights).n_base == 20
    assert seen == [module.SAMPLE + len(tokens[0])]


def test_of_nothing_nothing_is_known_and_tensorflow_is_not_needed(lines, tmp_path):
    found = drift(lines, ({}, {}), tmp_path / "no weights")
    assert (found.distance, found.lower, found.drifted) == (0.0, 0.0, False)


def test_embeddings_are_those_of_the_pooling_layer(lines, weights):
    pictures = dict(list(lines[0].items())[:3])
    found = embed(list(pictures.values()), weights, BACKBONE)
    assert found.dtype == np.float16
    model = build_model(BACKBONE, module.SIDE, pretrained=weights)
    tiles = [cv2.resize(simplejpeg.decode_jpeg(p), (128, 128), interpolation=cv2.INTER_AREA) for p in pictures.values()]
    wanted = keras.Model(model.input, model.get_layer("pool").output)(np.stack(tiles).astype(np.float32)).numpy()
    assert found.shape == wanted.shape == (3, 576)
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(found.astype(np.float32), wanted, rtol=2e-3, atol=1e-4)


def test_a_picture_has_the_same_embedding_in_every_batch(lines, weights):
    pictures = list(lines[0].values())
    together = embed(pictures, weights, BACKBONE).astype(np.float32)
    assert len(together) == 80
    for at in (0, 63, 64, 79):
        alone = embed(pictures[at : at + 1], weights, BACKBONE).astype(np.float32)
        np.testing.assert_allclose(alone[0], together[at], rtol=2e-3, atol=1e-4)


def test_no_picture_has_no_embedding(weights):
    assert embed([], weights, BACKBONE).shape == (0, 576)


def test_what_is_no_jpeg_is_refused(weights):
    with pytest.raises(UserError, match="small picture of a screenshot cannot be read"):
        embed([b"no picture"], weights, BACKBONE)


@pytest.mark.parametrize(("backbone", "says"), [("huge", "backbone 'huge'"), ("large", "holds no weights of")])
def test_what_does_not_fit_is_refused(lines, weights, backbone, says):
    with pytest.raises(UserError, match=says):
        embed(list(lines[0].values())[:1], weights, backbone)


def test_tensorflow_is_imported_only_when_it_is_needed():
    program = (
        "import sys, steps.validate.embedding_drift; print([m for m in ('tensorflow', 'tf_keras') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


NAMES = st.dictionaries(st.text("abc", min_size=1), st.sampled_from(["x", "y", "z", None, np.nan]), max_size=40)


@given(NAMES, st.integers(0, 30))
def test_a_sample_takes_as_evenly_from_all_groups_as_they_allow(groups, most):
    drawn = list(sample_by_group(groups, most))
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(groups)
    assert len(drawn) == min(most, len(groups))
    whole = pd.Series(
        {name: group if isinstance(group, str) else name + "!" for name, group in groups.items()}, dtype=object
    )
    taken = whole[drawn].value_counts()
    left = whole.drop(drawn)
    for group in left.unique():
        assert taken.get(group, 0) >= taken.max() - 1 if len(taken) else most == 0


@given(NAMES, st.integers(0, 30), st.randoms())
def test_a_sample_does_not_depend_on_the_order(groups, most, random):
    shuffled = list(groups.items())
    random.shuffle(shuffled)
    assert sample_by_group(dict(shuffled), most) == sample_by_group(groups, most)


def test_validation_compares_embeddings_where_it_is_given_weights(tmp_path, weights):
    made = Workspace(tmp_path)
    made.draw(60)
    reference = Batch("b-reference", ".", "2" * 64, "reference")
    folder = made.labelled / reference.name
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.jpg").write_bytes(screen(number, lines=True))
    made.plan_for([Batch("b-test", "m.manifest", "0" * 64), reference])
    assert made.validate("--pretrained", str(weights.parent)) == 0
    told = json.loads((made.report / "validation.json").read_text())
    assert 0 < told["drift"]["drift-reference"]["embedding"]["distance"] <= 1
    assert "embedding" in (made.report / "report.html").read_text()

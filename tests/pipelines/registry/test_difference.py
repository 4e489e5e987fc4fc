"""Two versions side by side, read from archives that hold what ConvertToTFLite writes into them."""

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.cli.models import print_difference
from pipelines.registry.difference import as_json, batches_of_one, facts, hyperparameters, read_side
from pipelines.registry.opening import OpenedRegistry
from pipelines.registry.protocol import RegistryError
from pipelines.storage.folder import FolderObjects
from steps.convert.bundle import device_contract
from steps.core.common.files import write_json
from steps.core.dataset.snapshot import Batch, Place, write_snapshot
from steps.core.gate.limits import Limits
from steps.core.tiles.spec import PreprocessingSpec
from steps.evaluate.evaluation import evaluate
from steps.network.archive import pack
from steps.network.head import Head

DEMANDS = {"operators": ["ADD"], "min_runtime_version": "2.3.0"}
BATCHES = {
    "d1": [Batch("b-1", "labels.csv", "1" * 64), Batch("b-2", "labels.csv", "2" * 64)],
    "d2": [Batch("b-1", "labels.csv", "1" * 64), Batch("b-3", "labels.csv", "3" * 64)],
}


def judged(noise, **subject):
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 4 == 0
    frame = pd.DataFrame({"id": [f"{n:064x}" for n in range(4000)], "uri": "u", "label": labels.astype(int)})
    frame = frame.assign(
        group=frame["id"],
        split=np.where(np.arange(4000) % 8 < 4, "calibration", "test"),
        width=1080,
        height=2400,
        score=np.clip(0.2 + 0.6 * labels + rng.normal(0, noise, 4000), 0, 1),
    )
    return evaluate(frame, Limits(max_fpr=0.01, min_tpr=0.1), subject)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Pack two judged models: the second is smaller, worse, and was trained with another dropout."""
    made = []
    for number, (noise, size, dropout, kind) in enumerate([(0.03, 4_000_000, 0.2, "float32"), (0.2, 1e6, 0.4, "int8")]):
        trained = {"dropout": dropout, "backbone": "small", "loss": "cross-entropy"}
        evaluation = judged(noise, hyperparameters=trained)
        subject = {"model": str(number) * 64, "bytes": int(size), "quantization": kind, "flipped_decisions": 0.001}
        spec, head = PreprocessingSpec(tile_size=96), Head.of(np.ones(9), -1.0)
        folder = tmp_path_factory.mktemp("bundle")
        evaluation.write_verdict(folder)
        write_json(folder / "model.json", device_contract(evaluation, spec, head, subject, demands=DEMANDS))
        pack(folder, folder.parent / f"{number}" / "model.tar.gz")
        made.append(folder.parent / f"{number}" / "model.tar.gz")
    return made


@pytest.fixture
def sides(registry, archives, request_of, tmp_path):
    store = FolderObjects(tmp_path / "data", "data")
    for digest, batches in BATCHES.items():
        write_snapshot(tmp_path / "data" / "datasets" / digest, batches, Place())
    for number, path in enumerate(archives, 1):
        told = {"dataset": f"s3://data/datasets/d{number}", "model_image": f"images/tilegate-model@sha256:{number:064}"}
        registry.register(request_of(CustomerMetadataProperties=told), path)
    registry.approve("screenshots", 1, by="Ann", reason="good")
    versions = registry.versions("screenshots")
    return [
        read_side(registry, version, OpenedRegistry(registry, "screenshots", store).batches) for version in versions
    ]


def test_figures_come_from_the_verified_archives_with_their_bounds(sides):
    found = {fact.name: fact for fact in facts(*sides)}
    assert (found["status"].a, found["status"].b) == ("Approved", "PendingManualApproval")
    assert (found["champion"].a, found["champion"].b) == ("yes", "no")
    assert (found["gate"].a, found["gate"].b) == ("passed", "passed")
    rate = found["FPR"].a
    assert rate["lower"] <= rate["value"] <= rate["upper"] <= 0.01
    assert (rate["trials"], found["test negatives"].a, found["test positives"].a) == (1500, 1500, 500)
    assert found["TPR"].b["value"] < found["TPR"].a["value"]
    assert (found["model.tflite"].a, found["model.tflite"].b) == (4_000_000, 1_000_000)
    assert (found["variant"].a, found["variant"].b) == ("float32", "int8")
    assert found["threshold"].a != found["threshold"].b
    assert found["dataset"].a == "d1"


def test_hyperparameters_and_batches_tell_how_each_was_made(sides):
    assert {fact.name: (fact.a, fact.b) for fact in hyperparameters(*sides)} == {
        "backbone": ("small", "small"),
        "dropout": (0.2, 0.4),
        "loss": ("cross-entropy", "cross-entropy"),
    }
    assert batches_of_one(*sides) == (["b-2"], ["b-3"])


def test_the_table_fits_a_hundred_columns_and_marks_what_differs(sides, capsys):
    print_difference(*sides)
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 100
    (dropout,) = (line for line in lines if "dropout" in line)
    assert dropout.split() == ["*", "dropout", "0.2", "0.4"]
    assert not any("backbone" in line for line in lines)
    assert "  2 hyperparameters are the same in both" in lines
    assert "  batch b-3 is in B alone" in lines
    assert next(line for line in lines if "tile size" in line).startswith("  tile size")
    (image,) = (line for line in lines if "model image" in line)
    assert image.endswith("2")


def test_the_same_version_twice_differs_in_nothing(sides, capsys):
    print_difference(sides[0], sides[0])
    text = capsys.readouterr().out
    assert not any(line.startswith("*") for line in text.splitlines())
    assert "Both saw the same batches." in text


def test_scripts_get_strict_json_with_everything(sides):
    found = json.loads(json.dumps(as_json(*sides), allow_nan=False))
    assert found["a"]["version"] == 1
    assert found["a"]["decisions"][0]["by"] == "Ann"
    assert found["facts"]["FPR limit"] == {"a": 0.01, "b": 0.01}
    assert found["hyperparameters"]["dropout"] == {"a": 0.2, "b": 0.4}
    assert found["batches"] == {"only_a": ["b-2"], "only_b": ["b-3"]}


def test_a_snapshot_that_is_not_at_hand_is_said_and_hides_nothing_else(registry, archives, request_of, capsys):
    for path in archives:
        registry.register(request_of(), path)
    a, b = (read_side(registry, version, lambda _: None) for version in registry.versions("screenshots"))
    print_difference(a, b)
    text = capsys.readouterr().out
    assert "The dataset of A and B is not at hand" in text
    assert "model.tflite" in text
    assert as_json(a, b)["batches"] is None


def test_an_archive_that_says_nothing_of_itself_is_compared_by_what_the_registry_knows(registry, bundle, request_of):
    for text in "ab":
        registry.register(request_of(), bundle(text))
    a, b = (read_side(registry, version, lambda _: None) for version in registry.versions("screenshots"))
    assert {fact.name for fact in facts(a, b)} == {"status", "champion", "dataset", "execution"}


def test_a_changed_archive_is_not_compared(cloud, archives, request_of):
    registry = cloud.registry()
    made = registry.register(request_of(), archives[0])
    cloud.objects.put(made.artifact_uri.removeprefix(cloud.objects.uri()), b"another")
    with pytest.raises(RegistryError, match="it was changed since"):
        read_side(registry, made, lambda _: None)

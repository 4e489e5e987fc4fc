"""The backbone: Keras's own by its weights, and whatever else a file holds is refused before it is believed."""

import zipfile
from io import BytesIO

import h5py
import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.network.backbone import POOL, block_names, build_model, load_weights, save_weights, unfreeze  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]


def stock(backbone, size):
    kind = keras.applications.MobileNetV3Small if backbone == "small" else keras.applications.MobileNetV3Large
    return kind(
        input_shape=(size, size, 3), weights=None, include_top=False, pooling="avg", minimalistic=backbone != "small"
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of the stock MobileNetV3Small in a file of Keras's."""
    path = tmp_path_factory.mktemp("stock") / "stock.weights.h5"
    stock("small", 32).save_weights(path)
    return path


@pytest.mark.parametrize(("backbone", "suffix"), [("small", ".weights.h5"), ("large-minimalistic", ".h5")])
def test_the_backbone_is_kerass_own_with_kerass_weights(backbone, suffix, tmp_path):
    """In both of Keras's forms: numbered layers, and, as its releases are, layers by their names."""
    model = stock(backbone, 64)
    rng = np.random.default_rng(1)
    drawn = [
        rng.uniform(0.5, 1.5, w.shape) if "variance" in w.name else rng.normal(0, 0.1, w.shape) for w in model.weights
    ]
    model.set_weights(drawn)
    model.save_weights(tmp_path / f"stock{suffix}")
    ours = build_model(backbone, 64, pretrained=tmp_path / f"stock{suffix}")
    pooled = keras.Model(ours.input, ours.get_layer(POOL).output)
    tiles = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    expected = model(tiles).numpy()
    assert np.abs(pooled(tiles).numpy() - expected).max() <= 1e-4 * np.abs(expected).max()
    # The features begin with those of the last layer and hold earlier ones beside them.
    assert (ours(tiles).numpy()[:, : expected.shape[1]] == pooled(tiles).numpy()).all()
    assert ours.output_shape[-1] > expected.shape[1]


def test_weights_of_another_backbone_are_refused(weights):
    with pytest.raises(UserError, match="holds no weights of mobilenetv3-large-minimalistic"):
        build_model("large-minimalistic", 32, pretrained=weights)
    with pytest.raises(UserError, match="one of small, large"):
        build_model("huge", 32)


FIRST = "layers/conv2d/vars/0"


def outside(file, folder):
    (folder / "secret").write_bytes(b"root:x:0:0" * 1000)
    file.create_dataset(FIRST, (3, 3, 3, 16), "f4", external=[(str(folder / "secret"), 0, 4 * 432)])


def linked(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["there"] = np.zeros((3, 3, 3, 16), np.float32)
    file[FIRST] = h5py.ExternalLink(str(folder / "other.h5"), "there")


def virtual(file, folder):
    with h5py.File(folder / "source.h5", "w") as other:
        other["there"] = np.zeros((3, 3, 3, 16), np.float32)
    layout = h5py.VirtualLayout((3, 3, 3, 16), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "source.h5"), "there", shape=(3, 3, 3, 16))
    file.create_virtual_dataset(FIRST, layout)


def huge(file, _):
    file.create_dataset(FIRST, (200_000, 200_000), "f4", chunks=True)


def no_number(file, _):
    file[FIRST] = np.full((3, 3, 3, 16), np.nan, np.float32)


def a_group(file, _):
    file.create_group(FIRST)


@pytest.mark.parametrize("attack", [outside, linked, virtual, huge, no_number, a_group], ids=lambda one: one.__name__)
def test_a_file_that_points_outside_or_holds_no_weights_is_refused(weights, tmp_path, attack):
    path = tmp_path / "bad.weights.h5"
    path.write_bytes(weights.read_bytes())
    with h5py.File(path, "r+") as file:
        del file[FIRST]
        attack(file, tmp_path)
    with pytest.raises(UserError, match=r"bad\.weights\.h5 holds no weights of mobilenetv3-small"):
        build_model("small", 32, pretrained=path)


def test_damaged_bytes_end_in_a_sentence(weights, tmp_path):
    whole, path = weights.read_bytes(), tmp_path / "bad.weights.h5"
    random = np.random.default_rng(3)
    for damaged in (b"nothing", whole[: len(whole) // 2], *(flipped(whole, random) for _ in range(20))):
        path.write_bytes(damaged)
        try:
            build_model("small", 32, pretrained=path)
        except UserError as error:
            assert "bad.weights.h5" in str(error)  # noqa: PT017 - a flipped bit of a weight is another weight


def flipped(whole, random):
    data = bytearray(whole)
    for at in random.integers(0, 4000, 5):
        data[at] ^= 1 << int(random.integers(8))
    return bytes(data)


def test_saved_weights_come_back_and_nothing_else_is_read(tmp_path):
    model = build_model("small-minimalistic", 32)
    save_weights(model, tmp_path / "backbone.npz")
    other = load_weights(build_model("small-minimalistic", 32), tmp_path / "backbone.npz")
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    with pytest.raises(UserError, match="does not hold this model's weights"):
        load_weights(build_model("small", 32), tmp_path / "backbone.npz")


def array(values, **options):
    out = BytesIO()
    np.save(out, values, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "member",
    [
        b"no array",
        array(np.zeros((3, 3, 3, 17), np.float32)),
        array(np.full((3, 3, 3, 16), np.inf, np.float32)),
        array(np.zeros((3, 3, 3, 16), np.float64)),
        array(np.array([print] * 432, object).reshape(3, 3, 3, 16), allow_pickle=True),
        array(np.zeros((3, 3, 3, 16), np.float32))[:-9],
    ],
    ids=["text", "shape", "infinite", "double", "pickle", "short"],
)
def test_a_member_that_is_not_the_wanted_array_is_refused(tmp_path, member):
    model = build_model("small-minimalistic", 32)
    save_weights(model, tmp_path / "good.npz")
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        for number, name in enumerate(good.namelist()):
            bad.writestr(name, good.read(name) if number else member)
    with pytest.raises(UserError, match=r"bad\.npz does not hold this model's weights"):
        load_weights(model, tmp_path / "bad.npz")


def test_the_last_blocks_alone_are_trained_and_never_their_statistics():
    model = build_model("small-minimalistic", 32)
    names = block_names(model)
    assert (names[0], names[-1], len(names)) == ("Conv", "Conv_1", 13)
    unfreeze(model, 2)
    trained = {layer.name for layer in model.layers if layer.trainable and layer.weights}
    assert trained == {f"expanded_conv_10/{part}" for part in ("expand", "depthwise", "project")} | {"Conv_1"}
    unfreeze(model, 0)
    assert not model.trainable_weights

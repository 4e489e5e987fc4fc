"""What a client that knows nothing of tilegate reads from the file itself."""

import json
import zipfile

import flatbuffers
import numpy as np
import pytest
from flatbuffers.table import Table

from steps.core.common.errors import UserError
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.flatbuffer import demands, read_model
from steps.device.metadata import NAME, finish
from steps.device.runtime import LiteModel
from steps.network.head import Head
from tests.steps.device.conftest import HEAD
from tests.steps.tiny import SPEC

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def written(converted):
    """The metadata buffer, as (bytes, table of ModelMetadata)."""
    model = read_model(converted)
    (entry,) = [entry for entry in model.metadata if entry.name == NAME.encode()]
    data = bytes(model.buffers[entry.buffer].data)
    return data, Table(bytearray(data), flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))


# The positions of fields are those of metadata_schema.fbs; the reader below shares no code with the writer.
def field(table, position):
    return table.Offset(4 + 2 * position)


def child(table, position):
    return Table(table.Bytes, table.Indirect(table.Pos + field(table, position)))


def children(table, position):
    if not field(table, position):
        return []
    start, count = table.Vector(field(table, position)), table.VectorLen(field(table, position))
    return [Table(table.Bytes, table.Indirect(start + 4 * number)) for number in range(count)]


def text(table, position):
    return table.String(table.Pos + field(table, position)).decode()


def number(table, position, flags):
    return table.Get(flags, table.Pos + field(table, position))


def floats(table, position):
    return table.GetVectorAsNumpy(flatbuffers.number_types.Float32Flags, field(table, position)).tolist()


def test_the_metadata_describe_each_signatures_tensors_in_the_order_of_the_file(written, converted):
    data, root = written
    assert data[4:8] == b"M001"
    model = read_model(converted)
    graphs = children(root, 3)
    assert [text(graph, 0) for graph in graphs] == ["tile"]
    for graph, described in zip(model.subgraphs, graphs, strict=True):
        signature = next(s for s in model.signatureDefs if s.signatureKey.decode() == text(described, 0))
        names = {output.tensorIndex: output.name.decode() for output in signature.outputs}
        assert [text(output, 0) for output in children(described, 3)] == [names[index] for index in graph.outputs]
        assert len(children(described, 2)) == len(graph.inputs) == 1


def test_the_input_is_rgb_of_a_tiles_size_and_needs_no_normalisation(written):
    (pixels,) = children(children(written[1], 3)[0], 2)
    byte, wide = flatbuffers.number_types.Uint8Flags, flatbuffers.number_types.Uint32Flags
    content = child(pixels, 3)
    image, rgb, normalisation = 2, 1, 1
    assert number(content, 0, byte) == image
    properties = child(content, 1)
    assert number(properties, 0, byte) == rgb
    assert [number(child(properties, 1), side, wide) for side in (0, 1)] == [SPEC.tile_size] * 2
    (unit,) = children(pixels, 4)
    assert number(unit, 0, byte) == normalisation
    assert [floats(child(unit, 1), position) for position in (0, 1)] == [[0.0], [1.0]]
    assert [floats(child(pixels, 5), position) for position in (0, 1)] == [[255.0], [0.0]]


def test_the_files_the_metadata_speak_of_are_behind_the_model(written, converted):
    named = [text(file, 0) for file in children(written[1], 6)]
    for graph in children(written[1], 3):
        named += [text(file, 0) for output in children(graph, 3) for file in children(output, 6)]
    with zipfile.ZipFile(converted) as archive:
        assert set(named) == set(archive.namelist())
        assert PreprocessingSpec.from_dict(json.loads(archive.read("preprocessing.json"))) == SPEC
        assert Head.from_dict(json.loads(archive.read("head.json"))).to_dict() == HEAD.to_dict()


def test_finishing_again_changes_no_byte_and_no_result(converted, telling, tmp_path):
    again = tmp_path / "model.tflite"
    again.write_bytes(converted.read_bytes())
    finish(again, HEAD, SPEC)
    assert again.read_bytes() == converted.read_bytes()
    tile = np.full((32, 32, 3), 7, np.uint8)
    assert (LiteModel(again, 1).tile(tile) == telling.features([tile])[0]).all()


def test_weights_that_a_quantiser_put_behind_the_tables_are_taken_in(converted, telling, tmp_path):
    path = tmp_path / "outside.tflite"
    model, moved = read_model(converted), telling.weights.T.astype(np.float32).tobytes()
    (weights,) = [b for b in model.buffers if b.data is not None and bytes(b.data) == moved]
    weights.data = None
    # Written twice: only then is the length of the tables known.
    weights.offset, weights.size = 2, len(moved)
    weights.offset = len(model_bytes_of(model))
    path.write_bytes(model_bytes_of(model) + moved)
    finish(path, HEAD, SPEC)
    assert path.read_bytes() == converted.read_bytes()


def model_bytes_of(model):
    """Write a model as the generated classes do, offsets of outside buffers included."""
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_demands_name_operators_and_the_least_runtime(converted):
    found = demands(converted)
    assert set(found["operators"]) == {"CAST", "FULLY_CONNECTED", "RESHAPE"}
    assert [part.isdecimal() for part in found["min_runtime_version"].split(".")] == [True] * 3


def test_what_is_no_model_of_ours_is_refused_by_name(converted, tmp_path):
    with pytest.raises(UserError, match=r"gone.tflite is missing"):
        LiteModel(tmp_path / "gone.tflite", 1)
    path = tmp_path / "bad.tflite"
    for data in (b"", b"nothing at all", converted.read_bytes()[:5000]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"bad.tflite is not a model that this LiteRT runs"):
            LiteModel(path, 1)
    path.write_bytes(b"nothing at all")
    with pytest.raises(UserError, match=r"bad.tflite is not a TFLite file"):
        finish(path, HEAD, SPEC)


def test_an_operator_that_the_runtime_does_not_know_is_an_error_that_names_it(converted, tmp_path):
    from steps.device.flatbuffer import model_bytes

    model = read_model(converted)
    custom = 32
    for code in model.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == 9:
            code.builtinCode, code.deprecatedBuiltinCode, code.customCode = custom, custom, "Wonder"
    path = tmp_path / "custom.tflite"
    path.write_bytes(model_bytes(model))
    with pytest.raises(UserError, match=r"custom.tflite is not a model that this LiteRT runs.*Wonder"):
        LiteModel(path, 1)
    assert "CUSTOM:Wonder" in demands(path)["operators"]


def test_a_model_without_the_signature_is_refused(converted, tmp_path):
    from steps.device.flatbuffer import model_bytes

    model = read_model(converted)
    model.signatureDefs[0].signatureKey = "another"
    path = tmp_path / "other.tflite"
    path.write_bytes(model_bytes(model))
    with pytest.raises(UserError, match=r"other.tflite is not a model that this LiteRT runs"):
        LiteModel(path, 1)
    with pytest.raises(UserError, match=r"signatures \['another'\]: 'tile' alone is wanted"):
        finish(path, HEAD, SPEC)


def test_a_model_without_its_head_is_refused(converted, tmp_path):
    from steps.device.flatbuffer import model_bytes

    path = tmp_path / "headless.tflite"
    path.write_bytes(model_bytes(read_model(converted)))
    with pytest.raises(UserError, match=r"headless.tflite carries no head"):
        LiteModel(path, 1)

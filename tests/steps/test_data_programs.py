"""ValidateData and PreprocessTiles as programs: contract files, exit codes, the same result from any workers."""

import json

import pandas as pd

from steps.core.dataset import read_dataset, read_quarantine, read_tiles
from steps.core.images import decode_image
from steps.core.shards import Record, read_record
from steps.core.spec import PreprocessingSpec
from tests.steps.conftest import TILE_SIZE, Workspace


def test_validation_writes_its_tables_and_keeps_held_out_labels_from_training(workspace):
    dataset, development = read_dataset(workspace.dataset), read_dataset(workspace.development)
    assert len(dataset) == 60
    assert len(read_quarantine(workspace.dataset)) == 0
    assert set(development["split"]) == {"train", "validation"}
    assert set(dataset["split"]) == {"train", "validation", "calibration", "test"}
    counts = json.loads((workspace.dataset / "validation.json").read_text())
    assert counts["accepted"] == counts["rows"] == 60
    assert sum(counts["splits"][split][name] for split in counts["splits"] for name in counts["classes"]) == 60


def test_every_screenshot_has_its_plan_of_tiles_in_the_store(workspace):
    dataset, tiles = read_dataset(workspace.dataset), read_tiles(workspace.tiles)
    assert PreprocessingSpec.read(workspace.tiles).tile_size == TILE_SIZE
    assert sorted(tiles["id"].unique()) == dataset["id"].tolist()
    assert (tiles.groupby("id")["index"].apply(list).map(tuple) == (0, 1, 2)).all()
    number = {row.id: int(row.uri.split("/")[1].split(".")[0]) for row in dataset.itertuples()}
    for tile in tiles.iloc[::7].itertuples():
        pixels, _ = decode_image(read_record(workspace.tiles, Record(tile.shard, tile.offset, tile.length)))
        assert pixels.shape == (TILE_SIZE, TILE_SIZE, 3)
        red, green = pixels[..., 0].mean(), pixels[..., 1].mean()
        assert abs(red - number[tile.id]) < 4
        assert abs(green - 50 * tile.index) < 4


def test_two_workers_write_the_same_bytes_as_one(workspace, tmp_path):
    assert workspace.preprocess(tmp_path / "again", workers=2) == 0
    files = sorted(path.relative_to(workspace.tiles) for path in workspace.tiles.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*"))
    for name in files:
        if name.suffix == ".parquet":
            pd.testing.assert_frame_equal(
                pd.read_parquet(workspace.tiles / name), pd.read_parquet(tmp_path / "again" / name)
            )
        else:
            assert (workspace.tiles / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_mistake_ends_with_one_sentence_on_stderr_and_in_the_message(tmp_path, capsys):
    empty = Workspace(tmp_path)
    assert empty.validate() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert empty.message.read_text() in said


def test_a_screenshot_that_broke_since_its_validation_stops_preprocessing(tmp_path, capsys):
    broken = Workspace(tmp_path)
    broken.draw(60)
    assert broken.validate() == 0
    (broken.labelled / "b-test" / "7.png").write_bytes(b"")
    assert broken.preprocess(broken.tiles) == 1
    assert "7.png no longer opens" in capsys.readouterr().err
    assert not (broken.tiles / "tiles.parquet").exists()

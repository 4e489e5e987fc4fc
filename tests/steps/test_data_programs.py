"""ValidateData, PreprocessTiles and IndexTiles as programs: contract files, exit codes, and no work done twice."""

import json
import shutil

import pandas as pd
import pytest
from PIL import Image

from steps.core.dataset.plan import TILES, Plan
from steps.core.dataset.snapshot import Batch
from steps.core.dataset.tables import read_dataset, read_quarantine, read_tiles
from steps.core.tiles.decode import decode_image
from steps.core.tiles.shards import read_record
from steps.core.tiles.spec import PreprocessingSpec
from steps.preprocess import __main__ as preprocess
from tests.steps.conftest import TILE_SIZE, Workspace

pytestmark = pytest.mark.integration


def test_validation_writes_its_tables_and_keeps_held_out_labels_from_training(workspace):
    dataset, development = read_dataset(workspace.dataset), read_dataset(workspace.development)
    assert len(dataset) == 60
    assert len(read_quarantine(workspace.dataset)) == 0
    assert set(development["split"]) == {"train", "validation"}
    assert set(dataset["split"]) == {"train", "validation", "calibration", "test"}
    counts = json.loads((workspace.report / "validation.json").read_text())
    assert counts["accepted"] == counts["rows"] == 60
    assert sum(counts["splits"][split][name] for split in counts["splits"] for name in counts["classes"]) == 60
    assert "60 screenshots may be learned from" in (workspace.report / "report.html").read_text()


def test_a_batch_is_read_as_it_was_added_and_a_contradiction_is_refused(tmp_path, capsys):
    made = Workspace(tmp_path)
    made.draw(60)
    labels = made.labelled / "b-test" / "m.manifest"
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    named = [
        {**row, "k": 1 - row["k"], "k-metadata": {"class-name": ("Other", "Promo")[row["k"]]}, "old": 0}
        | {"old-metadata": {}}
        for row in rows
    ]
    labels.write_text("\n".join(map(json.dumps, named)))
    made.plan_for([Batch("b-test", "m.manifest", "0" * 64)])
    assert made.validate() == 1
    assert "there are several label attributes, 'k', 'old'" in capsys.readouterr().err
    made.plan_for([Batch("b-test", "m.manifest", "0" * 64, classes="Other,Promo", attribute="k")])
    assert made.validate() == 0
    dataset = read_dataset(made.dataset)
    truth = {f"b-test/{row['source-ref']}": row["k"] for row in rows}
    assert dict(zip(dataset["uri"], dataset["label"], strict=True)) == truth
    assert json.loads((made.report / "validation.json").read_text())["names"] == {"0": "Other", "1": "Promo"}
    assert made.validate("--classes", "Promo,Other") == 1
    assert "contradicts the batch b-test" in capsys.readouterr().err


def test_every_screenshot_has_its_plan_of_tiles_in_the_store(workspace):
    dataset, tiles = read_dataset(workspace.dataset), read_tiles(workspace.tiles)
    assert PreprocessingSpec.read(workspace.tiles).tile_size == TILE_SIZE
    assert sorted(tiles["id"].unique()) == dataset["id"].tolist()
    assert (tiles.groupby("id")["index"].apply(list).map(tuple) == (0, 1, 2, 3)).all()
    number = {row.id: int(row.uri.split("/")[1].split(".")[0]) for row in dataset.itertuples()}
    for tile in tiles.iloc[::7].itertuples():
        pixels, _ = decode_image(read_record(workspace.shards / tile.shard, tile.offset, tile.length))
        assert pixels.shape == (TILE_SIZE, TILE_SIZE, 3)
        red, green = pixels[..., 0].mean(), pixels[..., 1].mean()
        assert abs(red - number[tile.id]) < 4
        # The overview shows all three squares: their green is 0, 50 and 100.
        assert abs(green - (50 if tile.index == 0 else 50 * (tile.index - 1))) < 4


def test_the_list_of_shards_names_what_the_index_names(workspace):
    head, *keys = json.loads((workspace.tiles / "shards.manifest").read_text())
    assert head == {"prefix": "s3://tilegate-local/tiles/"}
    assert keys == sorted(read_tiles(workspace.tiles)["shard"].unique())
    assert all((workspace.shards / key).is_file() for key in keys)


@pytest.mark.parametrize(("hosts", "workers"), [(1, 2), (2, 1), (5, 2), (61, 1)])
def test_any_number_of_hosts_and_workers_writes_the_same_bytes(workspace, tmp_path, hosts, workers):
    """With 61 hosts for 60 screenshots one of them gets nothing."""
    assert workspace.preprocess(tmp_path / "index", tmp_path / "shards", workers=workers, hosts=hosts) == 0
    for before, after in ((workspace.tiles, tmp_path / "index"), (workspace.shards, tmp_path / "shards")):
        assert contents(before) == contents(after)


def test_a_lost_piece_stops_the_night(workspace, tmp_path, capsys):
    assert workspace.preprocess(tmp_path / "index", tmp_path / "shards", hosts=2) == 0
    next(workspace.cut.glob("*.parquet")).unlink()
    assert workspace.index(tmp_path / "again", tmp_path / "none") == 1
    assert "30 screenshots were not cut, labelled/b-test/" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_damaged_piece_stops_the_night(workspace, tmp_path, capsys):
    assert workspace.preprocess(tmp_path / "index", tmp_path / "shards") == 0
    (piece,) = workspace.cut.glob("*.tfrecord")
    data = bytearray(piece.read_bytes())
    data[len(data) // 2] ^= 1
    piece.write_bytes(data)
    assert workspace.index(tmp_path / "again", tmp_path / "none") == 1
    assert "is damaged" in capsys.readouterr().err


def test_a_host_that_cut_again_what_another_had_done_changes_nothing(workspace, tmp_path):
    """As when the platform shares the images out otherwise at a second attempt."""
    assert workspace.preprocess(tmp_path / "index", tmp_path / "shards", hosts=3) == 0
    images = workspace.images("again", workspace.shares(1)[0][:40])
    assert preprocess.main(workspace.words(images=images, output=workspace.cut, workers=1)) == 0
    assert workspace.index(tmp_path / "again", tmp_path / "again-shards") == 0
    assert contents(tmp_path / "again") == contents(workspace.tiles)
    assert contents(tmp_path / "again-shards") == contents(workspace.shards)


def test_two_answers_for_one_image_stop_the_night(workspace, tmp_path, capsys):
    assert workspace.preprocess(tmp_path / "index", tmp_path / "shards", hosts=2) == 0
    keys = workspace.shares(1)[0][:2]
    images = workspace.images("mixed up", keys)
    (images / keys[0]).rename(images / "kept")
    (images / keys[1]).rename(images / keys[0])
    (images / "kept").rename(images / keys[1])
    assert preprocess.main(workspace.words(images=images, output=workspace.cut, workers=1)) == 0
    assert workspace.index(tmp_path / "again", tmp_path / "none") == 1
    assert "was cut twice, into different tiles" in capsys.readouterr().err


def contents(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def nights(tmp_path):
    """A store after its first night, and a second batch of ten screenshots that has come in since."""
    made = Workspace(tmp_path)
    made.draw(60)
    assert made.validate() == 0
    assert made.preprocess(made.tiles, made.shards) == 0
    later = made.draw_batch(Batch("b-test-2", "m.manifest", "1" * 64), range(60, 70))
    return made, [Batch("b-test", "m.manifest", "0" * 64), later]


def test_a_second_night_opens_new_screenshots_only_and_ends_as_one_night_would(nights, tmp_path):
    made, batches = nights
    made.plan_for(batches)
    everything = Plan.read(made.plan)
    assert made.validate() == 0
    assert made.preprocess(tmp_path / "whole", tmp_path / "whole-shards") == 0
    whole_dataset = contents(made.dataset)

    for folder in (made.facts, made.shards):
        shutil.rmtree(folder)
    made.plan_for(batches[:1])
    assert made.validate() == 0
    assert made.preprocess(made.tiles, made.shards) == 0
    made.keep()
    made.plan_for(batches, known=batches[:1])
    for picture in (made.labelled / "b-test").glob("*.png"):
        picture.unlink()
    assert len(Plan.read(made.plan).cut) == 1 < len(everything.cut)
    assert made.validate() == 0
    assert made.preprocess(made.tiles, made.shards) == 0
    assert contents(made.dataset) == whole_dataset
    assert contents(made.tiles) == contents(tmp_path / "whole")
    assert {**contents(made.store / TILES), **contents(made.shards)} == contents(tmp_path / "whole-shards")


def test_a_relabelled_screenshot_is_neither_opened_nor_cut_again(nights):
    made, (first, _) = nights
    made.keep()
    manifest = made.labelled / first.name / first.labels
    manifest.write_text(manifest.read_text().replace('"k": 0', '"k": 1', 1))
    for picture in (made.labelled / first.name).glob("*.png"):
        picture.rename(picture.with_suffix(".gone"))
    made.plan_for([first], known=[first], listing="old")
    assert made.validate() == 0
    # The manifest of what is to be cut may not be empty: it lists a table then.
    table = made.images("host", [f"catalogue/{first.name}.parquet"])
    assert preprocess.main(made.words(images=table, output=made.cut)) == 0
    assert made.index(made.tiles, made.shards) == 0
    assert read_dataset(made.dataset)["label"].sum() == 31
    assert not made.facts.exists()
    assert not made.shards.exists()


def test_a_mistake_ends_with_one_sentence_on_stderr_and_in_the_message(tmp_path, capsys):
    empty = Workspace(tmp_path)
    assert empty.validate() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert empty.message.read_text() in said


def test_a_stop_leaves_its_page_and_no_dataset(tmp_path, capsys):
    made = Workspace(tmp_path)
    made.draw(60)
    manifest = made.labelled / "b-test" / "m.manifest"
    manifest.write_text(manifest.read_text().replace('"k": 0', '"k": 1'))
    made.plan_for([Batch("b-test", "m.manifest", "")])
    assert made.validate() == 1
    assert "class 'negative' has no usable screenshot" in capsys.readouterr().err
    assert json.loads((made.report / "validation.json").read_text())["verdict"] == "stopped"
    assert "Stopped" in (made.report / "report.html").read_text()
    assert not (made.dataset / "dataset.parquet").exists()


def test_a_hostile_file_costs_its_row_only(tmp_path):
    made = Workspace(tmp_path)
    made.draw(60)
    (made.labelled / "b-test" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    Image.new("RGB", (60, 2000)).save(made.labelled / "b-test" / "8.png")
    made.plan_for([Batch("b-test", "m.manifest", "0" * 64)])
    assert made.validate() == 0
    assert made.preprocess(made.tiles, made.shards) == 0
    refused = read_quarantine(made.dataset)
    assert refused["reason"].tolist() == ["image", "image"]
    assert "aspect ratio" in refused["detail"].iloc[1]
    assert len(read_dataset(made.dataset)) == 58


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_fault_of_the_store_stops_the_night_and_becomes_no_fact(tmp_path, capsys, damage):
    made = Workspace(tmp_path)
    made.draw(60)
    picture = made.labelled / "b-test" / "7.png"
    picture.unlink() if damage == "gone" else made.draw_one(picture, 99)
    assert made.validate() == 1
    said = capsys.readouterr().err
    assert "7.png" in said
    assert "store" in said
    assert not made.facts.exists()
    made.draw_one(picture, 7)
    assert made.validate() == 0
    assert len(read_dataset(made.dataset)) == 60


def test_labels_that_were_changed_in_the_store_stop_the_night(tmp_path, capsys):
    """Flipped, or removed together with their file and its line in the listing."""
    made = Workspace(tmp_path)
    made.draw(60)
    labels = made.labelled / "b-test" / "m.manifest"
    listing = made.store / "catalogue" / "b-test.parquet"
    told, files = labels.read_text(), listing.read_bytes()
    labels.write_text(told.replace('"k": 0', '"k": 1', 14))
    assert made.validate() == 1
    assert "b-test is not what was added, m.manifest or its listing was changed" in capsys.readouterr().err
    labels.write_text("\n".join(told.splitlines()[1:]))
    pd.read_parquet(listing).iloc[1:].to_parquet(listing)
    assert made.validate() == 1
    assert not made.dataset.exists()
    labels.write_text(told)
    listing.write_bytes(files)
    assert made.validate() == 0


def test_a_screenshot_that_another_has_replaced_since_its_validation_is_not_learned_from(tmp_path, capsys):
    made = Workspace(tmp_path)
    made.draw(60)
    assert made.validate() == 0
    made.draw_one(made.labelled / "b-test" / "7.png", 8)
    assert made.preprocess(made.tiles, made.shards) == 1
    assert "7.png of the batch b-test was changed in the store" in capsys.readouterr().err


def test_a_screenshot_that_broke_since_its_validation_stops_preprocessing(tmp_path, capsys):
    broken = Workspace(tmp_path)
    broken.draw(60)
    assert broken.validate() == 0
    (broken.labelled / "b-test" / "7.png").write_bytes(b"")
    assert broken.preprocess(broken.tiles, broken.shards) == 1
    assert "b-test/7.png first: it no longer opens" in capsys.readouterr().err
    assert not (broken.tiles / "tiles.parquet").exists()


def test_a_batch_is_compared_with_the_champions_data_and_with_production(nights, tmp_path):
    made, (first, later) = nights
    made.keep()
    reference = Batch("b-reference", ".", "2" * 64, "reference")
    folder = made.labelled / reference.name
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (360, 640), (number, 40, 200)).save(folder / f"{number}.png")
    champion = made.source_of([first])
    made.plan_for([first, later, reference], known=[first], champion=champion, previous=champion)
    assert made.validate() == 0
    told = json.loads((made.report / "validation.json").read_text())
    assert set(told["drift"]) == {"drift-champion", "drift-reference"}
    assert told["drift"]["drift-reference"]["short side"]["drifted"]
    assert not told["drift"]["drift-champion"]["format"]["drifted"]
    page = (made.report / "report.html").read_text()
    assert "production reference sample" in page
    assert "b-test-2" in page
    assert len(read_dataset(made.dataset)) == 70, "a reference sample is not learned from"


def test_more_changed_labels_than_allowed_stop_the_night(nights, capsys):
    made, (first, later) = nights
    made.keep()
    previous = made.source_of([first])
    review = Batch("b-test-3", "m.csv", "3" * 64, "review")
    folder = made.labelled / review.name
    folder.mkdir()
    dataset = read_dataset(made.dataset).head(24)
    decided = pd.DataFrame({"sha256": dataset["id"], "label": 1 - dataset["label"], "by": "Mal", "reason": "mood"})
    decided.to_csv(folder / review.labels, index=False)
    made.plan_for([first, later, review], known=[first], previous=previous)
    assert made.validate() == 1
    assert "24 labels of 60 changed or became doubtful" in capsys.readouterr().err
    assert made.validate("--max-label-changes", "0.5") == 0

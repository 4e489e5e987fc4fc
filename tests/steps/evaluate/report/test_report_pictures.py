"""The report's pictures: the screenshots farthest from their label, each with its squares where they lie."""

import cv2
import numpy as np
import pandas as pd
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.gate.champion import Comparison
from steps.core.gate.limits import Limits
from steps.core.gate.verdict import Verdict
from steps.core.tiles.shards import append_record
from steps.core.tiles.tiling import plan_tiles
from steps.evaluate.evaluation import Evaluation
from steps.evaluate.report import page_of, shown_on_page
from steps.evaluate.report.model import Box
from steps.evaluate.report.pictures import bands, gallery

GREY = simplejpeg.encode_jpeg(np.full((32, 32, 3), 128, np.uint8))


def scored(scores, labels, *, threshold=0.5, size=(100, 250)):
    scores = np.array(scores, np.float64)
    return pd.DataFrame(
        {
            "id": [f"id-{number}" for number in range(len(scores))],
            "label": labels,
            "group": "app",
            "width": size[0],
            "height": size[1],
            "score": scores,
            "flagged": scores > threshold,
        }
    )


@pytest.fixture
def store(tmp_path):
    def write(rows):
        with (tmp_path / "s").open("wb") as shard:
            place = {"shard": "s", "offset": append_record(shard, GREY), "length": len(GREY)}
        tiles = [
            {"id": row.id, "index": index, "tile_score": index / 10, **place}
            | {"left": tile.left, "top": tile.top, "tile_width": tile.width, "tile_height": tile.height}
            for row in rows.itertuples()
            for index, tile in enumerate(plan_tiles(row.width, row.height))
        ]
        return pd.DataFrame(tiles), tmp_path

    return write


@pytest.mark.parametrize(("label", "order"), [(0, ["id-1", "id-2", "id-0"]), (1, ["id-0", "id-2", "id-1"])])
def test_the_worst_come_first_and_are_marked(store, label, order):
    rows = scored([0.1, 0.9, 0.4], label)
    found = gallery(rows, *store(rows))
    assert [shot.id for shot in found.shots] == order
    assert found.wrong == (1 if label == 0 else 2)
    assert [shot.wrong for shot in found.shots] == ([True, False, False] if label == 0 else [True, True, False])


def test_a_score_that_is_not_a_number_is_the_worst_of_all(store):
    rows = scored([0.9, np.nan], 0)
    assert gallery(rows, *store(rows)).shots[0].id == "id-1"


def test_the_tiles_that_a_page_needs_are_those_of_what_it_shows(store):
    """Thirty negatives and as many positives, of which the champion decided other ones otherwise than the worst."""
    rows = scored(np.linspace(0, 1, 60), np.repeat([0, 1], 30)).assign(split="test")
    broken = tuple(f"id-{number}" for number in range(16))
    champion = Comparison("champion", "non-inferior", None, None, broken, ("id-45",), ())
    verdict = Verdict(Limits(), None, None, None, 0, (), champion=champion)
    evaluation = Evaluation(verdict, {}, rows, {})
    shown = shown_on_page(evaluation)
    tiles, shards = store(rows)
    page = page_of("A model", evaluation, tiles[tiles["id"].isin(shown)], shards)
    shots = [shot for side in (page.false_alarms, page.misses, page.broken, page.fixed) for shot in side.shots]
    assert [len(side.shots) for side in (page.false_alarms, page.misses, page.broken, page.fixed)] == [12, 12, 12, 1]
    assert all(shot.picture for shot in shots)
    assert {shot.id for shot in shots} == set(shown) < set(rows["id"])


def test_only_the_wanted_number_is_shown_and_all_are_counted(store):
    rows = scored(np.linspace(0, 1, 30), 0)
    found = gallery(rows, *store(rows), most=4)
    assert (len(found.shots), found.total, found.wrong) == (4, 30, 15)


def test_the_picture_is_the_overview_and_the_boxes_are_the_squares(store):
    rows = scored([0.9], 0)
    (shot,) = gallery(rows, *store(rows)).shots
    assert shot.picture == GREY
    assert shot.whole == 0
    assert shot.boxes == [Box(0, 0, 100, 40, 0.1), Box(0, 30, 100, 40, 0.2), Box(0, 60, 100, 40, 0.3)]


def test_a_screenshot_without_tiles_has_no_picture(store):
    rows = scored([0.9, 0.8], 0)
    tiles, shards = store(rows)
    found = gallery(rows, tiles[tiles["id"] == "id-1"], shards)
    assert [bool(shot.picture) for shot in found.shots] == [False, True]
    assert found.shots[0].boxes == []


def test_a_damaged_shard_is_an_error(store):
    rows = scored([0.9], 0)
    tiles, shards = store(rows)
    (shards / "s").write_bytes(b"\0" * 2000)
    with pytest.raises(UserError, match="damaged"):
        gallery(rows, tiles, shards)


@given(width=st.integers(1, 3000), height=st.integers(1, 3000), seed=st.integers(0, 99))
def test_bands_cover_the_screenshot_once_with_the_highest_score_above(width, height, seed):
    squares = plan_tiles(width, height)[1:]
    scores = np.random.default_rng(seed).uniform(size=len(squares))
    boxes = [
        Box(100 * s.left / width, 100 * s.top / height, 100 * s.width / width, 100 * s.height / height, score)
        for s, score in zip(squares, scores, strict=True)
    ]
    found = bands(boxes)
    assert sum(band.width * band.height for band in found) == pytest.approx(100 * 100, abs=1)
    for band in found:
        x, y = band.left + band.width / 2, band.top + band.height / 2
        above = [b.score for b in boxes if b.left < x < b.left + b.width and b.top < y < b.top + b.height]
        assert band.score == max(above)


def test_squares_without_a_score_are_not_coloured():
    assert bands([Box(0, 0, 100, 50, float("nan"))]) == []
    assert [(b.top, b.height) for b in bands([Box(0, 0, 100, 50, 0.4), Box(0, 50, 100, 50, float("nan"))])] == [(0, 50)]


def heat(png):
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return image[:, :, 3]


def test_heat_maps_lie_where_their_tiles_do(store):
    rows = scored([0.9], 0)
    hot, cold = np.ones((7, 7), np.float32), np.zeros((7, 7), np.float32)
    cams = {("id-0", 0): hot, ("id-0", 1): cold, ("id-0", 2): cold, ("id-0", 3): hot}
    (shot,) = gallery(rows, *store(rows), cams).shots
    whole, squares = heat(shot.cams["overview"]), heat(shot.cams["squares"])
    assert whole.shape == squares.shape
    assert whole.shape[0] / whole.shape[1] == pytest.approx(2.5, rel=0.05)
    assert whole.min() > 150
    middle = round(0.6 * len(squares))
    assert squares[: middle - 1].max() == 0
    assert squares[middle + 1 :].min() > 150


def test_heat_maps_that_are_not_numbers_are_cold(store):
    rows = scored([0.9, 0.8], 0)
    cams = {("id-0", 0): np.full((3, 3), np.nan, np.float32), ("id-1", 1): np.full((3, 3), 9, np.float32)}
    first, second = gallery(rows, *store(rows), cams).shots
    assert heat(first.cams["overview"]).max() == 0
    assert list(second.cams) == ["squares"]
    assert heat(second.cams["squares"]).max() < 255

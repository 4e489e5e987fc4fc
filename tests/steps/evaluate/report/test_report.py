"""The release manager's page: the verdict first, everything else if it is there, whatever strangers wrote into it."""

import base64
import csv
import hashlib
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import simplejpeg

from steps.core.gate.champion import Champion, Comparison, Difference
from steps.core.gate.clustered_errors import Rate
from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.slices import Slice, Status
from steps.core.gate.test_set_ledger import Wear
from steps.core.gate.threshold import OperatingPoint
from steps.core.gate.verdict import Verdict
from steps.core.tiles.shards import append_record
from steps.core.tiles.tiling import plan_tiles
from steps.evaluate.evaluation import beside, evaluate
from steps.evaluate.report import FILE_NAME, page_of, write_report
from steps.evaluate.report.model import Box, Gallery, Origin, Page, Shot
from steps.evaluate.report.plots import Plot
from steps.evaluate.report.views import checks, rivals
from tests.steps.reading import HOSTILE, Reader

LIMITS = Limits(0.01)
REJECTED = Verdict(LIMITS, None, None, None, 0, ("The test split holds no negatives: add some.",))
BARE = Page("A model", REJECTED, np.array([]), np.array([], np.int64))
PLOTS = {"det.png", "roc.png", "scores.png"}


def jpeg(height=32, width=32, *, noise=0):
    pixels = np.random.default_rng(noise).integers(0, 255 if noise else 1, (height, width, 3), np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=95)


def shot(text="app", **changes):
    boxes = (Box(0, 0, 100, 50, 0.9), Box(0, 50, 100, 50, 0.1))
    plain = Shot("ab" * 32, 0, text, 100, 200, 0.8, wrong=True, picture=jpeg(), whole=0.7, boxes=boxes)
    return replace(plain, **changes)


def scored(count=3000, seed=0, columns=()):
    """Screenshots of both held-out splits, well separated but not perfectly; every fifth is positive."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 5 == 0
    frame = pd.DataFrame(
        {
            "id": [f"{number:064x}" for number in range(count)],
            "uri": "uri",
            "label": labels.astype(int),
            "group": [f"app-{number % 2}-{number // 4}" for number in range(count)],
            "split": ["calibration", "test"] * (count // 2),
            "width": 108,
            "height": 240,
            "score": np.where(labels, rng.beta(6, 1.5, count), rng.beta(0.5, 8, count)),
        }
    )
    return frame.assign(**dict(columns))


def evaluated(frame=None, limits=None, **given):
    """Return an evaluation of made-up scores."""
    return evaluate(scored() if frame is None else frame, limits or Limits(0.02), {"model": "ab" * 32}, **given)


def rate(count, trials, value, lower, upper):
    return Rate(count, trials, value, lower, upper, trials, float(trials), 1.0)


def passing(limits=LIMITS, **changes):
    return Verdict(limits, None, rate(0, 400, 0, 0, 0.0075), rate(40, 50, 0.8, 0.7, 0.9), 0, (), **changes)


def stored(folder, frame):
    """Store tiles of the screenshots, and return their table; every square scores half of what the whole does."""
    rows = []
    with (folder / "0.tfrecord").open("wb") as shard:
        offset = append_record(shard, jpeg())
    for one in frame.itertuples():
        plan = plan_tiles(one.width, one.height)
        rows += [
            {
                "id": one.id,
                "index": index,
                "count": len(plan),
                "left": tile.left,
                "top": tile.top,
                "tile_width": tile.width,
                "tile_height": tile.height,
                "shard": "0.tfrecord",
                "offset": offset,
                "length": len(jpeg()),
                "tile_score": one.score / (1 + (index > 0)),
            }
            for index, tile in enumerate(plan)
        ]
    return pd.DataFrame(rows)


def variant(name="float16", **changes):
    row = {"name": name, "bytes": 3e6, "deflated": 2.5e6, "latency_ms": 30.0, "flipped": 0.001, "passed": True}
    row |= {"may_ship": True, "chosen": False, "reason": "", "message": "", "fpr_upper": 0.01, "tpr_lower": 0.7}
    return row | {"min_runtime_version": "2.8.0"} | changes


def full(text, fpr=None, fleet=None):
    """A page that has every part but the curves, with one text wherever a stranger's can stand."""
    found = Rate(1, 9, 0.1, 0.05, 0.2, 3, 4.0, 2.0)
    difference = Difference(1, 2, 9, 3, 4.0, -0.1, -0.2, 0.1, 0.05, 0, 0)
    verdict = Verdict(
        LIMITS,
        OperatingPoint(0.5, 1, 9, 0.04, 0.9, 0, 3, 4.0, 0),
        fpr or found,
        found,
        0,
        (text,),
        slices=tuple(Slice(text, text, 9, 9, found, None, status, text) for status in Status),
        champion=Comparison(text, text, difference, None, (), (), (text,)),
        wear=Wear(30, 30.0),
        fpr_upper_of_all_looks=0.5,
        fleet=fleet or Fleet(),
    )
    gallery = Gallery([shot(text), shot(text, picture=b"no JPEG")], 20, 2)
    return Page(
        text,
        verdict,
        np.array([]),
        np.array([], np.int64),
        classes=(text, text),
        false_alarms=gallery,
        misses=gallery,
        broken=gallery,
        fixed=gallery,
        variants=[variant(text, min_runtime_version=text, latency_ms=None), variant(text, reason=text, deflated=None)],
        data={
            "verdict": text,
            "accepted": 9,
            "groups": 3,
            "classes": {text: 1},
            "splits": {text: {text: 1}},
            "findings": [{"fired": True, "title": text, "text": text}],
            "subject": {"snapshot": text},
        },
        subject={text: text, "hyperparameters": {text: text}},
        origin=Origin(text, text, text),
        refused=text,
    )


@pytest.fixture
def read(tmp_path, monkeypatch):
    # The plots' own files take most of the time, and these tests read the page.
    monkeypatch.setattr(Plot, "save", lambda *_: None)

    def write_and_read(page):
        write_report(tmp_path, page)
        return Reader((tmp_path / FILE_NAME).read_text(encoding="utf-8"))

    return write_and_read


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A folder with the report of a real evaluation, pictures, champion and variants included."""
    folder = tmp_path_factory.mktemp("report")
    frame = scored(columns={"slice:theme": ["dark", "light", "light"] * 1000})
    test = frame[frame["split"] == "test"]
    before = Champion("version 7", dict(zip(test["id"], (test["score"] > 0.2).tolist(), strict=True)))
    found = evaluated(frame, champion=before, baseline=dict(zip(test["id"], test["score"] / 2, strict=True)))
    parts = {
        "variants": [variant(chosen=True), variant("int8", may_ship=False)],
        "origin": Origin("20261129-092744-z1oj", "prod", "2026-11-29"),
    }
    write_report(folder, page_of("A model", found, stored(folder, test), folder, **parts))
    return folder, found


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_strangers_becomes_markup(read, text):
    page = read(full(text))
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert [attributes.get("id") for attributes in page.all("script")] == ["numbers", None]
    assert {attributes["src"].partition(",")[0] for attributes in page.all("img")} == {"data:image/jpeg;base64"}
    assert "49" not in page.text or "7 * 7" in page.text


def test_only_the_one_script_may_run_and_nothing_may_be_loaded(complete):
    html = (complete[0] / FILE_NAME).read_text(encoding="utf-8")
    page = Reader(html)
    policy = next(tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
    assert f"script-src 'sha256-{digest}';" in policy
    assert not page.all("link") + page.all("iframe") + page.all("form")
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert "http:" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", html)


def test_links_lead_to_sections_that_are_there(read, complete):
    for page in (read(BARE), read(full("plain")), Reader((complete[0] / FILE_NAME).read_text())):
        assert {attributes["href"][1:] for attributes in page.all("a")} <= set(page.ids)


def test_a_verdict_without_a_measurement_says_why_and_no_more(read, tmp_path):
    text = read(BARE).text
    assert text.startswith(
        "A model: rejected A model Rejected The model was not measured. The test split holds no negatives: add some. "
        "What follows Nothing is registered"
    )
    assert "No curve can be drawn" in text
    assert not {"For people", "Slices", "Pictures", "Champion", "Variants", "Training", "Data"} & set(text.split())
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_scores_that_are_not_numbers_have_no_curve(read):
    page = replace(BARE, scores=np.array([np.nan, 0.5]), labels=np.array([0, 1]))
    assert "No curve can be drawn" in read(page).text


def test_verdict_bounds_reasons_and_people_come_first_and_in_this_order(read):
    found = evaluated(limits=Limits(0.0005))
    text = read(page_of("A model", found, pd.DataFrame({"id": []}), None)).text
    reasons = found.verdict.reasons
    assert reasons
    wanted = [
        "Rejected",
        "False alarms, at most",
        "False alarms in 100,000",
        *reasons,
        "What it means for people",
    ]
    places = [text.index(" ".join(word.split())) for word in wanted]
    assert places == sorted(places)
    assert text.count(reasons[0]) == 1


def test_a_pass_lists_what_was_checked(complete):
    folder, found = complete
    text = Reader((folder / FILE_NAME).read_text()).text
    assert found.verdict.passed, found.verdict.reasons
    assert "A model: passed" in text
    assert len(re.findall(r"\bmet\b", text)) == 6


@pytest.mark.parametrize(("upper", "holds"), [(0.0099, True), (0.01, True), (0.0101, False)])
def test_a_limit_is_met_up_to_the_bound(upper, holds):
    (check,) = checks(replace(REJECTED, fpr=rate(1, 900, 0.001, 0.0005, upper)))
    assert check.passed == holds


def test_what_people_have_to_do_is_readable_without_a_script(read):
    fleet = Fleet(phones=100, screenshots_per_day=100, positive_share=0, seconds_per_review=36)
    text = read(full("plain", rate(10, 1000, 0.01, 0.005, 0.02), fleet)).text
    assert "about 1,000 would be flagged for nothing; by what is proven, 500 to 2,000" in text
    assert "false alarms 100 50 200" in text.replace(",", "")
    assert "hours of review, for both 1.0 0.5 2.0" in text


def test_controls_that_need_the_script_are_hidden_without_it(complete):
    page = Reader((complete[0] / FILE_NAME).read_text())
    scripted = [attributes for _, attributes in page.tags if "data-script" in attributes]
    assert len(scripted) == 3
    assert all("hidden" in attributes for attributes in scripted)
    assert all("hidden" in attributes for _, attributes in page.tags if attributes.get("class") == "marker")


def test_plots_and_tables_lie_beside_the_page(complete):
    folder, found = complete
    names = {path.name for path in folder.iterdir()}
    assert PLOTS | {"slices.csv"} <= names
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in names if name.endswith(".png"))
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["column"], row["value"]) for row in rows} == {
        (part.column, part.value) for part in found.verdict.slices
    }


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    write_report(tmp_path, full("=HYPERLINK(1)"))
    with (tmp_path / "slices.csv").open(encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith("=")]


def test_failed_slices_come_first_and_those_not_judged_say_why(read):
    found = rate(1, 9, 0.1, 0.05, 0.2)
    slices = [
        Slice("theme", value, 9, 9, found, found, status, note)
        for value, status, note in [
            ("dark", Status.NOT_JUDGED, "not judged: 9 negatives, 30 independent ones wanted"),
            ("light", Status.PROVEN, ""),
            ("sepia", Status.FAILED, "false-alarm rate is proven above 1 %"),
        ]
    ]
    text = read(replace(BARE, verdict=replace(REJECTED, slices=tuple(slices)))).text
    assert text.index("sepia") < text.index("light") < text.index("theme dark")
    assert "1 fails; 1 is proven good; 1 is too small to judge." in text
    assert "9 negatives, 30 independent ones wanted" in text


def test_newly_broken_screenshots_are_shown_as_pictures(complete):
    folder, found = complete
    champion = found.verdict.champion
    text = Reader((folder / FILE_NAME).read_text()).text
    broken, fixed = len(champion.newly_broken), len(champion.newly_fixed)
    assert fixed
    assert f"{fixed} that the champion decides wrongly and this model rightly." in text
    assert ("Newly broken" in text) == bool(broken)
    assert "version 7 : this model has to be proven not worse by more than the margins." in text


def test_the_bundled_variant_comes_first_and_one_that_may_not_ship_says_why(read):
    variants = [variant("float32", deflated=9e6), variant("int8", may_ship=False), variant("float16", chosen=True)]
    variants.append(variant("qat", passed=False, may_ship=False, deflated=None, latency_ms=None, reason="no file"))
    text = read(replace(BARE, variants=variants)).text
    assert text.index("float16 bundled") < text.index("float32 passes") < text.index("int8 fails")
    assert "more of its decisions differ from the trained model's than may" in text
    assert "no file" in text


def test_large_pictures_stay_within_four_megabytes(tmp_path):
    picture = jpeg(224, 224, noise=1)
    many = Gallery([shot(picture=picture)] * 40, 40, 40)
    write_report(tmp_path, replace(full("plain"), false_alarms=many, misses=many, broken=many, fixed=many))
    assert (tmp_path / FILE_NAME).stat().st_size < 4_000_000
    assert "left out: the page is full" in (tmp_path / FILE_NAME).read_text()


def test_the_same_page_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_report(tmp_path / name, full("plain"))
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second


def test_false_alarms_and_what_nearly_was_one_are_apart(read):
    wrong, right = shot("wrong"), shot("right", wrong=False)
    text = read(replace(BARE, false_alarms=Gallery([wrong, right, right], 40, 1))).text
    assert "1 of 40 negatives (negative) is flagged." in text
    assert text.index("wrong") < text.index("Nearly flagged") < text.index("right")
    assert "the 2 negatives (negative) with the highest scores" in text
    none = read(replace(BARE, misses=Gallery([right], 40, 0))).text
    assert "None of 40 positives (positive) is missed. Nearly missed" in none


def test_a_file_that_passed_has_its_commands_and_what_they_do(complete, read):
    text = Reader((complete[0] / FILE_NAME).read_text()).text
    assert text.index("tilegate models approve VERSION --env prod --by NAME --reason TEXT") < text.index(
        "What the gate"
    )
    assert "tilegate models reject VERSION --env prod --by NAME" in text
    assert "run 20261129-092744-z1oj" in text
    assert "Made on 2026-11-29" in text
    assert "released at once" in text
    passed = replace(BARE, verdict=passing(), origin=Origin("r", "local", "2026-11-29"))
    assert "No phone gets it by that. tilegate release publish VERSION --percent 10" in read(passed).text
    assert "In AWS it is also released at once" in read(replace(passed, origin=Origin())).text


def test_what_is_not_to_be_decided_offers_no_command(read):
    trained = replace(BARE, verdict=passing())
    refused = replace(trained, origin=Origin("r", "local", "2026-11-29"), refused="Too many decisions differ.")
    for page, says in ((trained, "ConvertToTFLite makes the file"), (refused, "Too many decisions differ.")):
        text = read(page).text
        assert says in text
        assert "approve VERSION" not in text
    assert "Rejected" in read(refused).text


def test_the_page_tells_data_limits_and_whether_they_are_drawn(read):
    data = {"accepted": 1200, "groups": 240, "classes": {"other": 720, "promotion": 480}, "subject": {"snapshot": "59"}}
    data["findings"] = [{"fired": True, "title": "Splits with few groups", "text": "Fewest are 24."}]
    page = replace(BARE, verdict=passing(Limits(0.15)), data=data, synthetic=True)
    text = read(page).text
    assert "1,200 labelled screenshots of 240 groups, 720 other, 480 promotion, synthetic Dataset 59" in text
    assert (
        "at most 15 % of the negatives, and at least 30 % of the positives found, proven with 95 % confidence" in text
    )
    assert "Synthetic sample." in text
    assert "Splits with few groups Fewest are 24." in text
    assert "ynthetic" not in read(replace(page, synthetic=False)).text


def test_model_champion_and_baseline_stand_side_by_side(complete):
    """The champion flags above .2; the baseline ranks as the model does, so it finds as much."""
    folder, found = complete
    rows = scored()
    test = rows[rows["split"] == "test"]
    before = [((test["score"] > 0.2) & (test["label"] == label)).sum() for label in (0, 1)]
    page = replace(BARE, verdict=found.verdict, baseline=found.baseline)
    columns = [(one.name, one.false_alarms, one.found) for one in rivals(page)]
    mine = (found.verdict.fpr.count, found.verdict.tpr.count)
    assert columns[:2] == [("this model", *mine), ("champion", *before)]
    assert columns[2][0] == "baseline"
    assert columns[2][1] <= mine[0]
    assert columns[2][2] <= mine[1]
    assert "this model champion baseline" in Reader((folder / FILE_NAME).read_text()).text


def test_a_baseline_may_raise_no_more_false_alarms_than_the_model():
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    held = HeldOut(np.zeros(7), labels, [str(n) for n in range(7)])
    scores = dict(zip(held.ids, [0.9, 0.5, 0.5, 0.1, 0.95, 0.6, 0.5], strict=True))
    assert beside(held, 0, scores) == {"false_alarms": 0, "found": 1}
    # Two negatives have the same score: one of them alone cannot be flagged.
    assert beside(held, 2, scores) == {"false_alarms": 1, "found": 2}
    assert beside(held, 4, scores) == {"false_alarms": 4, "found": 3}

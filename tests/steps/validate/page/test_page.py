"""The validation page: whatever a stranger's manifest says, it is one small, valid, inert HTML file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from steps.core.dataset.snapshot import Batch
from steps.core.dataset.tables import Quarantined
from steps.core.html.text import share, short
from steps.validate.drift import Comparison, Drift
from steps.validate.page import FILE_NAME, write_page
from steps.validate.page.content import BatchCount, Changes, Page, Screenshot, Tally
from steps.validate.rule import Finding, Remedy, Rule
from steps.validate.rules import RULES, Severity
from tests.steps.reading import HOSTILE, Reader

EMPTY = Page("good", "Nothing was found.", ("other", "game"), [])


def jpeg(height=48, width=27, *, noise=0):
    pixels = np.random.default_rng(noise).integers(0, 255 if noise else 1, (height, width, 3), np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=95)


def screenshots(*ids, text="plain"):
    return {one: Screenshot(one, text, text, 7, text) for one in ids}


def finding(rule="dark", severity=Severity.NOTE, *, fired=True, ids=(), captions=None, **words):
    shown = {"title": f"title of {rule}", "text": f"text of {rule};", "measured": f"measured {rule}"} | words
    remedy = Remedy("Decide.", "decide") if severity is Severity.QUARANTINE else None
    declared = Rule(rule, severity, shown["title"], lambda *_: None, 0.5, shown.get("unit", ""), remedy)
    return Finding(declared, fired, shown["measured"], shown["text"], ids, captions or {})


def comparison(drifts, base, new, against="a sample"):
    return Comparison("drift-champion", against, pd.DataFrame(base), pd.DataFrame(new), drifts)


def drift(feature, distance=0.5, lower=0.4, limit=0.2):
    return Drift(feature, distance, lower, 100, 50, limit)


def full(text, count=3):
    """A page that has every part, `count` of each, with one text wherever a stranger's can stand."""
    ids = [f"p{number}" for number in range(count)]
    tallies = [Tally(text, number, 3, pure=number == 0) for number in range(count)]
    numbers = np.linspace(0, 1, 50)
    base = {"format": pd.Series([text] * 38 + ["other"] * 12, dtype=object), "brightness": numbers}
    new = {"format": ["third"] * 50, "brightness": numbers**2}
    drifts = [drift(text), drift("format"), drift("brightness", lower=0.3)]
    return Page(
        verdict="stopped",
        message=text,
        classes=(text, "game"),
        findings=[
            finding(
                text,
                severity,
                fired=fired,
                ids=ids,
                captions=dict.fromkeys(ids, text),
                title=text,
                text=text,
                measured=text,
                unit=text,
            )
            for severity in Severity
            for fired in (True, False)
        ],
        rows=10 * count,
        accepted=9 * count,
        groups=2 * count,
        per_class=(4 * count, 5 * count),
        splits=tallies,
        batches=[BatchCount(Batch(text, text, "0" * 64, text, text), 9, 1, new=True) for _ in range(count)],
        changes=Changes(
            since=text,
            batches=[text] * count,
            added=(1, 2),
            groups=3,
            quarantined={text: 1},
            relabelled=[(one, text, "game") for one in ids],
            relabelled_total=count,
        ),
        drift=[comparison(drifts, base, new, f"{number} {text}") for number in range(2)],
        tables=dict.fromkeys(("size", *(f"{text} {number}" for number in range(count))), tallies),
        brightness=(numbers, numbers),
        pairs=[{"a": one, "b": one, "distance": 2, "what": "across splits"} for one in ids],
        pairs_total=count,
        quarantine=[Quarantined(text, text, number, text, "p0", text, text) for number in range(count)],
        screenshots=screenshots(*ids, text=text),
        subject={text: text},
    )


@pytest.fixture
def read(tmp_path):
    """Writes a page and reads it back."""

    def written(page, pictures=None):
        write_page(tmp_path, page, pictures or {})
        return Reader((tmp_path / FILE_NAME).read_text(encoding="utf-8"))

    return written


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A full page about a set with nothing strange in it."""
    folder = tmp_path_factory.mktemp("plain")
    write_page(folder, full("plain"), {f"p{number}": jpeg() for number in range(3)})
    return Reader((folder / FILE_NAME).read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_stranger_becomes_markup(read, plain, text):
    hostile = read(full(text), {f"p{number}": jpeg() for number in range(3)})
    assert [name for name, _ in hostile.tags] == [name for name, _ in plain.tags]
    assert [set(attributes) for _, attributes in hostile.tags] == [set(attributes) for _, attributes in plain.tags]


@given(texts=st.lists(st.text(max_size=200), min_size=1, max_size=12))
def test_any_text_gives_a_valid_page(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("page")
    page = replace(
        EMPTY,
        message=texts[0],
        findings=[finding(text, title=text, ids=["p"], captions={"p": text}) for text in texts],
        screenshots=screenshots("p", text=texts[0]),
    )
    write_page(folder, page, {})
    assert Reader((folder / FILE_NAME).read_text(encoding="utf-8")).all("html")


def test_the_page_loads_and_runs_nothing(plain):
    policy = next(tag for tag in plain.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    assert not plain.all("script") + plain.all("link") + plain.all("iframe")
    assert {attributes["src"].split(",")[0] for attributes in plain.all("img")} == {"data:image/jpeg;base64"}
    assert all(attributes["href"].startswith("#") for attributes in plain.all("a"))


def test_links_lead_to_sections_that_are_there(read, plain):
    for page in (read(EMPTY), plain):
        assert {attributes["href"][1:] for attributes in page.all("a")} <= set(page.ids)


def test_every_fired_finding_is_on_the_page_the_severest_first(read):
    findings = [finding(name, rule.severity, ids=["p"]) for name, rule in RULES.items()]
    text = read(replace(EMPTY, findings=findings, screenshots=screenshots("p"))).text
    places = {name: text.index(f"text of {name};") for name in RULES}
    order = [RULES[name].severity for name in sorted(places, key=places.__getitem__)]
    assert order == sorted(order, key=["stop", "quarantine", "note"].index)
    assert all(f"title of {name}" in text and f"measured {name}" in text for name in RULES)


def test_findings_of_one_severity_keep_their_order(read):
    text = read(replace(EMPTY, findings=[finding("second"), finding("first")])).text
    assert text.index("text of second") < text.index("text of first")


def test_what_did_not_fire_is_listed_as_fine(read):
    text = read(replace(EMPTY, findings=[finding("dark", fired=False), finding("blurry", fired=False)])).text
    assert "Nothing odd was found." in text
    assert "2 checked and fine title of dark" in text


def test_verdict_message_findings_and_counts_come_first(read):
    refused = [Quarantined("b-1", "m.manifest", row, "x.png", "", "image", "broken") for row in range(17)]
    counts = {"rows": 1105, "accepted": 1088, "groups": 581, "per_class": (572, 516), "quarantine": refused}
    text = read(replace(EMPTY, verdict="good, with notes", findings=[finding("dark")], **counts)).text
    wanted = ["Good, with notes", "Nothing was found.", "1,105", "1,088", "17", "572", "516", "title of dark", "Counts"]
    places = [text.index(word) for word in wanted]
    assert places == sorted(places)


def test_a_page_of_nothing_says_so(read):
    text = read(EMPTY).text
    assert "This is the first snapshot" in text
    assert "nothing to compare with yet" in text
    assert "Near-duplicates" not in text
    assert "Quarantine " not in text


def pictured(*ids, **captions):
    """A page with one finding that shows these screenshots."""
    return replace(EMPTY, findings=[finding(ids=ids, captions=captions)], screenshots=screenshots(*ids))


def test_a_missing_picture_is_a_grey_place_with_its_caption(read):
    page = read(pictured("p", "q", "r", p="is there", q="is not", r="is broken"), {"p": jpeg(), "r": b"not a JPEG"})
    assert [attributes["alt"] for attributes in page.all("img")] == ["is there"]
    assert page.text.count("no picture") == 2
    assert "is not" in page.text
    assert "is broken" in page.text


def test_a_screenshot_without_a_row_shows_no_row(read):
    known, unknown = "ab" * 32, "cd" * 32
    shown = screenshots(known) | {unknown: Screenshot(unknown)}
    page = read(replace(pictured(known, unknown), screenshots=shown))
    assert page.text.count("row ") == 1
    assert page.text.count("ababababab") == page.text.count("cdcdcdcdcd") == 1


def test_a_landscape_picture_gets_more_room(read):
    page = read(pictured("p", "q"), {"p": jpeg(48, 27), "q": jpeg(27, 48)})
    assert [attributes.get("class") for attributes in page.all("figure")] == [None, "landscape"]


def test_the_page_says_how_much_it_leaves_out(read):
    page = read(pictured(*(f"p{number}" for number in range(340))))
    assert "12 of 340 to look at" in page.text
    assert len(page.all("figure")) == 12


def test_large_pictures_and_long_lists_stay_under_five_megabytes(tmp_path):
    pictures = {f"p{number}": jpeg(240, 135, noise=number + 1) for number in range(300)}
    assert sum(map(len, pictures.values())) > 5_000_000
    write_page(tmp_path, full("word " * 400, count=300), pictures)
    assert (tmp_path / FILE_NAME).stat().st_size < 5_000_000
    assert "left out: the page is full" in (tmp_path / FILE_NAME).read_text()


def test_the_same_page_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_page(tmp_path / name, full("plain"), {"p0": jpeg()})
    assert (tmp_path / "a" / FILE_NAME).read_bytes() == (tmp_path / "b" / FILE_NAME).read_bytes()


def test_a_changed_label_shows_both_classes(read):
    changes = Changes("5f0b2a91", ["b-2"], (1, 2), 3, {}, [("p", "game", "other")], 45)
    text = read(replace(EMPTY, changes=changes, screenshots=screenshots("p"))).text
    assert "game → other" in text
    assert "1 of 45" in text


def test_drifted_features_are_drawn_and_the_others_listed(read):
    names = [f"feature {n}" for n in range(12)]
    drifts = [drift(name, lower=0.4 - n / 100, limit=0.305) for n, name in enumerate(names)]
    base, new = ({name: np.linspace(0, 1, 100) ** power for name in names} for power in (1, 2))
    page = read(replace(EMPTY, drift=[comparison(drifts, base, new)]))
    assert len(page.all("svg")) == 8
    assert "All 12 features" in page.text
    assert "feature 11 0.50 0.29 0.30" in page.text


def test_a_feature_that_nobody_can_draw_has_its_figures_alone(read):
    page = read(replace(EMPTY, drift=[comparison([drift("embedding")], {"x": [1.0]}, {"x": [1.0]})]))
    assert not page.all("svg")
    assert "embedding drifted distance 0.50, at least 0.40; limit 0.20" in page.text


@pytest.mark.parametrize(
    ("base", "new"),
    [([], []), ([1], []), ([0.5] * 9, [0.5]), ([np.nan, np.inf], [1, 2]), ([1e-3, 1, 1e6], [1, 10, 100]), ([-3], [3])],
)
def test_odd_samples_can_be_drawn(read, base, new):
    samples = ({"bytes": np.array(values, float)} for values in (base, new))
    page = read(replace(EMPTY, drift=[comparison([drift("bytes", np.nan, np.nan)], *samples)]))
    assert len(page.all("svg")) == 1
    assert "distance \N{EN DASH}" in page.text


def test_plots_take_their_colours_from_the_page(tmp_path):
    numbers = np.linspace(0, 1, 100)
    write_page(tmp_path, replace(EMPTY, brightness=(numbers, numbers)), {})
    drawing = (tmp_path / FILE_NAME).read_text().partition("<svg")[2].partition("</svg>")[0]
    assert all(f"var(--{name})" in drawing for name in ("soft", "base", "new"))
    assert "#0102" not in drawing


def test_paired_bars_show_the_values_that_differ_most(read):
    base = ["1080 x 1920"] * 90 + [f"size {n}" for n in range(10)]
    samples = {"size": base}, {"size": ["320 x 466"] * 50}
    text = read(replace(EMPTY, drift=[comparison([drift("size", 0.9, 0.8)], *samples)])).text
    assert "320 x 466 0 % 100 %" in text
    assert "1080 x 1920 90 % 0 %" in text
    assert "size 9" not in text


def test_pure_values_are_marked_and_counted(read):
    tables = {"capture": [Tally("store", 187, 178), Tally("emulator-gif", 0, 52, pure=True)]}
    text = read(replace(EMPTY, tables=tables)).text
    assert "1 of their values occurs with one label only" in text
    assert "emulator-gif one label 0 52 100 %" in text


@given(text=st.text(), length=st.integers(1, 80))
def test_a_short_text_is_printable_bounded_and_one_line(text, length):
    shown = short(text, length)
    assert len(shown) <= length
    assert shown.isprintable()
    shown.encode()


def test_short_texts_stay_as_they_are():
    assert short("com.example.app", 15) == "com.example.app"
    assert short("com.example.app", 14) == "com.example.a…"
    assert short("e\u0301\u0302 नमस्ते", 40) == "é\u0302 नमस्ते"


def test_towers_of_marks_are_cut_down():
    assert len(short("Z" + "\u0337" * 50, 80)) == 4


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "\N{EN DASH}"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 10**6, "< 0.1 %"),
        (999_999, 10**6, "> 99 %"),
        (9.96, 100, "10.0 %"),
        (0.5, 1, "50 %"),
    ],
)
def test_shares_never_round_to_all_or_nothing(part, whole, shown):
    assert share(part, whole) == shown

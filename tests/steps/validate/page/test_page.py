"""The validation page: whatever a stranger's manifest says, it is one small, valid, inert HTML file."""

from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from steps.core.html.text import share, short
from steps.validate.page import (
    FILE_NAME,
    BatchCount,
    Changes,
    Comparison,
    Composition,
    Counts,
    Example,
    Feature,
    Finding,
    Gallery,
    LabelChange,
    Page,
    Pair,
    Probe,
    QuarantinedRow,
    SliceDrift,
    Tally,
    write_page,
)
from steps.validate.rules import RULES, Severity
from tests.steps.reading import HOSTILE, Reader

NOTHING = Counts(rows=0, accepted=0, groups=0, per_class=(0, 0), quarantined={}, splits=(), batches=())


def jpeg(height=48, width=27, *, noise=0):
    pixels = np.random.default_rng(noise).integers(0, 255 if noise else 1, (height, width, 3), np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=95)


def example(text="brightness 0.03", image="p"):
    return Example(id="ab" * 32, caption=text, label=text, batch=text, row=7, group=text, image=image)


def finding(rule="dark", severity=Severity.NOTE, *, fired=True, examples=(), **words):
    shown = {"title": f"title of {rule}", "text": f"text of {rule};", "measured": f"measured {rule}", "limit": "0"}
    return Finding(rule=rule, severity=severity, fired=fired, examples=examples, **(shown | words))


def full(text, count=3):
    """A page that has every part, `count` of each, with one text wherever a stranger's can stand."""
    examples = [example(text, f"p{number}") for number in range(count)]
    tallies = [Tally(text, number, 3, pure=number == 0) for number in range(count)]
    categories, numbers = {text: 3, "other": 1}, np.linspace(0, 1, 50)
    features = [
        Feature(text, 0.5, 0.4, 0.2, drifted=True, base=categories, new={"third": 2}),
        Feature("brightness", 0.5, 0.3, 0.2, drifted=True, base=numbers, new=numbers**2),
    ]
    return Page(
        title=text,
        verdict="stopped",
        message=text,
        classes=(text, "game"),
        findings=[
            finding(text, severity, fired=fired, examples=examples, title=text, text=text, measured=text, limit=text)
            for severity in Severity
            for fired in (True, False)
        ],
        counts=Counts(
            rows=10 * count,
            accepted=9 * count,
            groups=2 * count,
            per_class=(4 * count, 5 * count),
            quarantined={text: count},
            splits=tallies,
            batches=[BatchCount(text, text, text, 10, 9, 1, new=True) for _ in range(count)],
        ),
        changes=Changes(
            since=text,
            batches=[text] * count,
            added=(1, 2),
            groups=3,
            quarantined={text: 1},
            relabelled=[LabelChange(one, text, "game") for one in examples],
            relabelled_total=count,
        ),
        drift=[
            Comparison(f"{number} {text}", text, 100, 50, features, [SliceDrift(text, text, text, 0.4, 0.3)] * count)
            for number in range(2)
        ],
        composition=Composition(
            tables={text: tallies},
            columns={f"{text} {number}": tallies for number in range(count)},
            brightness=(numbers, numbers),
            probes=[Probe(text, 0.8, 0.7, 0.9, 0.6, text)],
        ),
        duplicates=[Pair(one, one, 2, "across splits") for one in examples],
        duplicates_total=count,
        galleries=[Gallery(text, text, examples, count, [text]) for _ in range(count)],
        quarantine=[QuarantinedRow(text, number, text, text, text, "p") for number in range(count)],
        subject={text: text},
    )


@pytest.fixture
def read(tmp_path):
    """Writes a page and reads it back."""

    def written(page, pictures=None):
        write_page(tmp_path, page, pictures or {})
        return Reader((tmp_path / FILE_NAME).read_text(encoding="utf-8"))

    return written


EMPTY = Page("Labelled data", "good", "Nothing was found.", ("other", "game"), [], NOTHING)


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
        title=texts[0],
        findings=[finding(text, title=text) for text in texts],
        galleries=[Gallery(text, text, [example(text)], 1) for text in texts],
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
    findings = [finding(name, rule.severity, examples=[example()]) for name, rule in RULES.items()]
    text = read(replace(EMPTY, findings=findings)).text
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
    counts = replace(NOTHING, rows=1105, accepted=1088, groups=581, per_class=(572, 516), quarantined={"image": 17})
    text = read(replace(EMPTY, verdict="good, with notes", counts=counts, findings=[finding("dark")])).text
    wanted = ["Good, with notes", "Nothing was found.", "1,105", "1,088", "17", "572", "516", "title of dark", "Counts"]
    places = [text.index(word) for word in wanted]
    assert places == sorted(places)


def test_a_page_of_nothing_says_so(read):
    text = read(EMPTY).text
    assert "This is the first snapshot" in text
    assert "nothing to compare with yet" in text
    assert "Near-duplicates" not in text
    assert "Quarantine " not in text


def test_a_missing_picture_is_a_grey_place_with_its_caption(read):
    gallery = Gallery("Darkest", "", [example("is there", "p"), example("is not", "q"), example("is broken", "r")], 3)
    page = read(replace(EMPTY, galleries=[gallery]), {"p": jpeg(), "r": b"not a JPEG"})
    assert [attributes["alt"] for attributes in page.all("img")] == ["is there"]
    assert page.text.count("no picture") == 2
    assert "is not" in page.text
    assert "is broken" in page.text


def test_a_screenshot_without_a_row_shows_no_row(read):
    unknown = replace(example("seen in production"), label="", batch="", row=0, group="")
    page = read(replace(EMPTY, galleries=[Gallery("Odd", "", [unknown, example()], 2)]))
    assert page.text.count("row ") == 1
    assert page.text.count("ababababab") == 2


def test_a_landscape_picture_gets_more_room(read):
    gallery = Gallery("Darkest", "", [example(image="p"), example(image="q")], 2)
    page = read(replace(EMPTY, galleries=[gallery]), {"p": jpeg(48, 27), "q": jpeg(27, 48)})
    assert [attributes.get("class") for attributes in page.all("figure")] == [None, "landscape"]


def test_the_page_says_how_much_it_leaves_out(read):
    gallery = Gallery("Darkest", "Mean luma.", [example()] * 20, 340)
    page = read(replace(EMPTY, galleries=[gallery]))
    assert "12 of 340 are shown" in page.text
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


def test_contradicting_pairs_come_before_the_others(read):
    what = ("same label", "across splits", "labels contradict")
    pairs = [Pair(example(), example(), 1, relation) for relation in what]
    text = read(replace(EMPTY, duplicates=pairs, duplicates_total=3)).text
    assert text.index("labels contradict") < text.index("across splits") < text.index("same label")


def test_a_changed_label_shows_both_classes(read):
    changes = Changes("5f0b2a91", ["b-2"], (1, 2), 3, {}, [LabelChange(example(), "game", "other")], 45)
    text = read(replace(EMPTY, changes=changes)).text
    assert "game → other" in text
    assert "1 of 45" in text


def test_drifted_features_are_drawn_and_the_others_listed(read):
    numbers = np.linspace(0, 1, 100)
    features = [
        Feature(f"feature {n}", 0.5, 0.4 - n / 100, 0.2, drifted=n < 10, base=numbers, new=numbers**2)
        for n in range(12)
    ]
    page = read(replace(EMPTY, drift=[Comparison("the champion's training data", "text", 100, 100, features)]))
    assert len(page.all("svg")) == 8
    assert "All 12 features" in page.text
    assert "feature 11 0.50 0.29 0.20" in page.text


@pytest.mark.parametrize(
    ("base", "new"),
    [([], []), ([1], []), ([0.5] * 9, [0.5]), ([np.nan, np.inf], [1, 2]), ([1e-3, 1, 1e6], [1, 10, 100]), ([-3], [3])],
)
def test_odd_samples_can_be_drawn(read, base, new):
    feature = Feature("bytes", np.nan, np.nan, 0.2, drifted=True, base=np.array(base, float), new=np.array(new, float))
    page = read(replace(EMPTY, drift=[Comparison("a sample", "text", 3, 3, [feature])]))
    assert len(page.all("svg")) == 1
    assert "distance \N{EN DASH}" in page.text


def test_plots_take_their_colours_from_the_page(tmp_path):
    numbers = np.linspace(0, 1, 100)
    write_page(tmp_path, replace(EMPTY, composition=Composition(brightness=(numbers, numbers))), {})
    drawing = (tmp_path / FILE_NAME).read_text().partition("<svg")[2].partition("</svg>")[0]
    assert all(f"var(--{name})" in drawing for name in ("soft", "base", "new"))
    assert "#0102" not in drawing


def test_paired_bars_show_the_values_that_differ_most(read):
    base = {"1080 x 1920": 90} | {f"size {n}": 1 for n in range(10)}
    feature = Feature("size", 0.9, 0.8, 0.2, drifted=True, base=base, new={"320 x 466": 50})
    text = read(replace(EMPTY, drift=[Comparison("a sample", "text", 100, 50, [feature])])).text
    assert "320 x 466 0 % 100 %" in text
    assert "1080 x 1920 90 % 0 %" in text
    assert "size 9" not in text


def test_pure_values_are_marked_and_counted(read):
    columns = {"capture": [Tally("store", 187, 178), Tally("emulator-gif", 0, 52, pure=True)]}
    text = read(replace(EMPTY, composition=Composition(columns=columns))).text
    assert "1 of their values occurs with one label only" in text
    assert "emulator-gif one label 0 52 100 %" in text


def test_a_probe_that_could_not_be_measured_has_no_dot(read):
    nan = float("nan")
    probes = [Probe("size", 0.65, 0.61, 0.69, 0.6, "above"), Probe("colour", nan, nan, nan, 0.7, "not measured")]
    page = read(replace(EMPTY, composition=Composition(probes=probes)))
    assert [attributes.get("class") for attributes in page.all("i")].count("dot") == 1
    assert "\N{EN DASH} (\N{EN DASH} to \N{EN DASH}) not measured" in page.text


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

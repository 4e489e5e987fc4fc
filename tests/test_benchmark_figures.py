"""Tests of how the benchmarks' figures are compared with the landed ones."""

import tomllib

import pytest

from tests.benchmarks.figures import FILE, Figures

LANDED = """
"rows" = { ratio = 2.0, date = 2026-11-28, load = 0.1 }
"other" = { ratio = 7.0, date = 2026-11-28, load = 0.1 }
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "figures.toml").write_text(LANDED)
    return tmp_path / "figures.toml"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(31, "1.6 times SLOWER: rows 3.1, was 2 on 2026-11-28"), (12, "1.7 times faster: rows 1.2, was 2 on 2026-11-28")],
)
def test_a_figure_that_changed_by_half_is_told(file, seconds, told):
    figures = Figures(file)
    figures.record("rows", seconds, beside=10)
    assert list(figures.lines())[:-1] == [told]


@pytest.mark.parametrize("seconds", [30, 20, 14])
def test_a_smaller_change_is_not(file, seconds):
    figures = Figures(file)
    figures.record("rows", seconds, beside=10)
    (line,) = figures.lines()
    assert line.startswith("1 figures")


def test_a_figure_that_never_landed_is_told(file):
    figures = Figures(file)
    figures.record("new", 5, beside=10)
    assert next(figures.lines()) == "not landed yet: new 0.5"


def test_a_missing_file_is_one_without_figures(tmp_path):
    figures = Figures(tmp_path / "figures.toml")
    figures.record("rows", 5, beside=10)
    assert next(figures.lines()).startswith("not landed yet")


def test_without_a_nearer_reference_the_reference_work_is_done(tmp_path):
    done = []
    figures = Figures(tmp_path / "figures.toml", reference=lambda: done.append(sum(range(100_000))))
    figures.record("rows", 5)
    assert len(done) == 3


def test_a_smoke_measures_and_compares_nothing(file):
    figures = Figures(file, smoke=True, reference=lambda: pytest.fail("a smoke has no use for it"))
    figures.record("rows", 1000)
    assert list(figures.lines()) == []


def test_saved_figures_land_and_others_stay(file):
    figures = Figures(file)
    figures.record("rows", 60, beside=10)
    figures.record("new", 5, beside=10)
    figures.save()
    saved = tomllib.loads(file.read_text())
    assert {name: row["ratio"] for name, row in saved.items()} == {"new": 0.5, "other": 7, "rows": 6}
    again = Figures(file)
    again.record("rows", 60, beside=10)
    assert len(list(again.lines())) == 1


def test_the_repository_holds_landed_figures():
    assert all(row["ratio"] > 0 and row["date"] for row in tomllib.loads(FILE.read_text()).values())

"""Refused rows as people meet them: a remedy for every reason, tables and pages that do nothing by themselves."""

import csv
import shlex

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.quarantine import harmless, write_csv, write_quarantine_page
from steps.core.dataset.label_resolution import WAIVABLE
from steps.validate.rules import RULES, Severity

REASONS = [rule.name for rule in RULES.values() if rule.severity is Severity.QUARANTINE]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_remedy(reason):
    assert RULES[reason].remedy.text.endswith(".")


@pytest.mark.parametrize("reason", WAIVABLE)
def test_what_can_be_waived_is_to_be_decided_and_says_so(reason):
    remedy = RULES[reason].remedy
    assert remedy.means == "decide"
    assert f"--waive {reason}" in remedy.text


def test_a_command_is_one_that_a_shell_takes_as_it_is_meant():
    words = shlex.split(RULES["label-conflict"].remedy.command("b:1", "0" * 64, ("no; rm -rf x", "yes")))
    assert words[:5] == ["tilegate", "data", "decide", "0" * 12, "no; rm -rf x|yes"]


def test_a_screenshot_that_nobody_knows_cannot_be_decided_on():
    assert RULES["label-conflict"].remedy.command("b:1", "", ("no", "yes")) == ""


@given(st.text(max_size=20))
def test_no_cell_begins_a_formula_and_none_loses_anything(cell):
    safe = harmless(cell)
    assert safe in (cell, f"'{cell}")
    assert not safe.lstrip().startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    assert not safe.startswith(("\t", "\r", "\n"))


def rows(*cells):
    columns = ["batch", "labels", "row", "source_ref", "sha256", "reason", "detail", "screenshot"]
    return pd.DataFrame([("b", "l.csv", at, *more) for at, more in enumerate(cells, start=2)], columns=columns)


def test_a_table_holds_every_row_as_it_is(tmp_path):
    write_csv(tmp_path / "q.csv", rows(('a,"b".png', "", "path", "=cmd()", ""), ("b.png", "", "label", "x", "")))
    with (tmp_path / "q.csv").open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [row["source_ref"] for row in read] == ['a,"b".png', "b.png"]
    assert [row["detail"] for row in read] == ["'=cmd()", "x"]


def page_of(tmp_path, table, **more):
    options = {"classes": ("negative", "positive"), "subject": "Run r", "commands": True, **more}
    write_quarantine_page(tmp_path / "q.html", table, {}, **options)
    return (tmp_path / "q.html").read_text()


def test_a_page_escapes_what_the_data_say(tmp_path):
    hostile = "<script>alert(1)</script>\u202egnp.exe"
    page = page_of(tmp_path, rows((hostile, "", "label", hostile, "")))
    assert "<script>" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "script-src 'none'" in page


def test_a_page_shows_the_first_rows_of_a_reason_and_counts_the_rest(tmp_path):
    page = page_of(tmp_path, rows(*[("a.png", "", "label", "x", "")] * 70))
    assert page.count("<li>") == 60
    assert "and 10 more" in page


def test_a_page_of_no_row_says_so(tmp_path):
    assert "No row was refused." in page_of(tmp_path, rows())


def test_a_page_of_data_that_are_in_no_catalogue_has_no_command(tmp_path):
    assert "tilegate" not in page_of(tmp_path, rows(("a.png", "", "label", "x", "")), commands=False)

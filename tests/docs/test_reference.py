"""docs/reference.md is what the code says, and leaves nothing out."""

import re

import click

from pipelines.cli import cli
from tests.docs import reference


def test_the_page_is_what_its_program_writes():
    assert reference.PAGE.read_text() == reference.page(), "run: .venv/bin/python tests/docs/reference.py"


def test_a_page_that_differs_is_an_error_of_the_check(monkeypatch, tmp_path, capsys):
    page = tmp_path / "reference.md"
    monkeypatch.setattr(reference, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["reference.py"])
    assert reference.main() == 0
    monkeypatch.setattr("sys.argv", ["reference.py", "--check"])
    assert reference.main() == 0
    page.write_text(page.read_text().replace("0.02", "0.03"))
    assert reference.main() == 1
    assert "reference.py" in capsys.readouterr().err


def test_it_has_a_heading_for_each_command():
    headings = re.findall(r"^### tilegate (\w+)", reference.page(), re.MULTILINE)
    assert set(headings) == set(cli.list_commands(click.Context(cli)))
    models = re.findall(r"^### tilegate models (\w+)", reference.page(), re.MULTILINE)
    assert set(models) == set(cli.get_command(click.Context(cli), "models").commands)


def test_it_names_every_environment_variable_that_the_code_reads():
    sources = [file for folder in ("infra", "pipelines", "steps") for file in (reference.ROOT / folder).rglob("*.py")]
    found = {name for file in sources for name in re.findall(r"\"(TILEGATE_[A-Z_]+)\"", file.read_text())}
    assert found == set(reference.VARIABLES)

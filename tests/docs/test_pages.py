"""README.md and docs/: links lead somewhere, and every command that they name exists as it is written."""

import re
import shlex
from pathlib import Path

import click
import pytest

from pipelines.cli import cli

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "SECURITY.md")
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# What stands in a page for whatever a reader puts there.
ELLIPSES = {"…", "COMMAND"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(text):
    """The lines of a page's blocks of shell, continued ones as one."""
    return [line.strip() for block in SHELL.findall(text) for line in block.replace("\\\n", " ").splitlines()]


def words_of(line):
    """What follows `tilegate` in a line of a shell, None if it calls no such thing or only asks for help.

    Words that another command prints are left out.
    """
    found = re.search(r"(?:^|[ /])tilegate ([^|>&]+)", re.sub(r"\$\([^)]*\)", "", line))
    words = shlex.split(found[1], comments=True) if found else []
    return None if "--help" in words else words or None


def mistake(words, *, whole):
    """Say what is wrong with a command, None if nothing is. A `whole` one has all that it needs."""
    command, ctx, words = cli, click.Context(cli, info_name="tilegate"), list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name in ELLIPSES:
            return None
        inner = command.get_command(ctx, name)
        if inner is None:
            return f"{ctx.command_path} has no command {name}"
        command, ctx = inner, click.Context(inner, info_name=name, parent=ctx)
    if not whole:
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        return next((f"no option {word}" for word in words if word.startswith("--") and word not in known), None)
    if isinstance(command, click.Group) and not command.invoke_without_command:
        return f"{ctx.command_path} is no whole command"
    try:
        given, rest, _ = command.make_parser(ctx).parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    missing = [p.name for p in command.params if p.required and not p.envvar and given.get(p.name) in (None, ())]
    return f"missing {missing}" if missing else f"too much: {rest}" if rest else None


def test_the_readme_has_at_most_200_lines():
    assert len(README.read_text().splitlines()) <= 200


def test_the_kotlin_of_the_android_page_is_that_of_the_sources_but_for_what_is_said_to_be_untested():
    sources = [path.read_text() for path in (ROOT / "docs" / "android").glob("*.kt")]
    page = (ROOT / "docs" / "android.md").read_text()
    excerpts = re.findall(r"^```kotlin\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    elsewhere = [text for text in excerpts if not any(text in source for source in sources)]
    assert len(elsewhere) == 1 < len(excerpts)
    assert re.search(r"\*\*not run\*\*[^`]*```kotlin\n" + re.escape(elsewhere[0]), page)


@each_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


def test_every_page_is_on_the_map():
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)", README.read_text()))
    assert linked == {str(page.relative_to(ROOT)) for page in PAGES if page.parent.name == "docs"}


@each_page
def test_every_command_in_a_code_block_can_be_typed(page):
    for line in blocks(page.read_text()):
        if words := words_of(line):
            assert mistake(words, whole=True) is None, f"{page.name}: {line}"


@each_page
def test_every_command_in_a_sentence_exists_with_its_options(page):
    for span in SPAN.findall(BLOCK.sub("", page.read_text())):
        if page.name != "reference.md" and span.startswith("tilegate ") and (words := words_of(span)):
            assert mistake(words, whole=False) is None, f"{page.name}: {span}"


@each_page
def test_every_program_that_is_named_is_there(page):
    for module in re.findall(r"python3? -m ((?:steps|pipelines|infra)[\w.]*)", page.read_text()):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), f"{page.name}: {module}"


@each_page
def test_every_test_that_proves_something_is_there(page):
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {name}(" in (ROOT / path).read_text(), f"{page.name}: {path}::{name}"


def test_every_threat_names_a_test():
    rows = [line for line in (ROOT / "docs" / "threats.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    assert [row for row in rows if "::test_" not in row and not row.endswith("| test |")] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("tilegate models approve 7 --by NAME --reason TEXT   # a comment", None),
        (".venv/bin/tilegate run --data PATH", None),
        ("tilegate models approve 7 --by NAME", "missing"),
        ("tilegate run --no-such 1", "No such option"),
        ("tilegate models bless 7", "no command bless"),
        ("tilegate data gc everything", "missing|too much"),
        ("tilegate data", "no whole command"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(line, wrong):
    found = mistake(words_of(line), whole=True)
    assert found is None if wrong is None else re.search(wrong, found)

"""The fields of --json, as docs/operate.md has them."""

import re
from pathlib import Path

_ROW = re.compile(r"^\| (`[^|]+`) \| (.+) \|$", re.MULTILINE)


def documented(command: str) -> set[str]:
    """Return every field that the page names for a command."""
    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()
    return {
        field
        for commands, fields in _ROW.findall(page.partition("## For scripts")[2])
        if f"`{command}`" in commands
        for field in re.findall(r"`(\w+)`", fields)
    }

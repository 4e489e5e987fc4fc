"""The options `--by` and `--reason` of whatever a person decides."""

from collections.abc import Callable
from typing import Any

import click


def decision_options(kept: str, does: str = "decides") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--by` and `--reason`, both wanted; `kept` says with what they are kept."""

    def added(command: Callable[..., Any]) -> Callable[..., Any]:
        why = click.option("--reason", required=True, metavar="TEXT", help=f"Why; kept with the {kept}.")(command)
        return click.option("--by", required=True, metavar="NAME", help=f"Who {does}; kept with the {kept}.")(why)

    return added

"""The table of `tilegate models diff`: two versions side by side, as wide as the terminal."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.output import terminal_width

if TYPE_CHECKING:
    from pipelines.registry.difference import Fact, Side

_NAME = 20
_SHOWN = 20


def tell(a: "Side", b: "Side") -> None:
    """Print what is worth comparing; * marks where they differ."""
    from pipelines.registry.difference import batches_of_one, facts, hyperparameters

    click.echo(_row(" ", "", f"A: version {a.version.version}", f"B: version {b.version.version}"))
    for fact in facts(a, b):
        click.echo(_line(fact))
    trained = hyperparameters(a, b)
    other = [fact for fact in trained if fact.a != fact.b]
    for fact in other:
        click.echo(_line(fact))
    if len(trained) > len(other):
        click.echo(f"  {len(trained) - len(other)} hyperparameters are the same in both")
    click.echo("  Rates are those of the test split, with their one-sided bounds.")
    for line in _batches(batches_of_one(a, b), a, b):
        click.echo(f"  {line}")


def _batches(found: tuple[list[str], list[str]] | None, a: "Side", b: "Side") -> Iterator[str]:
    if found is None:
        unknown = " and ".join(name for name, side in (("A", a), ("B", b)) if side.batches is None)
        yield f"The dataset of {unknown} is not at hand, so nobody knows which batches differ."
        return
    for name, batches in zip("AB", found, strict=True):
        for batch in batches[:_SHOWN]:
            yield f"batch {batch} is in {name} alone"
        if len(batches) > _SHOWN:
            yield f"and {len(batches) - _SHOWN:,} more batches are in {name} alone; --json tells all"
    if not any(found):
        yield "Both saw the same batches."


def _line(fact: "Fact") -> str:
    mark = "*" if fact.a != fact.b else " "
    return _row(mark, fact.name, _told(fact.a, fact.kind), _told(fact.b, fact.kind))


def _row(mark: str, name: str, a: str, b: str) -> str:
    side = max(((terminal_width() or 100) - _NAME - 4) // 2, 12)
    return f"{mark} {_cut(name, _NAME):<{_NAME}} {_cut(a, side):<{side}} {_cut(b, side)}".rstrip()


def _cut(text: str, width: int) -> str:
    # The end of a long name (an image's digest) tells more than its beginning.
    return text if len(text) <= width else "..." + text[3 - width :]


def _told(value: Any, kind: str) -> str:
    return "-" if value is None else _KINDS.get(kind, str)(value)


def _rate(rate: Mapping[str, Any]) -> str:
    bounds = f"{100 * rate['lower']:.3g} to {100 * rate['upper']:.3g} %"
    return f"{100 * rate['value']:.3g} % ({bounds}), {rate['count']:,} of {rate['trials']:,}"


_KINDS: Mapping[str, Callable[[Any], str]] = {
    "rate": _rate,
    "percent": lambda value: f"{100 * value:.3g} %",
    "bytes": lambda value: f"{value:,} bytes",
    "count": lambda value: f"{value:,}",
    "number": lambda value: f"{value:.6g}",
}

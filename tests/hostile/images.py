"""The corpus of hostile images: deterministic, drawn in code, never committed as files."""

from collections.abc import Callable, Iterator

from hostile import foreign, jpeg, png, webp
from hostile.mutant import Mutant, named

KINDS: dict[str, Callable[[], Iterator[Mutant]]] = {
    **png.GENERATORS,
    **jpeg.GENERATORS,
    **webp.GENERATORS,
    **foreign.GENERATORS,
}
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


def mutants(kind: str) -> Iterator[Mutant]:
    """The mutants of one kind; their names can be names of files."""
    return named(SUFFIXES.get(kind.split(maxsplit=1)[0], ""), KINDS[kind]())

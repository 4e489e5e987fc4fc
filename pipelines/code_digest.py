"""Digests of the step programs on one machine, where this very installation stands for the container images.

In AWS an image's digest tells when its code has changed; here the digest is taken of the sources that a step's
program can import, and of the versions of the libraries these import, so that a change of one step re-runs that step.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import itertools
import platform
from collections.abc import Iterator
from pathlib import Path

from pipelines.definition.settings import Settings
from pipelines.executor.errors import DefinitionError
from pipelines.executor.images import Image

_PACKAGE = "steps"
_ENTRYPOINT = ("python3", "-m", "steps.train")
# Where the name to import is not the name to install, and what a library does its part of the work with.
_DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "pandas": ("pandas", "pyarrow"),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "tf_keras": ("tf-keras", "h5py"),
}


class LocalImages:
    """Resolves the images that the settings name; others are refused."""

    def __init__(self, settings: Settings) -> None:
        self._known = {settings.data_image, settings.model_image}

    def __call__(self, uri: str, command: tuple[str, ...]) -> Image:
        if uri not in self._known:
            raise DefinitionError(f"image {uri} is not one of this installation's: {', '.join(sorted(self._known))}")
        started = command or _ENTRYPOINT
        modules = [after for word, after in itertools.pairwise(started) if word == "-m"]
        return Image(_ENTRYPOINT, program_digest(modules[0] if modules else _ENTRYPOINT[-1]))


@functools.cache
def program_digest(module: str) -> str:
    """Return the digest of everything that `python3 -m <module>` runs: sources, data files, library versions."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256(platform.python_version().encode())
    libraries: set[str] = set()
    for name, path in sorted(_closure(module, root).items()):
        for source in [path, *(_data_files(path.parent) if path.name == "__init__.py" else [])]:
            digest.update(f"\0{source.relative_to(root).as_posix()}\0".encode() + source.read_bytes())
        libraries |= {imported.partition(".")[0] for imported in _imports(name, path)}
    for library in sorted(libraries):
        digest.update(f"\0{library}\0{_version(library)}".encode())
    return digest.hexdigest()


def _closure(module: str, root: Path) -> dict[str, Path]:
    """Return the modules of the step package that `module` imports, directly or not, lazily or not, by name."""
    found: dict[str, Path] = {}
    # `python3 -m` of a package runs its `__main__`.
    waiting = [module, f"{module}.__main__"]
    while waiting:
        name = waiting.pop()
        path = _source(name, root)
        if name in found or path is None:
            continue
        found[name] = path
        parents = name.split(".")
        waiting += [".".join(parents[:depth]) for depth in range(1, len(parents))]
        waiting += [imported for imported in _imports(name, path) if imported.startswith(_PACKAGE)]
    return found


def _source(name: str, root: Path) -> Path | None:
    stem = root.joinpath(*name.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def _imports(name: str, path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes(), filename=name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _data_files(package: Path) -> list[Path]:
    """Return the files that belong to a package itself, as its templates do: not code, not a sub-package's."""
    files = []
    for path in sorted(package.rglob("*")):
        owner = next(parent for parent in path.parents if (parent / "__init__.py").exists())
        if path.is_file() and owner == package and path.suffix not in (".py", ".pyc"):
            files.append(path)
    return files


def _version(library: str) -> str:
    """Return the versions that a library's name stands for; "" for the standard library's modules."""
    versions = []
    for distribution in _DISTRIBUTIONS.get(library, (library,)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{distribution} {importlib.metadata.version(distribution)}")
    return ", ".join(versions)

"""Digests of our own code: the sources that a module can import of this project, and the versions of the libraries.

In AWS an image's digest tells when the code of a step has changed; on one machine this does, so that a change of one
step re-runs that step, and a change of what the definition is made of compiles it anew.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("steps", "pipelines")
# Where the name to import is not the name to install, and what a library does its part of the work with.
_DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "cv2": ("opencv-python-headless",),
    "pandas": ("pandas", "pyarrow"),
    "sklearn": ("scikit-learn",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "tf_keras": ("tf-keras", "h5py"),
}


@functools.cache
def program_digest(module: str) -> str:
    """Return the digest of everything that `python3 -m <module>` runs: sources, data files, library versions."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256(platform.python_version().encode())
    libraries: set[str] = set()
    for path, source in sorted(_closure(module, root).items()):
        for other in _data_files(path.parent) if path.name == "__init__.py" else ():
            digest.update(f"\0{other.relative_to(root).as_posix()}\0".encode() + other.read_bytes())
        digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode() + source)
        libraries |= {imported.partition(".")[0] for imported in _imports(source)}
    for library in sorted(libraries - {*_PACKAGES} - sys.stdlib_module_names):
        digest.update(f"\0{library}\0{_version(library)}".encode())
    return digest.hexdigest()


def _closure(module: str, root: Path) -> dict[Path, bytes]:
    """Return the sources of what `module` imports of this project, directly or not, lazily or not."""
    found: dict[Path, bytes] = {}
    seen: set[str] = set()
    # `python3 -m` of a package runs its `__main__`.
    waiting = [module, f"{module}.__main__"]
    while waiting:
        name = waiting.pop()
        path = None if name in seen else _source(name, root)
        seen.add(name)
        if path is not None:
            found[path] = path.read_bytes()
            parents = name.split(".")
            waiting += [".".join(parents[:depth]) for depth in range(1, len(parents))]
            waiting += [name for name in _imports(found[path]) if name.partition(".")[0] in _PACKAGES]
    return found


def _source(name: str, root: Path) -> Path | None:
    stem = root.joinpath(*name.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


@functools.cache
def _imports(source: bytes) -> tuple[str, ...]:
    """Return the modules that a source may import, and what it takes from them as if it were modules too."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    return tuple(found)


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield the files that belong to a package itself, as its templates do: not code, not a sub-package's."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            yield path
        elif path.is_dir() and not (path / "__init__.py").exists():
            yield from _data_files(path)


def _version(library: str) -> str:
    """Return the versions that a library's name stands for; "" for what is not installed."""
    versions = []
    for distribution in _DISTRIBUTIONS.get(library, (library,)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{distribution} {importlib.metadata.version(distribution)}")
    return ", ".join(versions)

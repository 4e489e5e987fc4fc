"""Rewriting `/opt/ml`, the root of every SageMaker container, to a job's own folder."""

import re
from pathlib import Path

CONTAINER_ROOT = "/opt/ml"
# Only a whole path prefix: at the start or after a character that a path in a command line may follow, and followed
# by the end of the path segment ("/opt/mlflow" and "/data/opt/ml" are other folders).
_BEFORE = r'(?:(?<![\s\S])|(?<=[=:,"\s]))'
_AFTER = r'(?=[/=:,"\s]|\Z)'
_WHOLE_PREFIX = re.compile(_BEFORE + re.escape(CONTAINER_ROOT) + _AFTER)


def rewrite(text: str, root: Path) -> str:
    """Return `text` with each `/opt/ml` that is a whole path prefix replaced by `<root>/opt/ml`."""
    return _WHOLE_PREFIX.sub(lambda _: f"{root}{CONTAINER_ROOT}", text)


def host_path(container_path: str, root: Path) -> Path:
    """Return where an absolute path inside the container lies on this machine; never outside of `root`."""
    return root.joinpath(*(part for part in container_path.split("/") if part not in {"", ".", ".."}))

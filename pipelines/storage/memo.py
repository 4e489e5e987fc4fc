"""What a bucket remembers of what it would have to read again: lost or damaged, it is only worked out once more.

Everything lies under `plans/memo/<version>/`, and may be removed at any time.
"""

import json
from typing import Any

from pipelines.storage.protocol import NoSuchObject, ObjectStore

MEMO = "plans/memo/1"


def read_memo(objects: ObjectStore, name: str) -> dict[str, Any]:
    """Return a memo, empty if there is none that can be read."""
    try:
        value = json.loads(objects.get(f"{MEMO}/{name}.json"))
    except (NoSuchObject, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_memo(objects: ObjectStore, name: str, value: dict[str, Any]) -> None:
    objects.put(f"{MEMO}/{name}.json", json.dumps(value, sort_keys=True).encode())

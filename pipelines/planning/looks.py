"""The looks at test splits, as the steps leave them among the artefacts: what the ledger of a run is made of."""

from pathlib import PurePosixPath

from pipelines.definition.settings import LEDGER
from pipelines.planning.earlier_runs import JUDGES
from pipelines.storage.protocol import ObjectStore


def all_looks(artifacts: ObjectStore) -> list[tuple[str, str]]:
    """Return the name and the key of every look in the ledger."""
    # Each judge has a folder of its own: two steps of a run may not write to one place.
    keys = [info.key for step in JUDGES for info in artifacts.list(f"{LEDGER}/{step}/")]
    return [(PurePosixPath(key).stem, key) for key in sorted(keys) if key.endswith(".json")]

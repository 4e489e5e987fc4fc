"""Which parts of the facts, of the tile store and of the features anything still uses."""

from collections.abc import Callable

from pipelines.data.catalogue import Catalogue
from pipelines.data.new_images import Parts
from pipelines.definition.step_table import INDEX
from pipelines.storage.bulk import Mirror
from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.dataset.plan import DATASETS, FACTS, INSPECTOR, SHARDS_MANIFEST, TILES, Source
from steps.core.dataset.snapshot import MANIFEST, read_place

_SHARDS = f"*/{INDEX.name}/tiles/{SHARDS_MANIFEST}"


def part_is_used(catalogue: Catalogue) -> Callable[[str], bool]:
    """Return what tells whether the part at a URI (`s3://<bucket>/tiles/<spec>/<part>`) is used.

    It is, if a snapshot or the catalogue as it is now has the part; facts only of the present INSPECTOR. Raises
    UserError if a snapshot or a listing cannot be read: then nobody knows.
    """
    used = _parts(catalogue)
    facts = catalogue.uri(FACTS) + "/"

    def is_used(uri: str) -> bool:
        version, _, part = uri.removeprefix(facts).partition("/")
        if uri.startswith(facts):
            return version == INSPECTOR and part in used
        return uri.rpartition("/")[2] in used

    return is_used


def shards_of_runs(catalogue: Catalogue) -> frozenset[str]:
    """Return the URIs of the shards that a run's index of tiles names; raises UserError if one cannot be read."""
    found: set[str] = set()
    for path in catalogue.store.path(catalogue.uri("runs")).glob(_SHARDS):
        manifest = read_json(path)
        try:
            found.update(catalogue.uri(TILES, str(shard)) for shard in manifest[1:])
        except (TypeError, KeyError) as error:
            raise UserError(f"{path} is no list of shards ({error}): nobody knows what is still in use") from None
    return frozenset(found)


def _parts(catalogue: Catalogue) -> set[str]:
    bucket = catalogue.store.path(catalogue.uri())
    # The folder of the bucket is its own mirror: nothing is copied.
    parts = Parts(catalogue.data, Mirror(catalogue.data, bucket), keep=False)
    used = {part.digest for part in parts.ledger(Source(""), catalogue.batches()).parts}
    for manifest in (bucket / DATASETS).glob(f"*/{MANIFEST}"):
        source = Source(manifest.parent.name, read_place(manifest.parent))
        used |= {part.digest for part in parts.ledger(source, source.batches(bucket)).parts}
    return used

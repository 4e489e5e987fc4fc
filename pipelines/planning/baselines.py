"""Baselines of a run from earlier ones: champion, ledger of looks at test splits, data to compare with, warm starts.

Champion and ledger are folders among the artefacts, named so that an identical run finds identical inputs, although the
first one has meanwhile become the champion or has left its own looks in the ledger.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pipelines.data.snapshots import Snapshot, source_of
from pipelines.definition.parameters import MOST_WARM_START_PARENTS, STATIC
from pipelines.definition.settings import CHAMPIONS, LEDGERS, NONE
from pipelines.planning.earlier_runs import EarlierRun, all_looks, before
from pipelines.registry.protocol import ModelRegistry, ModelVersion
from pipelines.storage.bulk import at_once
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.plan import Source
from steps.core.gate.test_set_ledger import FILE_NAME as LEDGER_FILE
from steps.core.gate.test_set_ledger import Consultation, ledger_of

ARCHIVE = "model.tar.gz"
# What a trial is: the names of its hyperparameters, the seed, and more. Nights that differ in it are of other searches.
_ALIKE = ("Search", "Classes", "TileSize", "PretrainedWeightsUri", *STATIC.values())


def champion_source(champion: ModelVersion | None, snapshot: Snapshot, data: ObjectStore) -> Source | None:
    """Return what the approved model was trained on, if that is known, still there, and other data than these."""
    if champion is None or "dataset" not in champion.metadata:
        return None
    found = source_of(champion.metadata["dataset"], data)
    if found is None or found.snapshot == snapshot.source.snapshot:
        return None
    return dataclasses.replace(found, name=f"version {champion.version}")


def previous_source(earlier: Sequence[EarlierRun], snapshot: Snapshot, data: ObjectStore) -> Source | None:
    """Return what the last run before this snapshot's first one was about, if it was about data of the same place."""
    for run in reversed(before(earlier, snapshot.uri)):
        if run.has_validated and (uri := run.parameters.get("DatasetUri")):
            found = source_of(str(uri), data)
            if found and found.place == snapshot.source.place:
                return dataclasses.replace(found, name=f"the last run's {found.snapshot[:12]}")
    return None


def warm_start_parents(earlier: Sequence[EarlierRun], pipeline: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tuning jobs to start warm from, the latest first; at most five, as SageMaker allows.

    Their trials tell where good hyperparameters lie, not how good they are: on other data the same ones score
    otherwise. So the search compares a trial with those of its own night only (`pipelines.executor.search`).

    Parents are of earlier data: of the runs before the first one on this dataset, so that a repeated run has the same
    ones and finds its own result again. `earlier` begins with the oldest; nights' records hold text.
    """
    alike = (
        run
        for run in before(earlier, parameters["DatasetUri"])
        if run.pipeline == pipeline and all(str(run.parameters.get(n)) == str(parameters[n]) for n in _ALIKE)
    )
    parents = [job for run in alike if (job := run.tuning_job())]
    return tuple(dict.fromkeys(reversed(parents)))[:MOST_WARM_START_PARENTS]


def champion_uri(
    artifacts: ObjectStore, registry: ModelRegistry, group: str, earlier: Sequence[EarlierRun], identity: str
) -> str:
    """Bring the approved champion's bundle among the artefacts and return its folder's URI; or that of no champion.

    A run that repeats the one which made the champion is compared with what that one was compared with: against
    itself a model proves nothing. Raises RegistryError if the champion's bytes are not those that were registered.
    """
    champion = registry.load_champion(group)
    if champion is None:
        return artifacts.uri(f"{CHAMPIONS}/{NONE}")
    maker = next((run for run in earlier if run.id == champion.execution_id), None)
    if maker is not None and _identity(maker, artifacts) == identity:
        uri = str(maker.parameters["ChampionUri"])
        if any(artifacts.list(uri.removeprefix(_bucket(artifacts)) + "/")):
            return uri
    key = f"{CHAMPIONS}/{champion.sha256}/{ARCHIVE}"
    if artifacts.info(key) is None:
        with scratch("champion") as folder:
            artifacts.upload(registry.download(champion, folder), key)
    return artifacts.uri(f"{CHAMPIONS}/{champion.sha256}")


def ledger_uri(artifacts: ObjectStore, earlier: Sequence[EarlierRun], identity: str) -> str:
    """Write the ledger as this run shall see it, and return its folder's URI; raises UserError for a damaged entry.

    The looks of runs that were asked for the same are left out: they are no others than this run's own. So are the
    moments, because a look that is repeated bears a new one.
    """
    own = {name for run in earlier if _identity(run, artifacts) == identity for name in run.looks()}
    others = [key for name, key in all_looks(artifacts) if name not in own]
    entries = at_once(lambda key: _read(artifacts, key), others)
    data = ledger_of(dataclasses.replace(entry, moment="") for entry in entries)
    prefix = f"{LEDGERS}/{identity}/{hashlib.sha256(data).hexdigest()[:32]}"
    with suppress(LostRace):
        artifacts.put(f"{prefix}/{LEDGER_FILE}", data, only_if_absent=True)
    return artifacts.uri(prefix)


def _bucket(artifacts: ObjectStore) -> str:
    return artifacts.uri().rstrip("/") + "/"


def _identity(run: EarlierRun, artifacts: ObjectStore) -> str | None:
    """Return the identity of an earlier run, which its ledger's URI carries."""
    prefix = f"{_bucket(artifacts)}{LEDGERS}/"
    uri = str(run.parameters.get("LedgerUri", ""))
    return uri.removeprefix(prefix).partition("/")[0] if uri.startswith(prefix) else None


def _read(artifacts: ObjectStore, key: str) -> Consultation:
    try:
        return Consultation.from_dict(json.loads(artifacts.get(key)))
    except (UserError, ValueError) as error:
        raise UserError(
            f"the look at a test split in {artifacts.uri(key)} is damaged: {error}; restore the file, because without "
            "it nobody knows how often the split has been used"
        ) from None

"""What a candidate is judged against besides the data: the champion, and the ledger of earlier looks at test splits.

Both are folders among the artefacts, named so that an identical run finds identical inputs, although the first one has
meanwhile become the champion or has left its own looks in the ledger.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress

from pipelines.definition.settings import CHAMPIONS, LEDGERS, NONE
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.planning.looks import all_looks
from pipelines.registry.protocol import ModelRegistry, ModelVersion, RegistryError
from pipelines.storage.bulk import at_once
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.gate.test_set_ledger import FILE_NAME as LEDGER_FILE
from steps.core.gate.test_set_ledger import Consultation, ledger_of

ARCHIVE = "model.tar.gz"


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
        _bring(champion, registry, artifacts, key)
    return artifacts.uri(f"{CHAMPIONS}/{champion.sha256}")


def _bring(champion: ModelVersion, registry: ModelRegistry, artifacts: ObjectStore, key: str) -> None:
    source = champion.artifact_uri.removeprefix(_bucket(artifacts))
    if source == champion.artifact_uri:
        with scratch("champion") as folder:
            artifacts.upload(registry.download(champion, folder), key)
        return
    # It lies in this very bucket: a copy inside of it moves no bytes through here.
    found = artifacts.sha256(source)
    if found != champion.sha256:
        raise RegistryError(
            f"{champion.artifact_uri} of version {champion.version} has sha256 {found}, but {champion.sha256} was "
            "registered: it was changed since; do not use it, register the model again"
        )
    artifacts.copy(source, key)


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

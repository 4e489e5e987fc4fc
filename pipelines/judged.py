"""What a candidate is judged against besides the data: the champion, and the ledger of earlier looks at test splits.

Both are folders in the store, named so that an identical run finds identical inputs, although the first one has
meanwhile become the champion or has left its own looks in the ledger.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.images import program_digest
from pipelines.local import LocalStore, RunSummary, load_runs
from pipelines.local.files import read_json
from pipelines.parameters import CHAMPIONS, LEDGER, LEDGERS, NONE
from pipelines.registry import MlflowRegistry
from pipelines.settings import Settings
from steps.core.errors import UserError
from steps.core.files import sha256_file
from steps.core.ledger import FILE_NAME as LEDGER_FILE
from steps.core.ledger import Consultation, write_ledger

NO_CHAMPION = "champion.json"
JUDGES = ("EvaluateModel", "ConvertToTFLite")
_PROGRAMS = ("validate", "preprocess", "train", "evaluate", "convert")
# Not part of what a run is asked for: they follow from it, or from what was there when it started.
_DERIVED = ("PlanUri", "ChampionUri", "LedgerUri")


def identity_of(parameters: Mapping[str, Any]) -> str:
    """Return the digest of what a run on this machine is asked for: its parameters and the code of every program."""
    asked = {name: value for name, value in sorted(parameters.items()) if name not in _DERIVED}
    code = [program_digest(f"steps.{program}") for program in _PROGRAMS]
    return hashlib.sha256(json.dumps([asked, code], default=str).encode()).hexdigest()[:32]


def champion_uri(home: Path, store: LocalStore, settings: Settings, identity: str) -> str:
    """Bring the approved champion's bundle into the store and return its folder's URI; or that of no champion.

    A run that repeats the one which made the champion is compared with what that one was compared with: against
    itself a model proves nothing. Raises RegistryError if the champion's bytes are not those that were registered.
    """
    registry = MlflowRegistry(home)
    champion = registry.load_champion(settings.model_package_group)
    if champion is None:
        return _no_champion(store, settings)
    maker = next((run for run in load_runs(home) if run.id == champion.execution_id), None)
    if maker is not None and _identity(maker, settings) == identity and store.exists(maker.parameters["ChampionUri"]):
        return str(maker.parameters["ChampionUri"])
    uri = settings.uri(CHAMPIONS, champion.sha256)
    if not store.exists(uri):
        with store.scratch() as staged:
            registry.download(champion, staged)
            store.commit(staged, uri, give_up=True)
    return uri


def ledger_uri(home: Path, store: LocalStore, settings: Settings, identity: str) -> str:
    """Write the ledger as this run shall see it, and return its folder's URI; raises UserError for a damaged entry.

    The looks of runs that were asked for the same are left out: they are no others than this run's own. So are the
    moments, because a look that is repeated bears a new one.
    """
    own = set[str]()
    for run in load_runs(home):
        if _identity(run, settings) == identity:
            own |= set(_looks_of(run))
    folder = store.path(settings.uri(LEDGER))
    # Each judge has a folder of its own: two steps of a run may not write to one place.
    entries = [_read(path) for path in sorted(folder.glob("*/*.json")) if path.name not in own]
    with store.scratch() as staged:
        write_ledger(staged, [dataclasses.replace(entry, moment="") for entry in entries])
        uri = settings.uri(LEDGERS, identity, sha256_file(staged / LEDGER_FILE)[:32])
        if not store.exists(uri):
            store.commit(staged, uri, give_up=True)
    return uri


def _no_champion(store: LocalStore, settings: Settings) -> str:
    uri = settings.uri(CHAMPIONS, NONE)
    if not store.exists(uri):
        store.put_bytes((json.dumps({"champion": None}) + "\n").encode(), f"{uri}/{NO_CHAMPION}")
    return uri


def _identity(run: RunSummary, settings: Settings) -> str | None:
    """Return the identity of an earlier run, which its ledger's URI carries."""
    prefix = settings.uri(LEDGERS) + "/"
    uri = str(run.parameters.get("LedgerUri", ""))
    return uri.removeprefix(prefix).partition("/")[0] if uri.startswith(prefix) else None


def _looks_of(run: RunSummary) -> Iterator[str]:
    for step in JUDGES:
        folder = run.run_dir / "steps" / step
        # A rejected conversion has looked as well, but a failed step has no outputs in its result.
        yield from (path.name for path in (folder / "opt/ml/processing/output/new-ledger").glob("*.json"))
        document = read_json(folder / "result.json")
        if document and "new-ledger" in document["outputs"]:
            yield from document["outputs"]["new-ledger"]["keys"]


def _read(path: Path) -> Consultation:
    try:
        return Consultation.from_dict(read_json(path))
    except UserError as error:
        raise UserError(
            f"the look at a test split in {path} is damaged: {error}; restore the file, because without it nobody "
            "knows how often the split has been used"
        ) from None

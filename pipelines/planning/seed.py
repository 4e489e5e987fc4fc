"""The seed of the artefacts: what a start takes by default, and the weights that people bring."""

from contextlib import suppress
from pathlib import Path

from pipelines.definition.settings import CHAMPIONS, LEDGERS, NONE
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.gate.test_set_ledger import FILE_NAME as LEDGER_FILE
from steps.core.gate.test_set_ledger import ledger_of
from steps.network.weights import WEIGHTS_SUFFIX

NO_CHAMPION = "champion.json"
# A small backbone that knows the sample's kind of screens; `tests/make_sample_backbone.py` makes it.
SAMPLE_WEIGHTS = Path(__file__).with_name(f"sample{WEIGHTS_SUFFIX}")


def seed(artifacts: ObjectStore) -> list[str]:
    """Write no champion, no looks and the sample's backbone, and return the keys of what was not there yet."""
    wanted = {
        f"{CHAMPIONS}/{NONE}/{NO_CHAMPION}": b'{"champion": null}\n',
        f"{LEDGERS}/{NONE}/{LEDGER_FILE}": ledger_of([]),
        f"weights/sample/{SAMPLE_WEIGHTS.name}": SAMPLE_WEIGHTS.read_bytes(),
    }
    made = []
    for key, data in wanted.items():
        if artifacts.info(key) is None:
            with suppress(LostRace):
                artifacts.put(key, data, only_if_absent=True)
                made.append(key)
    return made


def weights_folder(path: Path) -> str:
    """Return the folder under `weights/` of a backbone, which is its digest; raises UserError for another file."""
    if not path.name.endswith(WEIGHTS_SUFFIX):
        raise UserError(f"{path} is no *{WEIGHTS_SUFFIX}: save the backbone with Keras's `save_weights`")
    return sha256_file(path)[:32]


def upload_weights(path: Path, artifacts: ObjectStore) -> str | None:
    """Bring a backbone among the artefacts and return its key, None if it is there already."""
    key = f"weights/{weights_folder(path)}/pretrained{WEIGHTS_SUFFIX}"
    if artifacts.info(key) is not None:
        return None
    artifacts.upload(path, key)
    return key


def weights_sha256(artifacts: ObjectStore, uri: str) -> str:
    """Return the sha256 of the backbone in the folder at `uri`; raises UserError unless there is exactly one."""
    folder = uri.removeprefix(artifacts.uri()).rstrip("/") + "/"
    if "://" in folder:
        raise UserError(f"pretrained weights at {uri}: a folder below {artifacts.uri('weights/')} is wanted")
    names = [info.key.removeprefix(folder) for info in artifacts.list(folder)]
    found = [name for name in names if name.endswith(WEIGHTS_SUFFIX) and "/" not in name]
    if len(found) == 1:
        return artifacts.sha256(folder + found[0])
    raise UserError(
        f"pretrained weights at {uri}: {', '.join(found) or 'nothing'} is there, and one *{WEIGHTS_SUFFIX} is wanted"
    )

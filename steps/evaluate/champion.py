"""The released model's decisions on the held-out screenshots: its own bytes, its own threshold."""

from pathlib import Path

import numpy as np
from scipy.special import expit

from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.common.program import granted_cpus
from steps.core.dataset.splits import Split
from steps.core.gate.champion import Champion
from steps.core.tiles.spec import PreprocessingSpec, check_spec
from steps.device.contract import TFLITE_FILE, read_contract
from steps.device.runtime import LiteModel
from steps.network.archive import unpacked
from steps.network.head import Head
from steps.network.tile_input import TileSource, logits_of

NO_CHAMPION = "champion.json"


def read_champion(folder: Path, source: TileSource) -> Champion | UserError | None:
    """Let the champion decide the test split; None if `champion.json` says that there is none.

    The error is returned if it cannot be read, or was made for other tiles: the gate then fails.
    """
    try:
        if _is_none(folder):
            return None
        with unpacked(folder) as bundle:
            return _decide(bundle, source)
    except UserError as error:
        return UserError(str(error))  # not the error itself, whose frames hold the champion's model


def _is_none(folder: Path) -> bool:
    if not (folder / NO_CHAMPION).is_file():
        return False
    if read_json(folder / NO_CHAMPION) != {"champion": None}:
        raise UserError(f'{folder / NO_CHAMPION} is not {{"champion": null}}, which says that there is none')
    return True


def _decide(bundle: Path, source: TileSource) -> Champion:
    sha256, threshold = read_contract(bundle)
    check_spec(PreprocessingSpec.read(bundle), source.spec)
    head, model = Head.read(bundle), LiteModel(bundle / TFLITE_FILE, granted_cpus())
    rows = source.rows(Split.TEST)
    scores = expit(logits_of(head, model.describe, source, rows))
    if not np.isfinite(scores).all():
        raise UserError("the champion scores some screenshots as no number: it proves nothing")
    flagged = dict(zip(rows["id"].unique(), (scores > threshold).tolist(), strict=True))
    return Champion(f"champion {sha256[:12]}", flagged)

"""Common parts of evaluation and conversion: held-out scores, the gate, and the files of verdict, ledger and page."""

import argparse
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import expit

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, sha256_file
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import DATASET, SLICE_PREFIX, VALIDATION
from steps.core.gate.champion import Champion
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.test_set_ledger import Consultation, read_ledger
from steps.core.sample.apps import are_drawn
from steps.core.tiles.spec import PreprocessingSpec, check_spec
from steps.evaluate.arguments import fleet_of
from steps.evaluate.champion import read_champion
from steps.evaluate.class_activations import class_activations
from steps.evaluate.evaluation import HELD_OUT, Evaluation, consultation, evaluate
from steps.evaluate.report import page_of, shown_on_page, write_report
from steps.network.archive import FILE_NAME as MODEL_ARCHIVE
from steps.network.archive import MODEL_FILE, TRAINING_FILE, unpacked
from steps.network.backbone import build_model, load_weights
from steps.network.head import Head
from steps.network.tile_input import Describe, TileSource, logits_of, screenshot_codes
from steps.train.hyperparameters import Hyperparameters


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model, the held-out tiles for its gate, what it is held against there, and what identifies all that."""

    model: Any
    backbone: str
    head: Head
    source: TileSource
    subject: Mapping[str, Any]
    validation: Mapping[str, Any]
    champion: Champion | UserError | None
    ledger: Sequence[Consultation] | UserError
    fleet: Fleet

    @property
    def classes(self) -> tuple[str, str]:
        """What people call the negative and the positive class."""
        names = self.validation.get("names") or {}
        return str(names.get("0", "negative")), str(names.get("1", "positive"))

    @property
    def is_sample(self) -> bool:
        """Whether the held-out screenshots were drawn by code."""
        rows = self.source.frame
        return f"{SLICE_PREFIX}source" in rows and are_drawn(rows[f"{SLICE_PREFIX}source"], rows["group"])


def load_candidate(args: argparse.Namespace) -> Candidate:
    """Load what the shared arguments name; raises UserError if the model and the tiles do not fit each other."""
    source = TileSource(args.tiles, args.shards, args.dataset, HELD_OUT)
    with unpacked(args.model) as folder:
        check_spec(PreprocessingSpec.read(folder), source.spec)
        training = read_json(folder / TRAINING_FILE)
        backbone = Hyperparameters.parse(training["hyperparameters"]).backbone
        head, model = Head.read(folder), load_weights(build_model(backbone, source.spec.tile_size), folder / MODEL_FILE)
    subject = {
        "trained_model": sha256_file(args.model / MODEL_ARCHIVE),
        "dataset": sha256_file(args.dataset / DATASET),
        "preprocessing": source.spec.digest,
        "hyperparameters": training["hyperparameters"],
    }
    return Candidate(
        model,
        backbone,
        head,
        source,
        subject,
        validation=_validation(args.validation),
        champion=read_champion(args.champion, source),
        ledger=_ledger(args.ledger),
        fleet=fleet_of(args),
    )


def _ledger(folder: Path) -> Sequence[Consultation] | UserError:
    try:
        return read_ledger(folder)
    except UserError as error:
        return UserError(str(error))


def _validation(folder: Path) -> Mapping[str, Any]:
    """Return what validation found, for the page to tell; nothing where the step is run without it."""
    return dict(read_json(folder / VALIDATION)) if (folder / VALIDATION).is_file() else {}


def score_and_gate(
    describe: Describe,
    candidate: Candidate,
    limits: Limits,
    subject: Mapping[str, Any],
    baseline: Mapping[str, float] | None = None,
) -> Evaluation:
    """Score every held-out screenshot by `describe`, which gives the features of tiles, and run the gate on that."""
    scored = []
    for split in HELD_OUT:
        rows = candidate.source.rows(split)
        scores = expit(logits_of(candidate.head, describe, candidate.source, rows))
        scored.append(rows.drop_duplicates("id").assign(score=scores))
    return evaluate(
        pd.concat(scored, ignore_index=True),
        limits,
        subject,
        champion=candidate.champion,
        ledger=candidate.ledger,
        baseline=baseline,
        fleet=candidate.fleet,
        model=str(subject["model"]),
    )


def write_evidence(
    folder: Path,
    evaluation: Evaluation,
    describe: Describe,
    candidate: Candidate,
    *,
    title: str,
    **parts: Any,
) -> None:
    """Write evaluation.json, scores.parquet and report.html with its plots; `parts` are further ones of its page."""
    evaluation.write(folder)
    rows = candidate.source.rows(Split.TEST)
    # What each tile says alone is for the pictures.
    shown = shown_on_page(evaluation)
    rows = rows[rows["id"].isin(shown)].reset_index(drop=True)
    features = describe(candidate.source, rows)
    scores = candidate.head.tile_scores(features, rows["index"].to_numpy(), screenshot_codes(rows))
    tiles = rows.assign(tile_score=scores)
    page = page_of(
        title,
        evaluation,
        tiles,
        candidate.source.folder,
        cams=class_activations(candidate.model, candidate.head, candidate.source, tiles, shown),
        data=candidate.validation,
        classes=candidate.classes,
        synthetic=candidate.is_sample,
        **parts,
    )
    write_report(folder, page)
    print(evaluation.verdict.message)


def enter_look(folder: Path, evaluation: Evaluation) -> None:
    """Enter this look at the test split into the ledger, under a name made of its content."""
    verdict, model = evaluation.verdict, str(evaluation.subject["model"])
    moment = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    look = consultation(evaluation.scored, verdict.limits, model, passed=verdict.passed, moment=moment)
    look.write(folder)

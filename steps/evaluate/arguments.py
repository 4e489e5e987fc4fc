"""The arguments that both programs with a gate share: the model, the held-out data, and what it is held against."""

import argparse
from pathlib import Path

from steps.core.common.choices import HALF_OF_LIMIT
from steps.core.common.program import PROCESSING
from steps.core.gate.limits import ChampionRule, Fleet, Limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    limits, fleet = Limits(), Fleet()
    add = parser.add_argument
    add("--model", type=Path, default=PROCESSING / "input/model", help="folder of the trained model.tar.gz")
    add("--tiles", type=Path, default=PROCESSING / "input/tiles", help="IndexTiles' output")
    add("--shards", type=Path, default=PROCESSING / "input/shards", help="the tile store's shards")
    add("--dataset", type=Path, default=PROCESSING / "input/dataset", help="ValidateData's output")
    add("--validation", type=Path, default=PROCESSING / "input/validation", help="ValidateData's report")
    add("--champion", type=Path, default=PROCESSING / "input/champion", help="folder of the champion's model.tar.gz")
    add("--ledger", type=Path, default=PROCESSING / "input/ledger", help="folder of ledger.json, the earlier looks")
    add("--new-ledger", type=Path, default=PROCESSING / "output/new-ledger", help="where this look is entered")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--max-fpr", type=float, default=limits.max_fpr, help="limit of the FPR's upper bound, 0 to 1")
    add("--min-tpr", type=float, default=limits.min_tpr, help="floor of the TPR's lower bound, 0 to 1")
    add(
        "--max-fpr-increase",
        type=float,
        default=limits.max_fpr_increase,
        help=f"most that the FPR may exceed the champion's; {HALF_OF_LIMIT:g} is half of the limit",
    )
    add("--max-tpr-decrease", type=float, default=limits.max_tpr_decrease, help="most that the TPR may fall short")
    add(
        "--champion-rule", choices=list(ChampionRule), default=limits.champion_rule, help="what is owed to the champion"
    )
    add("--phones", type=int, default=fleet.phones, help="phones of the fleet")
    add("--screenshots-per-day", type=float, default=fleet.screenshots_per_day, help="screenshots of a phone a day")
    add("--review-seconds", type=float, default=fleet.seconds_per_review, help="seconds that a review takes")


def limits_of(args: argparse.Namespace) -> Limits:
    return Limits(
        args.max_fpr,
        args.min_tpr,
        max_fpr_increase=args.max_fpr_increase,
        max_tpr_decrease=args.max_tpr_decrease,
        champion_rule=args.champion_rule,
    )


def fleet_of(args: argparse.Namespace) -> Fleet:
    return Fleet(args.phones, args.screenshots_per_day, seconds_per_review=args.review_seconds)

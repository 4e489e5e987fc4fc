"""The gate's limits as arguments of a program."""

import argparse

from steps.core.gate import Limits


def add_limits(parser: argparse.ArgumentParser) -> None:
    defaults = Limits()
    parser.add_argument("--max-fpr", type=float, default=defaults.max_fpr, help="limit of the FPR's upper bound")
    parser.add_argument("--min-tpr", type=float, default=defaults.min_tpr, help="floor of the TPR's lower bound")
    parser.add_argument("--confidence", type=float, default=defaults.confidence, help="of each one-sided bound")


def limits_of(args: argparse.Namespace) -> Limits:
    return Limits(args.max_fpr, args.min_tpr, args.confidence)

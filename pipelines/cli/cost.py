"""`tilegate cost`: what a night and a month cost in AWS, before anything is deployed."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipelines.cli.home import home_option
from pipelines.costs.durations import durations, minutes_of_run
from pipelines.costs.estimate import NIGHTS_A_MONTH, NIGHTS_WITH_DATA, Estimate, StepCost, estimate
from pipelines.costs.jobs import job_kinds
from pipelines.costs.monthly import Assumptions
from pipelines.costs.prices import PRICES, Prices
from pipelines.definition.settings import Settings

_LINE = "{:<20} {:<24} {:>4} {:>8} {:<8} {:>13} {:>9} {:>10}"
_SUM = "{:<83} {:>9} {:>10}"
_ASSUMED = Assumptions()
_NOTES = (
    "An estimate. The {startup:g} minutes of start-up that each job has besides, the minutes that say so, the number "
    "of nights and the gigabytes are assumptions. At most: every job runs into its time limit, at the price on demand. "
    "Not counted: retries, requests to S3 and KMS, alerts, taxes. A step whose inputs are as they were is taken over "
    "and costs nothing; a rejected model is not converted."
)


@click.command()
@click.option(
    "--minutes",
    "told",
    multiple=True,
    metavar="STEP=MINUTES",
    help="How long a step's job (a trial, of the tuning) takes.",
)
@click.option("--run", "execution", metavar="RUN", help="Take the durations of this run on this machine, as they are.")
@home_option
@click.option(
    "--set", "chosen", multiple=True, metavar="NAME=VALUE", help="A parameter of the start: MaxTuningJobs=16."
)
@click.option("--spot", is_flag=True, help="Trainings on spot instances.")
@click.option(
    "--nights",
    type=click.IntRange(0, NIGHTS_A_MONTH),
    default=NIGHTS_WITH_DATA,
    show_default=True,
    help=f"Nights with new data, of a month's {NIGHTS_A_MONTH}.",
)
@click.option(
    "--mlflow", type=click.Choice(["app", "server"]), default="app", show_default=True, help="Managed MLflow."
)
@click.option(
    "--startup",
    type=float,
    default=_ASSUMED.startup_minutes,
    show_default=True,
    help="Minutes a job is paid before it works.",
)
@click.option("--s3-gb", type=float, default=_ASSUMED.s3_gb, show_default=True, help="What lies in the buckets.")
@click.option(
    "--image-gb",
    type=float,
    default=_ASSUMED.image_gb,
    show_default=True,
    help="What lies in the registry of images.",
)
@click.option("--log-gb", type=float, default=_ASSUMED.log_gb, show_default=True, help="What is logged in a month.")
@click.option("--prices", type=click.Path(dir_okay=False, path_type=Path), help="A table of prices of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cost(
    *,
    told: tuple[str, ...],
    execution: str | None,
    home: Path,
    chosen: tuple[str, ...],
    spot: bool,
    nights: int,
    mlflow: str,
    startup: float,
    s3_gb: float,
    image_gb: float,
    log_gb: float,
    prices: Path | None,
    as_json: bool,
) -> None:
    """Estimate what a night and a month cost in AWS: jobs of the definition, durations, and a table of prices.

    Durations that are neither given nor taken from a run are assumed. The prices that come with tilegate are
    UNVERIFIED: compare them with AWS's price list, and give the checked table with --prices.
    """
    import json

    from pipelines.definition.compiler import compile_cached

    table = Prices.read(prices or PRICES)
    minutes = {name: _number(name, text) for name, text in _pairs(told)}
    measured = minutes_of_run(home / "runs" / execution) if execution else {}
    definition = json.loads(compile_cached(Settings(spot=spot), home / "compiled"))
    kinds = job_kinds(definition, dict(_pairs(chosen)))
    found = estimate(
        kinds,
        durations(kinds, minutes, measured),
        table,
        Assumptions(startup_minutes=startup, s3_gb=s3_gb, image_gb=image_gb, log_gb=log_gb),
        nights_with_data=nights,
        mlflow_server=mlflow == "server",
    )
    click.echo(json.dumps(_document(found, table), indent=1) if as_json else "\n".join(_lines(found, table)))


def _document(found: Estimate, table: Prices) -> dict[str, Any]:
    told = {"file": str(table.path), "region": table.region, "unverified": table.unverified}
    return found.as_json() | {"prices": told}


def _lines(found: Estimate, table: Prices) -> list[str]:
    spot = f", {found.spot_share:.0%} of it for spot instances" if found.spot_share else ""
    busy, quiet = found.nights_with_data, found.quiet_nights
    return [
        _LINE.format("step", "machines", "jobs", "minutes", "", "machine hours", "USD", "at most"),
        *map(_step, found.steps),
        _sum("functions", found.functions_usd, found.functions_usd),
        _sum(f"a night with new data ({found.night_hours:.1f} hours{spot})", found.night_usd, found.worst_night_usd),
        _sum("a night without: one call of a function", found.quiet_night_usd, found.quiet_night_usd),
        "",
        _sum(f"{busy} nights with new data", busy * found.night_usd, busy * found.worst_night_usd),
        _sum(f"{quiet} nights without", quiet * found.quiet_night_usd, quiet * found.quiet_night_usd),
        *(_sum(name, usd, usd) for name, usd in found.monthly.items()),
        _sum("a month", found.month_usd, found.worst_month_usd),
        "",
        *textwrap.wrap(_NOTES.format(startup=found.assumptions.startup_minutes), width=105),
        _of_prices(table),
    ]


def _step(step: StepCost) -> str:
    job, duration = step.job, step.duration
    machines = f"{job.instances} x {job.instance_type}{' spot' if job.spot else ''}"
    minutes, hours = f"{duration.minutes:.1f}", f"{step.machine_hours:.2f}"
    return _LINE.format(
        job.step, machines, job.jobs, minutes, duration.source, hours, _usd(step.usd), _usd(step.worst_usd)
    )


def _sum(what: str, usd: float, worst: float) -> str:
    return _SUM.format(what, _usd(usd), _usd(worst))


def _usd(amount: float) -> str:
    """Return an amount to the cent, or to its hundredth where a cent would say nothing."""
    return f"{amount:.4f}" if 0 < amount < 0.01 else f"{amount:.2f}"  # noqa: PLR2004


def _of_prices(table: Prices) -> str:
    count = len(table.instances) + len(table.items)
    checked = f"{table.unverified} of {count} UNVERIFIED" if table.unverified else f"all {count} checked"
    return f"Prices: {table.region}, {checked}: {table.path}"


def _pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise click.UsageError(f"{text!r}: NAME=VALUE is wanted")
        pairs.append((name, value))
    return pairs


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"{name}={text}: a number of minutes is wanted") from None

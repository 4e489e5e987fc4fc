"""`tilegate runs` and `tilegate ui`: look at what has run."""

import textwrap
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command, group
from pipelines.cli.environment import environment_options
from pipelines.cli.home import home_option
from pipelines.cli.output import json_option, open_page, percent, print_json, print_table
from pipelines.environment import LOCAL
from pipelines.executor.events import duration

if TYPE_CHECKING:
    from pipelines.executor.runs import RunSummary

_Cell = Callable[[Mapping[str, Any]], str]
# The columns of the list, made of the fields that --json has.
_COLUMNS: Mapping[str, _Cell] = {
    "run": lambda row: row["run"],
    "status": lambda row: row["status"],
    "started": lambda row: datetime.fromisoformat(row["started"]).astimezone().strftime("%Y-%m-%d %H:%M"),
    "took": lambda row: duration(row["seconds"]) if "seconds" in row else "",
    "data": lambda row: f"{row['screenshots']:,} of {row['dataset'][:8]}" if row.get("screenshots") is not None else "",
    "FPR at most": lambda row: percent(row.get("fpr_upper")),
    "TPR": lambda row: percent(row.get("tpr")),
    "version": lambda row: f"{row['version']} {row['version_status']}" if row.get("version") else "",
    "channel": lambda row: ", ".join(row.get("channels", ())),
    "night": lambda row: row["name"],
    "why": lambda row: textwrap.shorten(
        "; ".join(filter(None, (row.get("failed_step"), row["reason"], row["note"]))), 100
    ),
}


@group(invoke_without_command=True)
@environment_options
@home_option
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many of the newest.")
@json_option
@click.pass_context
def runs(ctx: click.Context, /, environment: str, region: str | None, home: Path, last: int, *, as_json: bool) -> None:
    """List the runs of this machine, or the executions of a deployment, newest last; `show` tells all of one."""
    if ctx.invoked_subcommand:
        ctx.default_map = {"show": {"environment": environment, "region": region, "home": home, "as_json": as_json}}
        return
    found = _runs_here(home, last) if environment == LOCAL else _executions(environment, region, last)
    if as_json:
        print_json(found)
    elif found:
        print_table([{name: cell(row) for name, cell in _COLUMNS.items()} for row in found])
    else:
        print(
            f"No runs in {home}; `tilegate run` makes one."
            if environment == LOCAL
            else f"No executions in {environment}; `tilegate start` makes one."
        )


@runs.command()
@click.argument("run")
@environment_options
@home_option
@json_option
def show(run: str, environment: str, region: str | None, home: Path, *, as_json: bool) -> None:
    """Show one run: its steps, the verdict, what it left and where.

    RUN is its id (on this machine also the beginning of it), its ARN or its night's name.
    """
    from pipelines.cli.operate import show_standing, standing_of

    show_standing(standing_of(environment, region, home)(run), as_json=as_json)


def _runs_here(home: Path, last: int) -> list[dict[str, Any]]:
    from pipelines.definition.settings import Settings
    from pipelines.executor.runs import INTERRUPTED, load_runs
    from pipelines.registry.mlflow_registry import MlflowRegistry
    from pipelines.release.opening import current_offers
    from pipelines.runs.local_history import status_of
    from pipelines.runs.local_standing import outputs_of
    from steps.core.common.files import read_json

    found = load_runs(home)[-last:]
    gone = _runs_of_withdrawn(home, found) if (home / "store").is_dir() else set()
    statuses = {v.version: v.status for v in MlflowRegistry(home).versions(Settings().model_package_group)}
    served = current_offers(LOCAL, None, home)
    rows = []
    for run in found:
        outputs = outputs_of(home, run)
        gate = (outputs.evaluation() or {}).get("gate") or {}
        validation, registered = outputs.validation(), outputs.registered() or {}
        version = registered.get("ModelPackageVersion")
        rows.append(
            {
                "run": run.id,
                "status": run.status if run.status == INTERRUPTED else str(status_of(run)),
                "started": datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds"),
                "seconds": round(run.seconds, 1),
                "dataset": str(run.parameters.get("DatasetUri", "")).rpartition("/")[2],
                "screenshots": read_json(validation / "validation.json")["accepted"] if validation else None,
                "fpr": (gate.get("fpr") or {}).get("value"),
                "fpr_upper": (gate.get("fpr") or {}).get("upper"),
                "tpr": (gate.get("tpr") or {}).get("value"),
                "version": version,
                "version_status": statuses.get(version) if version else None,
                "channels": [str(offer) for offer in served if offer.version == version],
                "failed_step": run.failed_step,
                "reason": run.reason or "",
                "note": "its data were withdrawn in part" if run.id in gone else "",
                "name": run.code_note,
            }
        )
    return rows


def _runs_of_withdrawn(home: Path, found: "list[RunSummary]") -> set[str]:
    """Return the ids of the runs whose snapshot has a batch that somebody has withdrawn since."""
    from pipelines.data.withdrawals import withdrawn_batches
    from pipelines.registry.opening import open_registry

    opened = open_registry(LOCAL, None, home)
    gone = withdrawn_batches(opened.data)
    uris = {str(run.parameters.get("DatasetUri", "")) for run in found} if gone else set()
    of_gone = {uri for uri in uris if uri and gone & set(opened.batches(uri) or ())}
    return {run.id for run in found if run.parameters.get("DatasetUri") in of_gone}


def _executions(environment: str, region: str | None, last: int) -> list[dict[str, Any]]:
    import itertools

    from pipelines.aws.session import open_environment
    from pipelines.runs.sagemaker_executions import SageMakerExecutions

    deployment = open_environment(environment, region)
    executions = SageMakerExecutions(deployment.client("sagemaker"), deployment.environment.pipeline_arn)
    found = list(itertools.islice(executions.newest(), last))
    return [
        {
            "run": execution.id,
            "status": executions.status(execution),
            "started": execution.started.isoformat(timespec="seconds"),
            "reason": execution.reason,
            "note": execution.note,
            "name": execution.name,
        }
        for execution in reversed(found)
    ]


@command()
@home_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--read-only", is_flag=True, help="Refuse every change; any user of this machine can reach the port.")
def ui(home: Path, port: int, *, read_only: bool) -> None:
    """Open MLflow on this machine's runs, on 127.0.0.1; ends with Ctrl-C."""
    from pipelines.definition.settings import Settings
    from pipelines.tracking.ui import executions_url, serve

    url = executions_url(home, Settings().name, port=port)

    def ready() -> None:
        click.echo(f"MLflow on {url} (Ctrl-C ends it)")
        open_page(url)

    serve(home, port=port, read_only=read_only, ready=ready)

"""The writer of docs/reference.md: commands, parameters, object keys, variables and exit codes, read out of the code.

`python tests/docs/reference.py` writes the page; with `--check` it ends with 1 if the page says something else.
"""

import ast
import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pipelines.cli import cli
from pipelines.cli.parameters import PARAMETERS
from pipelines.data.withdrawals import WITHDRAWN
from pipelines.definition.parameters import SAMPLE_PARAMETERS, pipeline_parameters
from pipelines.definition.settings import CHAMPIONS, LEDGER, LEDGERS, Settings
from pipelines.definition.step_table import STEPS
from pipelines.environment import INBOX
from pipelines.nightly.records import CLAIM, OUTCOME, PREFIX, STARTED
from pipelines.release.store import MANIFEST, RELEASES
from pipelines.release.verify import CHANNELS
from steps.core.common.program import EXIT_ERROR, EXIT_REJECTED, EXIT_STOPPED
from steps.core.dataset.plan import CUT_OBJECTS, DATASETS, FACTS, FEATURES, INDEX_OBJECTS, TILES, VALIDATE_OBJECTS
from steps.core.dataset.plan import FILE_NAME as PLAN
from steps.core.dataset.snapshot import Place

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference.md"
# An option that so many commands have in the same words is told once.
_SHARED = 3

VARIABLES = {
    "TILEGATE_HOME": "Folder of everything that a machine knows, as `--home`.",
    "TILEGATE_ENV": "Which deployment a command is about, as `--env`; every function has it too.",
    "TILEGATE_MIN_NEW_LABELS": "Starter: fewer new labels wait for more.",
    "TILEGATE_MAX_AGE_DAYS": "Starter: but no longer than so many days.",
    "TILEGATE_MAX_ATTEMPTS": "Starter: times that one state of the data may fail.",
    "TILEGATE_PARAMETERS": "Starter: parameters of its executions, a JSON object by name.",
    "TILEGATE_CHANNEL": "Publisher: the channel that an approval releases to.",
    "TILEGATE_PERCENT": "Publisher: the share of the installations that get it.",
    "TILEGATE_TRUSTED_KEYS": "Publisher: former signing keys, in base64, with blanks between.",
    "TILEGATE_TRACKING_URI": "Recorder: the MLflow that executions are recorded in.",
}


@functools.cache
def page() -> str:
    """Return the text of docs/reference.md."""
    return "\n".join(line for section in SECTIONS for line in section()) + "\n"


def _opening() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Written by `python tests/docs/reference.py`, out of the code: change it there."
    yield ""


def _steps() -> Iterator[str]:
    yield "## Steps"
    yield ""
    yield "| step | program | image | role | instances | usual minutes of a job |"
    yield "|---|---|---|---|---|---|"
    for step in STEPS:
        instances = ", ".join(f"`{name}`" for name in (step.instance_type, step.instance_count) if name)
        place = f"{step.image} | {step.role} | {instances}"
        yield f"| {step.name} | `steps.{step.program}` | {place} | {step.usual_minutes:g} |"
    yield ""


def _commands() -> Iterator[str]:
    commands = list(leaves())
    shared = Counter(record for _, ctx, command in commands for record in _options(ctx, command))
    shared = {record: count for record, count in shared.items() if count >= _SHARED}
    yield "## Commands"
    yield ""
    yield "`tilegate --help` and `tilegate COMMAND --help` say the same. Options of several commands:"
    yield ""
    yield from (_bullet(*record) for record in shared)
    yield ""
    for path, ctx, command in commands:
        yield f"### {' '.join(path)}"
        yield ""
        yield f"`{' '.join([*path, *command.collect_usage_pieces(ctx)])}`"
        yield ""
        for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
            yield _escaped(" ".join(paragraph.split()))
            yield ""
        records = _options(ctx, command)
        own = [_bullet(*record) for record in records if record not in shared]
        also = [f"`{names.split()[0].rstrip(',')}`" for names, text in records if (names, text) in shared]
        if taken := [p.opts[0] for p in command.params if p.name in _parameter_names()]:
            every = len(taken) == len(PARAMETERS)
            those = "an option for each" if every else f"{', '.join(f'`{flag}`' for flag in taken)}, as of the"
            also.append(f"{those} [parameter{'' if every else 's'}](#parameters)")
        yield from own
        if also:
            yield f"- Also {', '.join(also)}."
        yield ""


def leaves() -> Iterator[tuple[list[str], click.Context, click.Command]]:
    """Yield the words, the context and the command of every command that does something by itself."""
    waiting = [(["tilegate"], click.Context(cli, info_name="tilegate"), cli)]
    while waiting:
        path, ctx, command = waiting.pop(0)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield path, ctx, command
        if not isinstance(command, click.Group):
            continue
        inner = ((name, command.get_command(ctx, name)) for name in command.list_commands(ctx))
        waiting[:0] = [([*path, n], click.Context(c, info_name=n, parent=ctx), c) for n, c in inner if c is not None]


def _options(ctx: click.Context, command: click.Command) -> list[tuple[str, str]]:
    """Return what an option is called and what its help says, without the parameters, which have their own table."""
    own = (p for p in command.params if isinstance(p, click.Option) and p.name not in _parameter_names())
    return [record for option in own if (record := option.get_help_record(ctx))]


def _bullet(names: str, text: str) -> str:
    return f"- `{names}`: {_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "\\<")


def _parameter_names() -> set[str]:
    return {parameter.name for parameter in pipeline_parameters(Settings())}


def _parameters() -> Iterator[str]:
    yield "## Parameters"
    yield ""
    yield "Of an execution. `tilegate run`, `nightly` and `start` take those with a flag as options; `tilegate deploy`"
    yield "takes all as `--set NAME=VALUE`. The embedded sample has defaults of its own where the table says so."
    yield ""
    yield "| parameter | flag | type | default | meaning |"
    yield "|---|---|---|---|---|"
    flags = {parameter.name: parameter.opts[0] for parameter in cli.get_command(click.Context(cli), "run").params}
    for p in pipeline_parameters(Settings()):
        kind = f"one of {', '.join(p.choices)}" if p.choices else p.kind.__name__
        default = "required" if p.default is None else f"`{p.default}`" if p.default != "" else "empty"
        if p.name in SAMPLE_PARAMETERS:
            default += f"; sample `{SAMPLE_PARAMETERS[p.name]}`"
        flag = f"`{flags[p.name]}`" if p.name in flags else ""
        yield f"| `{p.name}` | {flag} | {kind} | {default} | {_escaped(p.help)} |"
    yield ""


def _programs() -> Iterator[str]:
    yield "## Programs"
    yield ""
    yield "What containers run, and `python -m steps.device.check` for whoever has a bundle; each has `--help`."
    yield ""
    yield "| program | |"
    yield "|---|---|"
    for file in [*sorted(ROOT.glob("steps/*/__main__.py")), ROOT / "steps" / "device" / "check.py"]:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
        yield f"| `python -m {module}` | {_escaped(' '.join(docstring.partition(chr(10) * 2)[0].split()))} |"
    yield ""


def _keys() -> Iterator[str]:
    place = Place()
    plans = ", ".join(f"`{name}`" for name in (PLAN, VALIDATE_OBJECTS, CUT_OBJECTS, INDEX_OBJECTS))
    rows = {
        "data": {
            f"{INBOX}<name>/…": "dropped folders; each becomes a batch",
            f"{place.labelled}/<batch>/…": "an immutable batch: its labels and images as they were delivered",
            f"{place.catalogue}/<batch>.json, .parquet": "its card, and the listing of its files",
            f"{WITHDRAWN}/batches/<batch>/, images/<sha256>.json": "who took back what, and why; only ever added",
            f"{DATASETS}/<digest>/": "a snapshot, named by its content",
            "plans/<key>/": f"a run's plan: {plans}",
            f"{FACTS}/<version>/<part>/": "what was measured in images, by content",
            f"{TILES}/<spec>/<part>/": "tiles, by content",
            f"{FEATURES}/<key>/<spec>/<part>/": "what pretrained weights say of tiles; the key names spec and weights",
        },
        "artifacts": {
            "runs/<execution>/<step>/<output>/": "what processing jobs leave; `report.html` is the page for people",
            "training/, tuning/, checkpoints/": "what trainings and trials leave",
            "weights/<name>/": "backbone weights",
            f"{CHAMPIONS}/<digest>/": "bundles of champions; `none` is the empty one",
            f"{LEDGER}/<step>/, {LEDGERS}/<key>/": "uses of test splits: all of them, and as one run sees them",
            "registry/<group>/decisions/<number>.json": "decisions on versions, append-only (in AWS)",
            f"{PREFIX}<token>/": f"a night's `{CLAIM}`, `{STARTED}`, `{OUTCOME}`",
        },
        "releases": {
            f"{RELEASES}/<version>/…": f"the bundle's files, and `{MANIFEST}`, signed",
            f"{CHANNELS}/<channel>.json": "the pointer that phones read, signed",
            f"{CHANNELS}/<channel>/history/<number>.json": "all that the channel ever said, signed",
        },
    }
    yield "## Object keys"
    yield ""
    yield "On one machine the first two buckets are one folder, `<home>/store/tilegate-local`, and releases are in"
    yield "`<home>/releases`. In AWS each is a bucket, `tilegate-<env>-<bucket>-<account>-<region>`."
    yield ""
    yield "| bucket | key | |"
    yield "|---|---|---|"
    yield from (f"| {bucket} | `{key}` | {text} |" for bucket, keys in rows.items() for key, text in keys.items())
    yield ""


def _variables() -> Iterator[str]:
    yield "## Environment variables"
    yield ""
    yield "| variable | |"
    yield "|---|---|"
    yield from (f"| `{name}` | {text} |" for name, text in VARIABLES.items())
    yield ""


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes"
    yield ""
    yield "| code | of a command or a step's program |"
    yield "|---|---|"
    yield "| 0 | done |"
    yield f"| {EXIT_ERROR} | an error, told in one sentence |"
    yield f"| {click.UsageError.exit_code} | a mistyped command |"
    yield f"| {EXIT_REJECTED} | rejected by the gate |"
    yield f"| {EXIT_STOPPED} | a step's program was stopped by SIGTERM |"


SECTIONS: tuple[Callable[[], Iterator[str]], ...] = (
    _opening,
    _commands,
    _parameters,
    _steps,
    _programs,
    _keys,
    _variables,
    _exit_codes,
)


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    print("docs/reference.md is not what the code says: run python tests/docs/reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

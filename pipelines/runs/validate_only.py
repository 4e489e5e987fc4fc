"""Validating data without learning from them: the step ValidateData alone, as a whole run would begin.

It is the compiled definition cut down to this step, run under the pipeline's own name. So the step cache is the same,
and a run on the same data goes on from here.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.definition.compiler import compile_cached
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import VALIDATE
from pipelines.executor.executor import Executor
from pipelines.executor.expressions import references
from pipelines.executor.progress import ConsoleProgress
from pipelines.executor.store import LocalStore
from pipelines.runs.local_images import LocalImages
from pipelines.runs.local_run import RunRequest, start_parameters, told_counts, validation_report
from steps.core.common.files import read_json


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """What a person asked for; `data`, `sample`, `weights` and `parameters` mean what they mean to a run."""

    home: Path
    data: Path | None
    sample: bool
    weights: Path | None
    parameters: Mapping[str, Any]


def validate_data(request: ValidateRequest, settings: Settings) -> bool:
    """Run ValidateData, print its verdict and where its page lies, and tell whether the data may be learned from.

    Raises UserError for data and parameters that no run would start with.
    """
    home, store = request.home, LocalStore(request.home / "store")
    whole = json.loads(compile_cached(settings, home / "compiled"))
    definition = cut_down(whole, VALIDATE.name)
    started = RunRequest(home, request.data, request.sample, request.weights, None, request.parameters)
    values = start_parameters(started, store, settings)
    declared = {parameter["Name"] for parameter in definition["Parameters"]}
    result = Executor(
        definition,
        home=home,
        name=settings.name,
        images=LocalImages(settings),
        parameters={name: value for name, value in values.items() if name in declared},
        listeners=[ConsoleProgress()],
    ).run()
    report = validation_report(result, store)
    print()
    if report:
        for name, value in _told(read_json(report / "validation.json")):
            print(f"{name:<12} {value}")
        print(f"{'Data page':<12} {report / 'report.html'}")
    elif result.reason:
        print(f"{'Verdict':<12} none: {result.reason}")
    print(f"{'Run':<12} {result.run_dir}")
    return result.status == "Succeeded"


def cut_down(definition: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Return a definition with one step, which needs no other, and the parameters that it uses."""
    alone = next(document for document in definition["Steps"] if document["Name"] == step)
    used = {reference.name for reference in references(alone["Arguments"]) if reference.kind == "Parameters"}
    return {
        **definition,
        "Parameters": [parameter for parameter in definition["Parameters"] if parameter["Name"] in used],
        "Steps": [alone],
    }


def _told(validation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Verdict", validation["verdict"]
    yield from told_counts(validation)
    for finding in validation["findings"]:
        if finding["fired"]:
            # Why the run must not go on is the one thing that needs its whole sentence here.
            said = finding["text"] if finding["severity"] == "stop" else finding["measured"]
            yield finding["severity"].capitalize(), f"{finding['rule']}: {said}"

"""Validating data without learning from them: the step ValidateData alone, as a whole run would begin.

It is the compiled definition cut down to this step, run under the pipeline's own name. So the step cache is the same,
and a run on the same data goes on from here.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.compiler import compile_cached
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import VALIDATE
from pipelines.executor.executor import Executor
from pipelines.executor.expressions import references
from pipelines.executor.progress import ConsoleProgress
from pipelines.runs.local_images import LocalImages
from pipelines.runs.local_outputs import Outputs, told_counts
from pipelines.runs.local_start import LocalStart, RunRequest
from steps.core.common.files import read_json
from steps.core.gate.limits import Limits
from steps.core.gate.provable import Provable


def validate_data(request: RunRequest, settings: Settings) -> bool:
    """Run ValidateData, print its verdict and where its page lies, and tell whether the data may be learned from.

    They may not, if limits are asked for that they cannot prove. Raises UserError for data and parameters that no run
    would start with.
    """
    home, start = request.home, LocalStart(request.home, settings)
    whole = json.loads(compile_cached(settings, home / "compiled"))
    definition = cut_down(whole, VALIDATE.name)
    values = start.with_plan(*start.asked(request))
    declared = {parameter["Name"] for parameter in definition["Parameters"]}
    result = Executor(
        definition,
        home=home,
        name=settings.name,
        images=LocalImages(settings),
        parameters={name: value for name, value in values.items() if name in declared},
        listeners=[ConsoleProgress()],
    ).run()
    report = Outputs(result.run_dir, result.failed_step, start.store).validation()
    limits, short = Limits(values["MaxFpr"], values["MinTpr"]), ""
    print()
    if report:
        validation = read_json(report / "validation.json")
        for name, value in _told(validation):
            print(f"{name:<12} {value}")
        if short := Provable.read(validation["provable"]).shortage(limits):
            print(f"{'Provable':<12} {short}")
        print(f"{'Data page':<12} {report / 'report.html'}")
    elif result.reason:
        print(f"{'Verdict':<12} none: {result.reason}")
    print(f"{'Run':<12} {result.run_dir}")
    asked = {"MaxFpr", "MinTpr"} & request.parameters.keys()
    return result.status == "Succeeded" and not (asked and short)


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

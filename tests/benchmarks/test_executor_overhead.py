"""What the local executor costs on top of the processes it starts.

Run with: pytest tests/benchmarks/test_executor_overhead.py -m benchmark -s
"""

import os
import statistics
import subprocess
import sys
from functools import partial

import pytest

from pipelines.executor.executor import Executor
from pipelines.executor.job import Image
from tests.benchmarks.figures import cpu_seconds

pytestmark = pytest.mark.benchmark

STEPS = 10
CODE = "import sys; open(sys.argv[1] + '/n.txt', 'w').write('1')"


def chain():
    """Ten Processing steps, each reading the output of the one before and writing one file."""
    steps = []
    for n in range(STEPS):
        before = {"Get": f"Steps.S{n - 1}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
        where = ["s3:/", "b", {"Get": "Execution.PipelineExecutionId"}, f"S{n}"]
        inputs = [{"InputName": "in", "S3Input": {"S3Uri": before, "LocalPath": "/opt/ml/processing/in"}}]
        output = {"S3Uri": {"Std:Join": {"On": "/", "Values": where}}, "LocalPath": "/opt/ml/processing/out"}
        command = {"ContainerEntrypoint": ["python3", "-c", CODE], "ContainerArguments": ["/opt/ml/processing/out"]}
        arguments = {
            "AppSpecification": {"ImageUri": "image", **command},
            "ProcessingInputs": inputs if n else [],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": output}]},
        }
        cache = {"Enabled": True, "ExpireAfter": "P1D"}
        steps.append({"Name": f"S{n}", "Type": "Processing", "Arguments": arguments, "CacheConfig": cache})
    return {"Version": "2020-12-01", "Parameters": [], "Steps": steps}


def bare_processes(folder):
    for n in range(STEPS):
        out = folder / str(n)
        out.mkdir(parents=True)
        environment = {"PATH": os.environ["PATH"]}
        subprocess.run([sys.executable, "-c", CODE, str(out)], check=True, env=environment, capture_output=True)


def executed(home):
    return Executor(chain(), home=home, images=lambda *_: Image(("python3",), "d")).run()


def test_ten_chained_steps_against_ten_bare_processes(tmp_path, sizes, figures):
    """Prints medians of CPU time: bare processes of the same commands, a first run, and one that reuses everything."""
    bare, first, again = [], [], []
    repeats = sizes(full=5, smoke=1)
    for repeat in range(repeats):
        bare.append(cpu_seconds(partial(bare_processes, tmp_path / f"bare-{repeat}"), 1)[0])
        for times in (first, again):
            seconds, result = cpu_seconds(partial(executed, tmp_path / f"home-{repeat}"), 1)
            times.append(seconds)
            assert result.status == "Succeeded", result.reason
            assert all(step.reused is (times is again) for step in result.steps.values())
    base, run, reuse = (statistics.median(times) for times in (bare, first, again))
    print(
        f"\nten chained steps, median of {repeats}: bare processes {base * 1000:.0f} ms of CPU, executor "
        f"{run * 1000:.0f} ms ({run / base:.2f}x, {(run - base) * 100:.1f} ms a step on top), all reused "
        f"{reuse * 1000:.0f} ms"
    )
    figures.record("executor: ten steps to ten bare processes", run, beside=base)
    figures.record("executor: ten reused steps to ten bare processes", reuse, beside=base)

"""What the local executor costs on top of the processes it starts.

Run with: pytest tests/benchmarks/test_executor_overhead.py -m benchmark -s
"""

import os
import statistics
import subprocess
import sys
import time

import pytest

from pipelines.executor.executor import Executor
from pipelines.executor.images import Image

STEPS = 10
REPEATS = 5
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


@pytest.mark.benchmark
def test_ten_chained_steps_against_ten_bare_processes(tmp_path):
    """Prints medians: bare subprocess.run of the same commands, a first run, and a run that reuses everything."""
    bare, first, again = [], [], []
    environment = {"PATH": os.environ["PATH"]}
    for repeat in range(REPEATS):
        began = time.perf_counter()
        for n in range(STEPS):
            out = tmp_path / f"bare-{repeat}-{n}"
            out.mkdir()
            subprocess.run([sys.executable, "-c", CODE, str(out)], check=True, env=environment, capture_output=True)
        bare.append(time.perf_counter() - began)
        for times in (first, again):
            began = time.perf_counter()
            home = tmp_path / f"home-{repeat}"
            result = Executor(chain(), home=home, images=lambda *_: Image(("python3",), "d")).run()
            times.append(time.perf_counter() - began)
            assert result.status == "Succeeded", result.reason
            assert all(step.reused is (times is again) for step in result.steps.values())
    base, run, reuse = (statistics.median(times) for times in (bare, first, again))
    print(
        f"\nten chained steps, median of {REPEATS}: bare processes {base * 1000:.0f} ms, executor {run * 1000:.0f} ms "
        f"({run / base:.2f}x, {(run - base) * 100:.1f} ms a step on top), all reused {reuse * 1000:.0f} ms"
    )

"""Retries, stops, kills and resumes: a run ends as its policies say, and nothing half-done is taken for whole."""

import contextlib
import errno
import json
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipelines.executor.errors import ALGORITHM_ERROR, DefinitionError, StepFailed
from pipelines.executor.job import Launched, stage
from pipelines.executor.process import Watchdog, run
from pipelines.executor.runs import load_runs
from tests.pipelines.executor.conftest import TRAINS, properties

DIES_TWICE = """
import os, pathlib, signal, sys
count = pathlib.Path(sys.argv[1])
n = int(count.read_text()) if count.exists() else 0
count.write_text(str(n + 1))
if n < 2: os.kill(os.getpid(), signal.SIGSEGV)
print('third time lucky')
"""


def policy(*kinds, **more):
    return {"ExceptionType": list(kinds), "IntervalSeconds": 0.3, "BackoffRate": 2.0, "MaxAttempts": 5, **more}


def test_a_job_killed_by_a_signal_is_tried_again(kit, tmp_path):
    """Death by a signal that we did not send is JOB_INTERNAL_ERROR; waits grow by the back-off rate."""
    policies = [policy("Step.THROTTLING"), policy("SageMaker.CAPACITY_ERROR", "SageMaker.JOB_INTERNAL_ERROR")]
    step = kit.processing("A", DIES_TWICE, arguments=[str(tmp_path / "n")], outputs=(), RetryPolicies=policies)
    result = kit.run(step)
    assert result.status == "Succeeded"
    told = [(event.attempt, event.of, event.reason, event.wait_seconds) for event in kit.told("StepRetried")]
    assert told == [(2, 6, "the job was killed by SIGSEGV", 0.3), (3, 6, "the job was killed by SIGSEGV", 0.6)]
    assert result.seconds > 0.9
    assert sorted(path.name for path in (result.run_dir / "steps" / "A").glob("log*")) == [
        "log.1.txt",
        "log.2.txt",
        "log.txt",
    ]


@pytest.mark.parametrize(
    ("policies", "attempts"),
    [
        ([], 1),
        ([policy("SageMaker.CAPACITY_ERROR")], 1),
        ([policy("SageMaker.JOB_INTERNAL_ERROR", MaxAttempts=1)], 2),
    ],
)
def test_no_more_attempts_than_the_policies_allow(kit, tmp_path, policies, attempts):
    """Other kinds of failures and used-up attempts end it."""
    step = kit.processing("A", DIES_TWICE, arguments=[str(tmp_path / "n")], outputs=(), RetryPolicies=policies)
    result = kit.run(step)
    assert (result.status, result.exit_code) == ("Failed", -signal.SIGSEGV)
    assert (tmp_path / "n").read_text() == str(attempts)


def test_an_error_of_the_algorithm_is_never_tried_again(kit, tmp_path):
    """As in SageMaker: a non-zero exit is the program's own doing."""
    everything = policy("SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT")
    kit.run(kit.processing("A", "raise SystemExit(137)", outputs=(), RetryPolicies=[everything]))
    assert not kit.told("StepRetried")
    assert StepFailed("A", "why").kind == ALGORITHM_ERROR


def test_an_error_of_the_machine_is_tried_again(kit, monkeypatch):
    """A full disk, for one, is SageMaker.JOB_INTERNAL_ERROR here: nothing of the program's own doing."""
    errors = [OSError(errno.ENOSPC, "No space left on device")]

    def failing(*args):
        if errors:
            raise errors.pop()
        return stage(*args)

    monkeypatch.setattr("pipelines.executor.runner.stage", failing)
    step = kit.processing("A", "", outputs=(), RetryPolicies=[policy("SageMaker.JOB_INTERNAL_ERROR")])
    assert kit.run(step).status == "Succeeded"
    assert [event.reason for event in kit.told("StepRetried")] == [
        f"this machine failed: [Errno {errno.ENOSPC}] No space left on device"
    ]


# -- another process runs the executor, and dies -------------------------------------------------------------------

RUN = """
import json, signal, sys
from pathlib import Path
from pipelines.executor.executor import Executor
from pipelines.executor.job import Image
definition, home = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
image = Image(("python3", "-c", sys.argv[4]), "sha256:trains")
first = json.loads(sys.argv[3])
result = Executor(definition, home=home, name="foreign", images=lambda *_: image, first_trials=first).run()
print(result.status)
"""
COUNTS = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + 'x' if p.exists() else 'x')"
# Leaves a child of its own behind in the same session, tells its pids and waits until it is let go.
WAITS = """
import os, pathlib, subprocess, sys, time
here = pathlib.Path(sys.argv[1])
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])
(here / 'pids.new').write_text(f'{os.getpid()} {child.pid}'); (here / 'pids.new').rename(here / 'pids')
while not (here / 'go').exists(): time.sleep(0.02)
child.kill()
open('../processing/output/out/done.txt', 'w').write('done')
"""


def started(kit, tmp_path, *steps, first_trials=None):
    """Start an executor in a process of its own."""
    definition = tmp_path / "definition.json"
    definition.write_text(json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": list(steps)}))
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(definition), str(kit.home), json.dumps(first_trials), TRAINS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def waiting_steps(kit, tmp_path):
    return (
        kit.processing("First", COUNTS, arguments=[str(tmp_path / "count")], outputs=()),
        kit.processing("Second", WAITS, arguments=[str(tmp_path)], DependsOn=["First"]),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_run_takes_its_jobs_along_and_goes_on_where_it_was(kit, tmp_path):
    """SIGKILL: no process is left, the run is Interrupted; resumed, finished steps stay and the rest runs."""
    steps = waiting_steps(kit, tmp_path)
    process = started(kit, tmp_path, *steps)
    until((tmp_path / "pids").exists)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    (run,) = load_runs(kit.home)
    assert run.status == "Executing"
    with pytest.raises(TimeoutError, match=f"{run.id}/lock was held by another process"):
        kit.run(*steps, resume=run.id)
    process.kill()
    process.communicate()
    until(lambda: not any(map(alive, pids)))
    (run,) = load_runs(kit.home)
    assert run.status == "Interrupted"
    assert not kit.store.exists(f"s3://b/runs/{run.id}")

    (tmp_path / "go").touch()
    result = kit.run(*steps, resume=run.id)
    assert (result.status, result.execution_id) == ("Succeeded", run.id)
    assert (tmp_path / "count").read_text() == "x"
    assert [event.step for event in kit.told("StepReused")] == ["First"]
    assert kit.store.exists(f"s3://b/runs/{run.id}/Second/out/done.txt")
    assert load_runs(kit.home)[0].status == "Succeeded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_its_jobs_and_says_so(kit, tmp_path, number):
    """SIGINT and SIGTERM: jobs are ended, the state is Stopped, and the run can be resumed."""
    process = started(kit, tmp_path, *waiting_steps(kit, tmp_path))
    until((tmp_path / "pids").exists)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert output.strip() == "Stopped", errors
    until(lambda: not any(map(alive, pids)))
    (run,) = load_runs(kit.home)
    assert (run.status, run.reason) == ("Stopped", "stopped on request")
    (tmp_path / "go").touch()
    assert kit.run(*waiting_steps(kit, tmp_path), resume=run.id).status == "Succeeded"


def test_a_job_that_ignores_sigterm_is_killed(kit, monkeypatch):
    """After the grace it is SIGKILL; `stop` works from any thread."""
    monkeypatch.setattr("pipelines.executor.process._GRACE_SECONDS", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    executor = kit.executor(kit.processing("A", code, outputs=()))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(executor.run()))
    thread.start()
    until(lambda: kit.told("StepProgress"))
    executor.stop()
    thread.join(20)
    assert (ended[0].status, ended[0].steps["A"].status) == ("Stopped", "Stopped")


def test_a_process_left_behind_by_a_job_does_not_hold_the_run_up(kit):
    """A daemon that keeps the job's output open is ended with the job, before its outputs are published."""
    code = "import subprocess, sys;print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    result = kit.run(kit.processing("A", code, outputs=()))
    assert result.status == "Succeeded"
    assert result.seconds < 20
    until(lambda: not alive(int(kit.log(result, "A"))))


def test_what_a_job_prints_last_is_kept_where_the_machine_is_slow(tmp_path, monkeypatch):
    """The job prints and ends after the pipe was looked at and before the process is."""

    class Slow:
        def __init__(self, real=select.poll):
            self._real = real()
            self.register = self._real.register

        def poll(self, milliseconds):
            found = self._real.poll(milliseconds)
            if not found:
                time.sleep(1.0)
            return found

    monkeypatch.setattr("pipelines.executor.process.select.poll", Slow)
    lines = []
    with contextlib.closing(Watchdog()) as watchdog:
        run(
            Launched([sys.executable, "-c", "import time; time.sleep(0.5); print('objective=1')"], tmp_path, {}),
            log=tmp_path / "log.txt",
            on_line=lines.append,
            stopping=lambda: False,
            watchdog=watchdog,
            max_seconds=None,
        )
    assert lines[-1] == "objective=1"


def test_a_resumed_run_keeps_its_definition_and_parameters(kit):
    """Another definition or another value is refused; the stored values need not be given again."""
    declared = [{"Name": "Text", "Type": "String", "DefaultValue": "x"}]
    step = kit.writes("A", kit.get("Parameters.Text"))
    broken = kit.processing("B", "raise SystemExit(1)", outputs=(), DependsOn=["A"])
    first = kit.run(step, broken, declared=declared, parameters={"Text": "mine"})
    with pytest.raises(DefinitionError, match="is of another definition"):
        kit.run(step, declared=declared, resume=first.execution_id)
    with pytest.raises(DefinitionError, match="has Text = 'mine', which a resumed run keeps"):
        kit.run(step, broken, declared=declared, parameters={"Text": "yours"}, resume=first.execution_id)
    again = kit.run(step, broken, declared=declared, resume=first.execution_id)
    assert (again.status, again.steps["A"].reused) == ("Failed", False)
    assert kit.told("ExecutionStarted")[0].parameters == {"Text": "mine"}
    assert [event.step for event in kit.told("StepReused")] == ["A"]


def test_a_resumed_run_makes_a_lost_output_again(kit):
    """A result whose objects are gone is not taken over, nor is what depends on it."""
    steps = (kit.writes("A"), kit.processing("B", "", inputs={"x": kit.output_of("A")}, outputs=()))
    first = kit.run(*steps)
    kit.store.path(f"s3://b/runs/{first.execution_id}/A/out/file.txt").unlink()
    assert kit.run(*steps, resume=first.execution_id).status == "Succeeded"
    assert not kit.told("StepReused")


def test_a_resumed_run_registers_once(kit):
    """A registration that was done is taken over; one that was cut off between its two writes is not done twice."""
    steps = (kit.writes("A"), kit.register("Register", kit.join(kit.output_of("A"), "file.txt")))
    first = kit.run(*steps)
    (first.run_dir / "steps" / "Register" / "result.json").unlink()
    again = kit.run(*steps, resume=first.execution_id)
    assert properties(again, "Register", "ModelPackageVersion") == 1
    assert len(kit.registered) == 1


def test_a_killed_tuning_goes_on_from_its_finished_trials(kit, tmp_path):
    """The trials that ended before the kill are not trained again, though caching is off."""
    code = (
        "import os, pathlib, time; here = pathlib.Path(os.environ['HERE']); a = h['a']\n"
        "with (here / 'trained').open('a') as log: log.write(a)\n"
        "while a == '3' and not (here / 'go').exists(): time.sleep(0.02)\n"
        "print(f'score={a}')"
    )
    step, options = kit.listed("Tune", code, [{"a": a} for a in "1234"], parallel=1, env={"HERE": str(tmp_path)})
    process = started(kit, tmp_path, step, first_trials=options["first_trials"])
    until(lambda: (tmp_path / "trained").exists() and "3" in (tmp_path / "trained").read_text())
    process.kill()
    process.communicate()
    (tmp_path / "go").touch()
    result = kit.run(step, **options, resume=load_runs(kit.home)[0].id)
    assert result.status == "Succeeded"
    assert (tmp_path / "trained").read_text() == "12334"
    assert properties(result, "Tune", "BestTrainingJob.TunedHyperParameters") == {"a": "4"}


def test_half_written_files_are_never_taken_for_whole(kit):
    """A record, a result or a state cut off in the middle counts as none."""
    steps = (kit.writes("A", cache=True),)
    first = kit.run(*steps)
    for path in (*(kit.home / "cache").rglob("*.json"), first.run_dir / "steps" / "A" / "result.json"):
        path.write_text(path.read_text()[:40])
    again = kit.run(*steps, resume=first.execution_id)
    assert again.status == "Succeeded"
    assert kit.reasons() == {"A": "no earlier run"}
    (first.run_dir / "state.json").write_text("{")
    assert load_runs(kit.home) == []

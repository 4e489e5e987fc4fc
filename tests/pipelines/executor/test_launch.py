"""The seam at which a job is started: by default as a process, or however the caller says."""

import sys

from pipelines.executor.job import Launched, as_subprocess


def test_what_a_launch_says_is_run_and_cleaned_up_after_even_if_the_job_fails(kit):
    after = []

    def launch(started, root):
        usual = as_subprocess(started, root)
        command = [sys.executable, "-c", f"print('instead of', {started.name!r}); raise SystemExit({len(after)})"]
        return Launched(command, usual.cwd, usual.environment, lambda: after.append(started.name))

    for code, status in ((0, "Succeeded"), (1, "Failed")):
        result = kit.run(kit.processing("A", "print('no')", outputs=()), launch=launch)
        assert result.status == status, code
        assert kit.log(result, "A").startswith("instead of pipelines-")
    assert len(after) == 2

"""What a person sees of a run."""

import io
import re

from pipelines.executor.events import duration
from pipelines.executor.progress import ConsoleProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_each_thing_that_happens_is_one_line(kit):
    """Start with its reason, end, reuse, decision, skip and the result; no control codes."""
    stream = io.StringIO()
    steps = (
        kit.writes("Prepare", cache=True),
        kit.condition(
            "Gate",
            kit.compare("LessThan", 1, 2),
            then=[kit.processing("Bad", "raise SystemExit('no')", outputs=(), DependsOn=["Prepare"])],
            otherwise=[kit.fail("Reject", "no")],
        ),
    )
    origin = kit.run(*steps, max_parallel=1).execution_id
    result = kit.run(*steps, listeners=[ConsoleProgress(stream)], max_parallel=1)
    lines = [re.sub(r"\d+\.\d s", "0 s", line) for line in stream.getvalue().splitlines()]
    width = 22
    assert lines == [
        f"run {result.execution_id} of foreign in {result.run_dir}",
        f"{'Prepare':<{width}} reused from {origin} (0 s there): same code, inputs and arguments",
        f"{'Gate':<{width}} passed: 1 is below 2",
        f"{'Reject':<{width}} skipped: branch not taken: Gate has passed",
        f"{'Bad':<{width}} FAILED: exit code 1: no (log: {result.run_dir}/steps/Bad/log.txt)",
        "Failed in 0 s: Bad: exit code 1: no",
    ]


def test_on_a_terminal_every_step_has_a_row_and_the_cursor_comes_back(kit, monkeypatch):
    """The table shows steps that have not begun as well, what they print is text and not markup, and it closes."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    bad = kit.processing("Bad", "print('[red]odd[/nonsense]'); raise SystemExit('[bold]x')", outputs=())
    kit.run(kit.writes("Prepare"), bad, kit.writes("Never", DependsOn=["Bad"]), listeners=[ConsoleProgress(stream)])
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"Prepare +done", shown)
    assert re.search(r"Bad +failed .*exit code 1: \[bold\]x", shown)
    assert re.search(r"Never +skipped", shown)
    assert "3 of 3 steps" in shown
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1
    assert "Failed in" in shown


def test_durations_read_well():
    assert [duration(seconds) for seconds in (0.04, 59.9, 61, 3_723)] == ["0.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]

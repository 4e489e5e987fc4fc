"""What step programs print on their way."""

import itertools
import os
import signal

import pytest

from steps.core.common import program
from steps.core.common.errors import UserError


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, ""), (-1, ""), (0.4, ", 0 s left"), (41, ", 41 s left"), (600, ", 10 min left")]
)
def test_time_left_is_told_as_people_do(seconds, said):
    assert program.left(seconds) == said


def test_progress_tells_how_far_it_is_and_how_long_it_takes_yet(monkeypatch, capsys):
    moments = itertools.count(0, 10)
    monkeypatch.setattr(program.time, "monotonic", lambda: next(moments))
    progress = program.Progress("Cut", 4, "screenshots")
    for _ in range(4):
        progress.advance()
    assert capsys.readouterr().out.splitlines() == [
        "Cut 1/4 screenshots, 30 s left",
        "Cut 2/4 screenshots, 20 s left",
        "Cut 3/4 screenshots, 10 s left",
        "Cut 4/4 screenshots",
    ]


@pytest.mark.parametrize("swallowed", [UserError, Exception])
def test_a_request_to_end_is_never_taken_for_a_fault_of_what_is_read(swallowed, tmp_path):
    """As where a champion that cannot be read is a reason of a verdict, or an image that cannot be is refused."""
    went_on = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except swallowed:
            went_on.append(True)

    assert program.run(work, tmp_path / "failure") == 128 + signal.SIGTERM
    assert (tmp_path / "failure").read_text().startswith("stopped on request")
    assert not went_on

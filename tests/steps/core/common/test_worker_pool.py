"""The guarded map: what an item may do to its worker, and what the caller sees of it."""

import functools
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.common.worker_pool import WorkerStartError, map_in_processes
from steps.core.tiles.resize import halve

# Spawned workers find an act by its module's name, on the path they inherit.
sys.path.insert(0, str(Path(__file__).parents[3]))
from hostile import acts

SOME = 30


def dead(item, reason):
    return f"{item} died: {reason}"


def negative(item, reason):
    return -item


def run(act, *, seconds=20, memory_bytes=512 * 1024**2, workers=1, items=SOME):
    """Map an act of item 13 among harmless items; return the answer of item 13 and check the others."""
    answers = list(
        map_in_processes(
            functools.partial(acts.at_thirteen, act=act),
            range(items),
            workers,
            on_death=dead,
            seconds=seconds,
            memory_bytes=memory_bytes,
        )
    )
    assert [a for n, a in enumerate(answers) if n != 13] == [2 * n for n in range(items) if n != 13]
    return answers[13]


@pytest.mark.parametrize(("workers", "count"), [(1, 0), (3, 1), (3, 2), (1, 17), (3, 17), (2, 200)])
def test_results_come_in_the_order_of_the_items(workers, count):
    assert list(map_in_processes(acts.double, range(count), workers)) == [2 * n for n in range(count)]


def test_no_item_runs_in_the_callers_process_even_with_one_worker():
    pids = set(map_in_processes(acts.own_process, range(50), 1))
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_more_workers_work_at_the_same_time(tmp_path):
    assert len(set(map_in_processes(functools.partial(acts.meet, folder=tmp_path), range(2), 2))) == 2


def test_a_crash_is_answered_for_and_the_others_go_on():
    assert run(acts.crash) == "13 died: its worker crashed with SIGSEGV"


@pytest.mark.parametrize("code", [0, 1, 77])
def test_an_exit_is_a_death_whatever_its_code(code):
    assert run(functools.partial(acts.leave, code=code)) == f"13 died: its worker ended with exit code {code}"


def test_a_polite_exit_is_a_death_and_does_not_end_the_caller():
    assert run(acts.leave_politely) == "13 died: its worker ended with exit code 0"


def test_a_panic_is_a_death():
    assert run(acts.panic) == "13 died: its worker ended with exit code 1"


@pytest.mark.parametrize("act", [acts.hang, acts.hang_with_the_lock])
def test_an_item_that_hangs_is_ended(act):
    assert run(act, seconds=1) == "13 died: it took more than 1 seconds"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_an_item_that_wants_all_the_memory_is_refused_it():
    assert run(acts.hog) == "13 died: it needed more than 512 MiB of memory"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_an_item_may_take_what_it_is_granted():
    assert run(acts.hog, memory_bytes=1024**3 + 64 * 1024**2) == 1024**3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_memory_that_opencv_is_refused_is_a_death_like_any_other():
    assert run(acts.hog_by_opencv) == "13 died: it needed more than 512 MiB of memory"


def test_other_errors_of_opencv_stay_errors():
    with pytest.raises(cv2.error, match="Assertion failed"):
        run(acts.fail_in_opencv)


def test_opencv_keeps_to_one_thread_in_a_worker_that_imports_it_late():
    assert set(map_in_processes(acts.opencv_threads, [1], 1)) == {(False, 1)}


def test_opencv_keeps_to_one_thread_in_a_worker_that_comes_with_it():
    assert set(map_in_processes(functools.partial(acts.opencv_threads, needs=halve), [1], 1)) == {(True, 1)}


def test_no_worker_imports_opencv_unasked():
    assert set(map_in_processes(acts.opencv_is_imported, range(3), 1)) == {False}


def test_large_results_pass():
    assert len(run(acts.return_much)) == 3_000_000


@pytest.mark.parametrize("workers", [1, 2])
def test_many_deaths_are_each_answered_for(workers):
    function = functools.partial(acts.at_every_third, act=functools.partial(acts.leave, code=9))
    answers = list(map_in_processes(function, range(12), workers, on_death=negative))
    assert answers == [2 * n if n % 3 else -n for n in range(12)]


@given(fatal=st.sets(st.integers(0, SOME - 1), max_size=3), workers=st.integers(1, 3))
@settings(max_examples=6)
def test_deaths_anywhere_change_no_other_answer(fatal, workers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    function = functools.partial(acts.note, folder=folder, act=acts.crash, fatal=fatal)
    answers = list(map_in_processes(function, range(SOME), workers, on_death=negative))
    assert answers == [-n if n in fatal else n for n in range(SOME)]
    begun = {n: len((folder / str(n)).read_text().splitlines()) for n in range(SOME)}
    assert {n for n in begun if begun[n] > 1} <= fatal, "a harmless item ran twice"
    assert max(begun.values()) <= 2


def test_the_death_of_a_used_worker_condemns_no_item(tmp_path):
    function = functools.partial(acts.crash_but_in_a_new_worker, folder=tmp_path)
    assert list(map_in_processes(function, range(SOME), 1, on_death=dead)) == [2 * n for n in range(SOME)]


def test_without_an_answer_to_deaths_one_ends_the_map_with_the_items_name():
    items = [Path("a.png"), Path("b.png")]
    with pytest.raises(UserError, match=r"^a\.png: its worker ended with exit code 5; take it out"):
        list(map_in_processes(functools.partial(acts.leave, code=5), items, 1))


def test_an_exception_reaches_the_caller_with_the_workers_stack_trace():
    with pytest.raises(ValueError, match="item 13 is odd") as caught:
        run(acts.raise_value_error)
    assert "raise_value_error" in "".join(caught.value.__notes__)


def test_the_text_of_an_error_stays_as_it_was():
    with pytest.raises(UserError) as caught:
        run(acts.raise_user_error)
    assert str(caught.value) == "item 13: wrong column"


def test_an_exception_is_raised_at_its_items_turn():
    answers = map_in_processes(functools.partial(acts.at_thirteen, act=acts.raise_value_error), range(SOME), 2)
    assert list(itertools.islice(answers, 13)) == [2 * n for n in range(13)]
    with pytest.raises(ValueError, match="item 13 is odd"):
        next(answers)


def test_an_exception_that_does_not_survive_pickling_is_told_by_its_trace():
    with pytest.raises(RuntimeError, match=r"TwoArgumentsError: file\.csv:7"):
        run(acts.raise_what_cannot_be_pickled)


def test_a_result_that_cannot_be_pickled_is_an_error_not_a_death():
    with pytest.raises((AttributeError, TypeError), match=r"pickle|local object"):
        run(acts.return_what_cannot_be_pickled)


def test_no_worker_outlives_the_map():
    list(map_in_processes(acts.double, range(SOME), 2))
    assert not multiprocessing.active_children()


def test_no_worker_outlives_a_map_that_is_left_half_way():
    answers = map_in_processes(acts.double, range(100_000), 2)
    next(answers)
    assert len(multiprocessing.active_children()) == 2
    answers.close()
    assert not multiprocessing.active_children()


def test_no_worker_outlives_an_error():
    with pytest.raises(ValueError, match="odd"):
        run(acts.raise_value_error)
    assert not multiprocessing.active_children()


class Counted:
    """Items that count how often they were asked for."""

    def __init__(self, count):
        self.count, self.asked = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if number >= self.count:
            raise IndexError
        self.asked = max(self.asked, number)
        return number


def test_a_million_items_are_not_handed_out_at_once():
    items = Counted(1_000_000)
    answers = map_in_processes(acts.double, items, 2)
    list(itertools.islice(answers, 100))
    answers.close()
    assert items.asked < 1000


def test_a_slow_item_holds_back_a_bounded_number_of_answers():
    items = Counted(100_000)
    function = functools.partial(acts.at_thirteen, act=acts.hang)
    answers = list(itertools.islice(map_in_processes(function, items, 2, on_death=dead, seconds=1), 14))
    assert answers[13] == "13 died: it took more than 1 seconds"
    assert items.asked < 1000


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_no_way_to_map(workers):
    with pytest.raises(ValueError, match="at least one"):
        list(map_in_processes(acts.double, [1], workers))


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from steps.core.common.worker_pool import map_in_processes

# A shell starts what it runs in the background with this signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

FOLDER = Path(sys.argv[1])

def work(item):
    (FOLDER / f"{item}-{os.getpid()}").touch()
    time.sleep(0.01)
    return item

if __name__ == "__main__":
    for answer in map_in_processes(work, range(1000000), 2):
        pass
"""


def alive(pid):
    """Whether a process still runs: one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_caller_that_is_ended(tmp_path, ending):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    begun = tmp_path / "begun"
    begun.mkdir()
    with subprocess.Popen([sys.executable, program, begun], stderr=subprocess.DEVNULL) as process:

        def pids():
            return {int(path.name.split("-")[1]) for path in begun.iterdir()}

        try:
            wait_until(lambda: len(pids()) == 2)
            process.send_signal(ending)
            process.wait(60)
            wait_until(lambda: not any(alive(pid) for pid in pids()))
        finally:
            process.kill()
    assert process.returncode == -ending


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_worker_that_hangs_in_c_ends_though_its_caller_was_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import ctypes, os, sys
            from pathlib import Path
            from steps.core.common.worker_pool import map_in_processes

            def work(item):
                Path(sys.argv[1]).write_text(str(os.getpid()))
                ctypes.PyDLL(None).sleep(600)

            if __name__ == "__main__":
                list(map_in_processes(work, [1], 1, seconds=2))
            """
        )
    )
    told = tmp_path / "pid"
    with subprocess.Popen([sys.executable, program, told]) as process:
        wait_until(lambda: told.exists() and told.read_text())
        process.kill()
    wait_until(lambda: not alive(int(told.read_text())))


def test_a_worker_that_cannot_start_is_an_error_not_a_death(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import sys
            from steps.core.common.worker_pool import WorkerStartError, map_in_processes

            if __name__ != "__main__":
                raise ImportError("a worker cannot import this")
            try:
                list(map_in_processes(print, [1], 1, on_death=lambda item, reason: None))
            except WorkerStartError as error:
                print(error)
            """
        )
    )
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert result.stdout == "a worker process ended before its first item, with exit code 1\n"
    assert issubclass(WorkerStartError, RuntimeError)


def test_a_crash_leaves_no_core_file():
    assert set(map_in_processes(acts.core_limit, range(3), 1)) == {0}

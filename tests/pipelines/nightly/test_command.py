"""`tilegate nightly` on one machine, as cron sees it: its lines and its exit codes. The runs are only left behind."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from pipelines.cli.run import nightly
from pipelines.definition.settings import Settings
from pipelines.nightly.site_local import LocalSite


class Cron:
    def __init__(self, root, leave_run):
        self.root, self._leave, self.asked = root, leave_run, []
        self.ends = {"status": "Succeeded"}
        (root / "inbox").mkdir()

    def drop(self, name, *files):
        folder = self.root / "inbox" / name
        folder.mkdir()
        for file in files:
            (folder / file).write_bytes(file.encode())
        pd.DataFrame({"path": files, "label": 1}).to_csv(folder / "labels.csv", index=False)

    def execute(self, home, _, parameters, *, resume, note):
        assert resume is None
        self.asked.append(dict(parameters))
        step, code = self.ends.get("failed_step"), self.ends.get("exit_code")
        results = {step: {"status": "Failed", "exit_code": code}} if step else {}
        folder = self._leave(home, len(self.asked), parameters, status=self.ends["status"], **results)
        state = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps(state | {"code_note": note, "failed_step": step}))

    def __call__(self, *words):
        words = ["--home", str(self.root / "home"), "--inbox", str(self.root / "inbox"), "--settle", "0", *words]
        done = CliRunner().invoke(nightly, words)
        return done.exit_code, done.output.splitlines()


@pytest.fixture
def cron(empty_home, leave_run, monkeypatch):
    made = Cron(empty_home.parent, leave_run)
    monkeypatch.setattr("pipelines.runs.local_run.execute", made.execute)
    monkeypatch.setattr("pipelines.nightly.site_local.compile_cached", lambda *_: "definition")
    return made


def test_without_anything_to_do_it_says_so_in_one_line(cron):
    assert cron() == (0, ["Night: no data, nothing is started: there is no batch of labels yet"])


def test_a_dropped_batch_is_taken_in_and_run_once(cron):
    cron.drop("monday", "a.png", "b.png")
    code, lines = cron("--max-fpr", "0.02")
    assert code == 0
    assert lines[0].startswith("monday: taken in as ")
    assert lines[-1] == "Night: started 20260101-000001-aaaa: 2 new labels"
    (asked,) = cron.asked
    assert (asked["MaxFpr"], asked["MaxFprIncrease"]) == ("0.02", "-1.0")
    assert cron("--max-fpr", "0.02") == (
        0,
        ["Night: nothing new, nothing is started: 20260101-000001-aaaa has decided on these data: Succeeded"],
    )
    assert len(cron.asked) == 1


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ({"status": "Succeeded"}, 0),
        ({"status": "Failed", "failed_step": "RejectModel"}, 3),
        ({"status": "Failed", "failed_step": "ConvertToTFLite", "exit_code": 3}, 3),
        ({"status": "Failed", "failed_step": "TrainModel", "exit_code": 1}, 1),
        ({"status": "Stopped"}, 1),
    ],
)
def test_the_exit_code_is_the_verdict(cron, ends, code):
    cron.drop("monday", "a.png")
    cron.ends = ends
    assert cron()[0] == code


def test_a_failure_is_tried_again_as_often_as_is_wanted(cron):
    cron.drop("monday", "a.png")
    cron.ends = {"status": "Failed", "failed_step": "TrainModel", "exit_code": 1}
    assert [cron("--max-attempts", "2")[0] for _ in range(3)] == [1, 1, 0]
    assert len(cron.asked) == 2
    assert cron("--max-attempts", "2", "--force", "--reason", "the disk is empty again")[0] == 1
    assert len(cron.asked) == 3


def test_a_second_call_beside_the_first_says_so(cron):
    site = LocalSite(cron.root / "home", Settings(), inbox=None, weights=None, chosen={})
    with site.alone(None):
        assert cron() == (0, ["Night: a night is being held in this home already"])


def test_few_labels_wait(cron):
    cron.drop("monday", "a.png")
    code, lines = cron("--min-new-labels", "5", "--max-age", "3")
    assert code == 0
    assert lines[-1].startswith("Night: waiting, nothing is started: 1 new labels of the 5 that are wanted, or 3 days")
    assert not cron.asked
    assert cron("--min-new-labels", "5", "--max-age", "0")[0] == 0
    assert len(cron.asked) == 1


def test_what_is_of_this_machine_is_refused_for_an_environment(cron):
    done = CliRunner().invoke(nightly, ["--env", "dev", "--inbox", str(cron.root / "inbox")])
    assert done.exit_code == 1
    assert "--inbox and --weights are of this machine" in str(done.exception)

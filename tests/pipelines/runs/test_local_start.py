"""What a run is started with: a repeated start asks for the very same, a new night learns from the one before."""

import pandas as pd
import pytest

from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.planning.seed import SAMPLE_WEIGHTS
from pipelines.runs.local_start import LocalStart, RunRequest
from steps.core.common.choices import HALF_OF_LIMIT
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.plan import Plan
from steps.core.gate.test_set_ledger import Consultation
from steps.core.tiles.features import features_key
from steps.core.tiles.spec import PreprocessingSpec

SETTINGS = Settings()


class Home:
    def __init__(self, root, leave_run):
        self.root, self._leave, self._number = root, leave_run, 0
        self.store = LocalStore(root / "home" / "store")

    def start(self, *files, weights=None, **given):
        folder = self.root / "-".join(files)
        folder.mkdir(exist_ok=True)
        for file in files:
            (folder / file).write_bytes(file.encode())
        pd.DataFrame({"path": files, "label": 1}).to_csv(folder / "labels.csv", index=False)
        start = LocalStart(self.root / "home", SETTINGS)
        return start.prepare(*start.asked(RunRequest(self.root / "home", folder, weights=weights, parameters=given)))

    def finish(self, parameters, job):
        """Leave behind what a whole run leaves: its tuning, and its look at the test split."""
        self._number += 1
        look = Consultation.of(
            ["x"], negatives=1, groups=1, model=f"{self._number:064x}", limits={}, passed=True, moment="now"
        )
        look.write(self.store.path(SETTINGS.uri("ledger", "EvaluateModel")))
        output = {"uri": SETTINGS.uri("ledger", "EvaluateModel"), "digest": "d", "keys": [f"{look.name}.json"]}
        results = {
            "TuneHyperparameters": {"status": "Succeeded", "properties": {"HyperParameterTuningJobName": job}},
            "EvaluateModel": {"status": "Succeeded", "outputs": {"new-ledger": output}},
        }
        self._leave(self.root / "home", self._number, parameters, **results)


@pytest.fixture
def home(empty_home, leave_run):
    return Home(empty_home.parent, leave_run)


def test_a_start_gives_every_parameter_that_has_no_default(home):
    started = home.start("a.png")
    declared = pipeline_parameters(SETTINGS)
    assert {parameter.name for parameter in declared if parameter.default is None} <= started.keys()
    assert started.keys() <= {parameter.name for parameter in declared}
    for name in ("DatasetUri", "PlanUri", "PretrainedWeightsUri", "ChampionUri", "LedgerUri"):
        assert home.store.exists(started[name])


def test_a_repeated_start_is_the_same_although_the_first_one_has_left_its_results(home):
    first = home.start("a.png")
    home.finish(first, "job-1")
    assert home.start("a.png") == first


def test_a_start_plans_features_under_the_very_weights(home, tmp_path):
    weights = tmp_path / "a.weights.h5"
    weights.write_bytes(b"weights")
    for backbone, given in (("small", weights), ("large", weights), ("small", None)):
        started = home.start("a.png", weights=given, Backbone=backbone, TileSize=96)
        plan = Plan.read(home.store.path(started["PlanUri"]))
        digest = sha256_file(given or SAMPLE_WEIGHTS)
        assert plan.features == features_key(PreprocessingSpec(tile_size=96), backbone, digest)
        assert plan.describe == plan.cut


def test_a_night_on_new_data_starts_warm_and_sees_the_look_of_the_night_before(home):
    first = home.start("a.png")
    home.finish(first, "job-1")
    second = home.start("b.png")
    assert second["WarmStartParent1"] == "job-1"
    assert second["LedgerUri"] != first["LedgerUri"]
    home.finish(second, "job-2")
    third = home.start("c.png")
    assert [third[f"WarmStartParent{number}"] for number in (1, 2)] == ["job-2", "job-1"]
    assert home.start("b.png") == second


def test_the_margin_to_the_champion_is_the_gates_to_work_out_unless_it_is_given(home):
    assert home.start("a.png", MaxFpr=0.1)["MaxFprIncrease"] == HALF_OF_LIMIT
    assert home.start("a.png", MaxFpr=0.1, MaxFprIncrease=0.01)["MaxFprIncrease"] == 0.01


def test_a_wrong_limit_is_refused_before_anything_is_copied(home):
    with pytest.raises(UserError, match="max-tpr-decrease"):
        home.start("a.png", MaxTprDecrease=2.0)
    assert not home.store.exists(SETTINGS.uri())

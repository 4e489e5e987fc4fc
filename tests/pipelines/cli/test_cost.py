"""`tilegate cost`: a table for people, the same as JSON, and one sentence for a mistake."""

import json

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.costs.durations import ASSUMED_MINUTES
from pipelines.costs.prices import PRICES
from steps.core.common.errors import UserError


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that keeps the compiled definitions for all tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def cost(home):
    def call(*words):
        return CliRunner().invoke(cli, ["cost", "--home", str(home), *map(str, words)])

    return call


def told(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_the_table_tells_steps_nights_and_a_month_as_the_json_does(cost):
    table = cost()
    assert table.exit_code == 0, table.output
    document = told(cost("--json"))
    lines = table.output.splitlines()
    for step in document["steps"]:
        (line,) = [line for line in lines if line.startswith(step["job"]["step"] + " ")]
        assert line.split()[-2:] == [f"{step['usd']:.2f}", f"{step['worst_usd']:.2f}"]
        assert "assumed" in line
    (night,) = [line for line in lines if line.startswith("a night with new data")]
    assert night.split()[-2:] == [f"{document['night_usd']:.2f}", f"{document['worst_night_usd']:.2f}"]
    (month,) = [line for line in lines if line.startswith("a month ")]
    assert month.split()[-2:] == [f"{document['month_usd']:.2f}", f"{document['worst_month_usd']:.2f}"]
    assert any(line.startswith("a night without") for line in lines)
    assert "UNVERIFIED" in lines[-1]
    assert max(map(len, lines[:-1])) <= 110


def test_the_rows_of_a_month_add_up_to_it(cost):
    document = told(cost("--nights", 10, "--json"))
    nights = 10 * document["night_usd"] + 20 * document["quiet_night_usd"]
    assert document["month_usd"] == pytest.approx(nights + sum(document["monthly"].values()))


def test_minutes_parameters_and_options_reach_the_estimate(cost):
    document = told(
        cost("--minutes", "TrainModel=55", "--set", "MaxTuningJobs=3", "--startup", 5, "--spot", "--s3-gb", 7, "--json")
    )
    steps = {step["job"]["step"]: step for step in document["steps"]}
    assert steps["TrainModel"]["duration"] == {"minutes": 55.0, "source": "told"}
    assert steps["TrainModel"]["machine_hours"] == 1.0
    assert steps["TrainModel"]["job"]["spot"]
    assert steps["TuneHyperparameters"]["job"]["jobs"] == 3
    assert "7 GB in S3" in document["monthly"]


def test_a_run_on_this_machine_gives_its_durations(cost, home):
    folder = home / "runs" / "r1" / "steps" / "EvaluateModel"
    folder.mkdir(parents=True)
    result = {"step": "EvaluateModel", "type": "Processing", "status": "Succeeded", "seconds": 90.0}
    (folder / "result.json").write_text(json.dumps(result))
    steps = {step["job"]["step"]: step["duration"] for step in told(cost("--run", "r1", "--json"))["steps"]}
    assert steps["EvaluateModel"] == {"minutes": 1.5, "source": "run"}
    assert steps["TrainModel"] == {"minutes": ASSUMED_MINUTES["TrainModel"], "source": "assumed"}


def test_a_checked_table_of_prices_replaces_the_one_that_comes_along(cost, tmp_path):
    table = json.loads(PRICES.read_text())
    for price in (*table["instances"].values(), *table["items"].values()):
        price["region"], price["verified"] = "eu-west-1", True
    for price in table["instances"].values():
        price["usd"] *= 2
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps(table))
    last = cost("--prices", mine).output.splitlines()[-1]
    assert last == f"Prices: eu-west-1, all {len(table['instances']) + len(table['items'])} checked: {mine}"
    before, after = told(cost("--json")), told(cost("--prices", mine, "--json"))
    assert 1.9 < after["night_usd"] / before["night_usd"] <= 2


@pytest.mark.parametrize(
    "words", [["--minutes", "TrainModel"], ["--minutes", "TrainModel=long"], ["--set", "=3"], ["--nights", 31]]
)
def test_a_mistyped_option_is_a_usage_error(cost, words):
    result = cost(*words)
    assert result.exit_code == 2
    assert "Error: " in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "TrainingInstanceType=ml.p9.huge"], "no price is known for ml.p9.huge"),
        (["--minutes", "RegisterModel=1"], "RegisterModel starts no job"),
        (["--run", "none"], "no step that ran to its end"),
        (["--startup", "nan"], "startup_minutes nan"),
    ],
)
def test_what_cannot_be_priced_is_one_sentence(cost, words, said):
    result = cost(*words)
    assert isinstance(result.exception, UserError)
    assert said in str(result.exception)

"""The definition: the design's DAG, the same bytes every time, valid requests, nothing secret, no network."""

import importlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from pipelines.definition import compiler
from pipelines.definition.compiler import compile_cached, compile_pipeline
from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.requests import all_steps, check_requests
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import STEPS
from steps.core.dataset.plan import INSPECTOR
from steps.core.gate.limits import Limits
from steps.core.tiles.spec import PreprocessingSpec
from steps.evaluate.arguments import limits_of
from steps.train.hyperparameters import TUNED, Hyperparameters, first_trials
from tests.shared import compiled

SETTINGS = Settings()


@pytest.fixture(scope="module")
def text():
    return compiled(SETTINGS)


@pytest.fixture
def definition(text):
    return json.loads(text)


def steps(definition):
    return {step["Name"]: step for step in all_steps(definition)}


def references(value):
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield value["Get"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def arguments_of(definition, name, given):
    """Return what a step's program is told by a start that gives these parameters, as it reads its arguments.

    Argparse ends the process for a word that it does not know.
    """
    values = {p["Name"]: str(p.get("DefaultValue", "text")) for p in definition["Parameters"]} | given
    application = steps(definition)[name]["Arguments"]["AppSpecification"]
    *_, module = application["ContainerEntrypoint"]
    words = [
        word if isinstance(word, str) else values[next(references(word)).removeprefix("Parameters.")]
        for word in application["ContainerArguments"]
    ]
    return importlib.import_module(f"{module}.__main__")._arguments(words)


def test_the_dag_is_the_designs(definition):
    assert {name: step["Type"] for name, step in steps(definition).items()} == {
        "ValidateData": "Processing",
        "CheckProvableLimit": "Condition",
        "RejectData": "Fail",
        "PreprocessTiles": "Processing",
        "IndexTiles": "Processing",
        "TuneHyperparameters": "Tuning",
        "TrainModel": "Training",
        "EvaluateModel": "Processing",
        "CheckFalsePositiveRate": "Condition",
        "ConvertToTFLite": "Processing",
        "RegisterModel": "RegisterModel",
        "RejectModel": "Fail",
    }
    condition = steps(definition)["CheckFalsePositiveRate"]["Arguments"]
    assert [step["Name"] for step in condition["IfSteps"]] == ["ConvertToTFLite", "RegisterModel"]
    assert [step["Name"] for step in condition["ElseSteps"]] == ["RejectModel"]


@pytest.mark.integration
def test_compiling_twice_and_in_another_process_gives_the_same_bytes(text):
    assert compile_pipeline(SETTINGS) == text
    code = "import sys; from pipelines.definition.compiler import *; sys.stdout.write(compile_pipeline(Settings()))"
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "7", "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == text


def test_compiling_needs_no_network_and_no_credentials(text, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("compiling opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    assert compile_pipeline(SETTINGS) == text
    assert dict(os.environ) == before


def test_every_request_is_valid_for_botocore(definition):
    assert check_requests(definition) == []


def test_a_request_that_botocore_refuses_is_named(definition):
    steps(definition)["EvaluateModel"]["Arguments"]["AppSpecification"]["ImageUri"] = 5
    steps(definition)["TuneHyperparameters"]["Arguments"]["Stratagy"] = "x"
    problems = check_requests(definition)
    assert [problem.split()[0] for problem in problems] == ["TuneHyperparameters", "EvaluateModel"]


def test_parameters_are_typed_and_all_but_the_data_have_defaults(definition):
    kinds = {str: "String", int: "Integer", float: "Float"}
    table = {p.name: (kinds[p.kind], p.default) for p in pipeline_parameters(SETTINGS)}
    assert {p["Name"]: (p["Type"], p.get("DefaultValue")) for p in definition["Parameters"]} == table
    assert [name for name, (_, default) in table.items() if default is None] == [
        "DatasetUri",
        "PlanUri",
        "CheckpointsUri",
    ]


def test_defaults_are_the_steps_own():
    defaults = {p.name: p.default for p in pipeline_parameters(SETTINGS)}
    assert (defaults["MaxFpr"], defaults["MinTpr"]) == (Limits().max_fpr, Limits().min_tpr)
    assert defaults["TileSize"] == PreprocessingSpec().tile_size


def test_every_parameter_is_used(definition):
    used = set(references(definition["Steps"]))
    assert {f"Parameters.{p['Name']}" for p in definition["Parameters"]} <= used


@pytest.mark.parametrize(
    ("given", "margin"), [({"MaxFpr": "0.1"}, 0.05), ({"MaxFprIncrease": "0.02"}, 0.02), ({}, 0.005)]
)
@pytest.mark.parametrize("name", ["EvaluateModel", "ConvertToTFLite"])
def test_the_margin_to_the_champion_follows_the_limit_whoever_starts_it(definition, name, given, margin):
    """Also an execution that is started in SageMaker's console, with one parameter and none of our code."""
    assert limits_of(arguments_of(definition, name, given)).fpr_margin == pytest.approx(margin)


@pytest.mark.parametrize("name", [step.name for step in STEPS if step.program != "train"])
def test_a_program_takes_every_argument_that_its_step_gives_it(definition, name):
    assert arguments_of(definition, name, {})


def test_training_takes_every_hyperparameter_that_its_step_gives_it(definition):
    defaults = {f"Parameters.{p['Name']}": str(p.get("DefaultValue", "text")) for p in definition["Parameters"]}
    best = "Steps.TuneHyperparameters.BestTrainingJob.TunedHyperParameters"
    tuned = {f"{best}['{name}']": value for name, value in first_trials()[0].items()}
    given = steps(definition)["TrainModel"]["Arguments"]["HyperParameters"]
    text = {name: v if isinstance(v, str) else (defaults | tuned)[next(references(v))] for name, v in given.items()}
    assert Hyperparameters.parse(text) == Hyperparameters()


def test_the_ranges_are_the_tables_and_a_parameter_moves_the_learning_rates(definition):
    config = steps(definition)["TuneHyperparameters"]["Arguments"]["HyperParameterTuningJobConfig"]
    kinds = ("IntegerParameterRanges", "ContinuousParameterRanges")
    ranges = {item["Name"]: item for kind in kinds for item in config["ParameterRanges"][kind]}
    assert list(ranges) == [tuned.name for tuned in sorted(TUNED, key=lambda tuned: not tuned.whole)]
    assert {name: item["ScalingType"] for name, item in ranges.items()} == {t.name: t.scale for t in TUNED}
    moved = ranges.pop("fine-tune-learning-rate")
    assert [*references(moved["MinValue"])] == ["Parameters.LearningRateMin"]
    assert [*references(moved["MaxValue"])] == ["Parameters.LearningRateMax"]
    for tuned in (tuned for tuned in TUNED if tuned.name in ranges):
        assert (float(ranges[tuned.name]["MinValue"]), float(ranges[tuned.name]["MaxValue"])) == (tuned.low, tuned.high)
    assert config["Strategy"] == "Bayesian"
    assert config["TrainingJobEarlyStoppingType"] == "Auto"


def test_trials_and_training_get_the_same_but_for_what_is_tuned_and_what_refitting(definition):
    found = steps(definition)
    trial = found["TuneHyperparameters"]["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"]
    final = found["TrainModel"]["Arguments"]["HyperParameters"]
    own = {"refit", "_search", *(tuned.name for tuned in TUNED)}
    assert {name: value for name, value in final.items() if name not in own} == {
        name: value for name, value in trial.items() if name not in own
    }
    assert own & trial.keys() == {"refit", "_search"}
    assert own - final.keys() == {"refit", "_search"}
    known = {*trial, *(tuned.name for tuned in TUNED)} - {"refit", "seed", "_search"}
    assert {p["Name"]: p for p in definition["Parameters"]}["Search"]["EnumValues"] == [
        f"{' '.join(sorted(known))} seed={trial['seed']}"
    ]


def test_a_warm_start_names_its_parents_by_parameters_that_each_start_gives(definition):
    assert "WarmStartConfig" not in steps(definition)["TuneHyperparameters"]["Arguments"]
    warm = json.loads(compiled(replace(SETTINGS, warm_start_parents=2)))
    assert check_requests(warm) == []
    config = steps(warm)["TuneHyperparameters"]["Arguments"]["WarmStartConfig"]
    assert config["WarmStartType"] == "TransferLearning"
    names = ["WarmStartParent1", "WarmStartParent2"]
    assert [*references(config)] == [f"Parameters.{name}" for name in names]
    added = [p for p in warm["Parameters"] if p not in definition["Parameters"]]
    assert added == [{"Name": name, "Type": "String"} for name in names]


def test_both_judges_get_the_champion_the_ledger_and_the_same_limits(definition):
    def flags(name):
        words = steps(definition)[name]["Arguments"]["AppSpecification"]["ContainerArguments"]
        return {flag: json.dumps(value) for flag, value in zip(words[::2], words[1::2], strict=True)}

    for name in ("EvaluateModel", "ConvertToTFLite"):
        inputs = {i["InputName"]: i["S3Input"] for i in steps(definition)[name]["Arguments"]["ProcessingInputs"]}
        assert inputs["champion"]["S3Uri"] == {"Get": "Parameters.ChampionUri"}
        assert inputs["ledger"]["S3Uri"] == {"Get": "Parameters.LedgerUri"}
        told = flags(name)
        assert (json.loads(told["--champion"]), json.loads(told["--ledger"])) == (
            "/opt/ml/processing/input/champion",
            "/opt/ml/processing/input/ledger",
        )
    evaluated, converted = flags("EvaluateModel"), flags("ConvertToTFLite")
    own = {"--output", "--features"}
    assert own <= evaluated.keys()
    assert {k: v for k, v in evaluated.items() if k not in own}.items() <= converted.items()


def test_features_reach_what_trains_and_what_compares_with_a_baseline(definition):
    given = {}
    for name, step in steps(definition).items():
        job = step["Arguments"].get("TrainingJobDefinition", step["Arguments"])
        channels = {c["ChannelName"]: c["DataSource"]["S3DataSource"] for c in job.get("InputDataConfig", [])}
        inputs = {i["InputName"]: i["S3Input"] for i in job.get("ProcessingInputs", [])}
        if source := (channels | inputs).get("features"):
            assert source["S3DataType"] == "ManifestFile"
            given[name] = json.dumps(source["S3Uri"])
    assert given.keys() == {"TuneHyperparameters", "TrainModel", "EvaluateModel"}
    (uri,) = set(given.values())
    assert "features.manifest" in uri


def test_the_limit_reaches_only_what_judges(definition):
    depends = {name for name, step in steps(definition).items() if "Parameters.MaxFpr" in references(step["Arguments"])}
    assert depends == {"CheckProvableLimit", "EvaluateModel", "ConvertToTFLite", "CheckFalsePositiveRate"}


def test_the_training_jobs_never_get_the_held_out_labels(definition):
    for name in ("TuneHyperparameters", "TrainModel"):
        used = [ref for ref in references(steps(definition)[name]["Arguments"]) if ref.startswith("Steps.ValidateData")]
        assert used == ["Steps.ValidateData.ProcessingOutputConfig.Outputs['development'].S3Output.S3Uri"]


def test_the_best_trials_hyperparameters_flow_to_the_training_by_reference(definition):
    best = "Steps.TuneHyperparameters.BestTrainingJob.TunedHyperParameters"
    used = {ref for ref in references(steps(definition)["TrainModel"]["Arguments"]) if ref.startswith(best)}
    assert used == {f"{best}['{tuned.name}']" for tuned in TUNED}


def test_jobs_are_cached_and_retried_and_registration_waits_for_a_person(definition):
    found = steps(definition)
    for name in (step.name for step in STEPS):
        assert found[name]["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
        assert found[name]["RetryPolicies"]
    assert found["RegisterModel"]["Arguments"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["RegisterModel"]["RetryPolicies"]


def test_what_is_named_by_its_content_goes_to_a_place_that_all_runs_share(definition):
    own = "Execution.PipelineExecutionId"
    shared = {}
    for name, step in steps(definition).items():
        for output in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", []):
            uri = output["S3Output"]["S3Uri"]
            if own not in references(uri):
                shared[name, output["OutputName"]] = uri
    assert shared == {
        ("ValidateData", "new-facts"): f"s3://tilegate-local/facts/{INSPECTOR}",
        ("IndexTiles", "new-tiles"): "s3://tilegate-local/tiles",
        ("IndexTiles", "new-features"): "s3://tilegate-local/features",
        ("EvaluateModel", "new-ledger"): "s3://tilegate-local/ledger/EvaluateModel",
        ("ConvertToTFLite", "new-ledger"): "s3://tilegate-local/ledger/ConvertToTFLite",
    }


def test_a_rejected_conversion_leaves_its_look_at_the_test_split(definition):
    for name in ("EvaluateModel", "ConvertToTFLite"):
        outputs = steps(definition)[name]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        modes = {output["OutputName"]: output["S3Output"]["S3UploadMode"] for output in outputs}
        assert modes.pop("new-ledger") == "Continuous"
        assert set(modes.values()) == {"EndOfJob"}


def test_jobs_get_the_objects_that_the_plan_lists_and_no_others(definition):
    for name, listed in {"ValidateData": "store", "PreprocessTiles": "images", "IndexTiles": "store"}.items():
        inputs = {i["InputName"]: i["S3Input"] for i in steps(definition)[name]["Arguments"]["ProcessingInputs"]}
        assert inputs[listed]["S3DataType"] == "ManifestFile"
        assert list(references(inputs[listed]["S3Uri"])) == ["Parameters.PlanUri"]


def test_the_images_to_cut_are_shared_out_among_the_instances_and_nothing_else_is(definition):
    jobs = {name: step["Arguments"] for name, step in steps(definition).items() if step["Type"] == "Processing"}
    shared = [
        (name, item["InputName"])
        for name, job in jobs.items()
        for item in job["ProcessingInputs"]
        if item["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
    ]
    counts = {name: job["ProcessingResources"]["ClusterConfig"]["InstanceCount"] for name, job in jobs.items()}
    assert shared == [("PreprocessTiles", "images")]
    assert counts.pop("PreprocessTiles") == {"Get": "Parameters.ProcessingInstanceCount"}
    assert set(counts.values()) == {1}


def test_nothing_is_cut_before_the_data_is_validated(definition):
    assert steps(definition)["PreprocessTiles"]["DependsOn"] == ["ValidateData"]


def trainings(definition):
    found = steps(definition)
    trial = found["TuneHyperparameters"]["Arguments"]["TrainingJobDefinition"]
    return {"training": found["TrainModel"]["Arguments"], "tuning": trial}


def test_trainings_share_hosts_and_keep_checkpoints_where_every_execution_on_the_plan_finds_them(definition):
    """Their URI is part of the step cache's key, so it names no execution; and a job downloads all that lies there."""
    for name, request in trainings(definition).items():
        assert request["ResourceConfig"]["InstanceCount"] == {"Get": "Parameters.TrainingInstanceCount"}
        place = request["CheckpointConfig"]["S3Uri"]["Std:Join"]
        assert place == {"On": "/", "Values": [{"Get": "Parameters.CheckpointsUri"}, name]}
        assert not request.get("EnableManagedSpotTraining")
        assert "MaxWaitTimeInSeconds" not in request["StoppingCondition"]


def test_spot_waits_no_shorter_than_it_runs():
    spare = json.loads(compiled(replace(SETTINGS, spot=True)))
    assert check_requests(spare) == []
    for request in trainings(spare).values():
        assert request["EnableManagedSpotTraining"] is True
        limits = request["StoppingCondition"]
        assert limits["MaxWaitTimeInSeconds"] >= limits["MaxRuntimeInSeconds"]


def test_the_instances_of_a_trial_wait_for_the_next_training_where_that_is_wanted():
    warm = trainings(json.loads(compiled(replace(SETTINGS, warm_pool_seconds=600))))
    kept = {name: request["ResourceConfig"].get("KeepAlivePeriodInSeconds") for name, request in warm.items()}
    assert kept == {"tuning": 600, "training": None}
    cold = trainings(json.loads(compiled(SETTINGS)))
    assert not [r for r in cold.values() if "KeepAlivePeriodInSeconds" in r["ResourceConfig"]]


def test_an_execution_is_no_experiment_and_a_rejection_tells_a_join(text, definition):
    """An experiment is made under a role that may not, and for FailStep a Join is documented, no JsonGet."""
    assert definition["PipelineExperimentConfig"] is None
    for check in ("CheckProvableLimit", "CheckFalsePositiveRate"):
        (rejection,) = steps(definition)[check]["Arguments"]["ElseSteps"]
        message = rejection["Arguments"]["ErrorMessage"]["Std:Join"]
        assert message["On"] == ""
        assert [list(value) for value in message["Values"]] == [["Std:JsonGet"]]


def test_a_failing_validation_still_uploads_its_report(definition):
    outputs = steps(definition)["ValidateData"]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    modes = {output["OutputName"]: output["S3Output"]["S3UploadMode"] for output in outputs}
    assert modes.pop("report") == "Continuous"
    assert set(modes.values()) == {"EndOfJob"}


def test_the_validations_report_is_told_by_those_who_judge_and_makes_nobody_cut_or_train_again(definition):
    known = steps(definition)
    for name in ("PreprocessTiles", "IndexTiles", "TuneHyperparameters", "TrainModel"):
        assert not any("'report'" in ref for ref in references(known[name]["Arguments"]))
    for name in ("EvaluateModel", "ConvertToTFLite"):
        assert any("'report'" in ref for ref in references(known[name]["Arguments"]))


def test_nothing_in_it_is_secret_or_of_this_machine(text):
    assert os.path.expanduser("~") not in text  # noqa: PTH111
    assert "offline" not in text
    for word in ("password", "secret", "token", "aws_access_key"):
        assert word not in text.lower()


def test_settings_reach_the_definition():
    other = compiled(replace(SETTINGS, name="other-name", bucket="other-bucket", model_image="other-image"))
    assert "tilegate-local/" not in other.replace("role/tilegate-local", "")
    assert "other-bucket" in other
    assert "other-image" in other


def test_a_compiled_definition_is_kept_until_settings_change(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "compile_pipeline", lambda settings: f"of {settings.bucket}")
    assert compile_cached(SETTINGS, tmp_path) == "of tilegate-local"
    next(tmp_path.iterdir()).write_text("kept")
    assert compile_cached(SETTINGS, tmp_path) == "kept"
    assert compile_cached(replace(SETTINGS, bucket="other"), tmp_path) == "of other"


def test_a_change_of_what_the_definition_is_made_of_compiles_it_anew(tmp_path, monkeypatch):
    """Else a run would read where the new code says and write where the old one said: INSPECTOR is part of a URI."""
    made = iter(["old", "new"])
    monkeypatch.setattr(compiler, "compile_pipeline", lambda _: next(made))
    monkeypatch.setattr(compiler, "program_digest", lambda name: f"old {name}")
    assert [compile_cached(SETTINGS, tmp_path) for _ in range(2)] == ["old", "old"]
    monkeypatch.setattr(compiler, "program_digest", lambda name: f"new {name}")
    assert compile_cached(SETTINGS, tmp_path) == "new"


def test_volumes_of_training_can_do_without_the_key():
    """Instances with disks of their own, as most with a GPU, refuse a key for their volumes."""
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    for with_key in (True, False):
        settings = Settings(kms_key_arn=key, training_volume_key=with_key)
        jobs = {step["Name"]: step["Arguments"] for step in json.loads(compiled(settings))["Steps"]}
        trained = (jobs["TrainModel"], jobs["TuneHyperparameters"]["TrainingJobDefinition"])
        for job in trained:
            assert job["ResourceConfig"].get("VolumeKmsKeyId") == (key if with_key else None)

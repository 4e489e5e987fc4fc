"""The definition: the design's DAG, the same bytes every time, valid requests, nothing secret, no network."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from pipelines.compiler import compile_cached, compile_pipeline
from pipelines.parameters import pipeline_parameters
from pipelines.requests import all_steps, check_requests
from pipelines.settings import Settings
from steps.core.gate import Limits
from steps.core.plan import INSPECTOR
from steps.core.spec import PreprocessingSpec

SETTINGS = Settings()


@pytest.fixture(scope="module")
def text():
    return compile_pipeline(SETTINGS)


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


def test_the_dag_is_the_designs(definition):
    assert {name: step["Type"] for name, step in steps(definition).items()} == {
        "ValidateData": "Processing",
        "PreprocessTiles": "Processing",
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


def test_compiling_twice_and_in_another_process_gives_the_same_bytes(text):
    assert compile_pipeline(SETTINGS) == text
    code = "import sys; from pipelines.compiler import *; sys.stdout.write(compile_pipeline(Settings()))"
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
    assert [name for name, (_, default) in table.items() if default is None] == ["DatasetUri", "PlanUri"]


def test_defaults_are_the_steps_own():
    defaults = {p.name: p.default for p in pipeline_parameters(SETTINGS)}
    assert (defaults["MaxFpr"], defaults["MinTpr"]) == (Limits().max_fpr, Limits().min_tpr)
    assert defaults["TileSize"] == PreprocessingSpec().tile_size


def test_every_parameter_is_used(definition):
    used = set(references(definition["Steps"]))
    assert {f"Parameters.{p['Name']}" for p in definition["Parameters"]} <= used


def test_the_limit_reaches_only_what_judges(definition):
    depends = {name for name, step in steps(definition).items() if "Parameters.MaxFpr" in references(step["Arguments"])}
    assert depends == {"EvaluateModel", "ConvertToTFLite", "CheckFalsePositiveRate"}


def test_the_training_jobs_never_get_the_held_out_labels(definition):
    for name in ("TuneHyperparameters", "TrainModel"):
        used = [ref for ref in references(steps(definition)[name]["Arguments"]) if ref.startswith("Steps.ValidateData")]
        assert used == ["Steps.ValidateData.ProcessingOutputConfig.Outputs['development'].S3Output.S3Uri"]


def test_the_best_trials_hyperparameters_flow_to_the_training_by_reference(definition):
    best = "Steps.TuneHyperparameters.BestTrainingJob.TunedHyperParameters"
    used = {ref for ref in references(steps(definition)["TrainModel"]["Arguments"]) if ref.startswith(best)}
    assert used == {f"{best}['fine-tune-learning-rate']", f"{best}['dropout']"}


def test_jobs_are_cached_and_retried_and_registration_waits_for_a_person(definition):
    found = steps(definition)
    for name in (
        "ValidateData",
        "PreprocessTiles",
        "TuneHyperparameters",
        "TrainModel",
        "EvaluateModel",
        "ConvertToTFLite",
    ):
        assert found[name]["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
        assert found[name]["RetryPolicies"]
    assert found["RegisterModel"]["Arguments"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["RegisterModel"]["RetryPolicies"]


def test_what_is_named_by_its_content_goes_to_a_place_that_all_runs_share(definition):
    own = "Execution.PipelineExecutionId"
    shared = {}
    for name in ("ValidateData", "PreprocessTiles"):
        for output in steps(definition)[name]["Arguments"]["ProcessingOutputConfig"]["Outputs"]:
            uri = output["S3Output"]["S3Uri"]
            if own not in references(uri):
                shared[output["OutputName"]] = uri
    assert shared == {"new-facts": f"s3://tilegate-local/facts/{INSPECTOR}", "new-tiles": "s3://tilegate-local/tiles"}


def test_jobs_get_the_objects_that_the_plan_lists_and_no_others(definition):
    for name in ("ValidateData", "PreprocessTiles"):
        inputs = {i["InputName"]: i["S3Input"] for i in steps(definition)[name]["Arguments"]["ProcessingInputs"]}
        assert inputs["store"]["S3DataType"] == "ManifestFile"
        assert list(references(inputs["store"]["S3Uri"])) == ["Parameters.PlanUri"]


def test_a_failing_validation_still_uploads_its_report(definition):
    outputs = steps(definition)["ValidateData"]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    modes = {output["OutputName"]: output["S3Output"]["S3UploadMode"] for output in outputs}
    assert modes.pop("report") == "Continuous"
    assert set(modes.values()) == {"EndOfJob"}


def test_later_steps_do_not_depend_on_the_validations_report(definition):
    for name, step in steps(definition).items():
        if name != "ValidateData":
            assert not any("'report'" in ref for ref in references(step["Arguments"]))


def test_limits_of_the_service_are_kept(text, definition):
    assert len(text) < 100 * 1024
    assert "_" not in SETTINGS.name
    for name, step in steps(definition).items():
        assert len(name) <= 64
        application = step["Arguments"].get("AppSpecification", {})
        words = application.get("ContainerArguments", [])
        assert len(words) <= 100
        assert all(len(word) <= 256 for word in words if isinstance(word, str))
        assert len(step["Arguments"].get("ProcessingInputs", [])) <= 10


def test_nothing_in_it_is_secret_or_of_this_machine(text):
    assert os.path.expanduser("~") not in text  # noqa: PTH111
    assert "offline" not in text
    for word in ("password", "secret", "token", "aws_access_key"):
        assert word not in text.lower()


def test_settings_reach_the_definition():
    other = compile_pipeline(replace(SETTINGS, name="other-name", bucket="other-bucket", model_image="other-image"))
    assert "tilegate-local/" not in other.replace("role/tilegate-local", "")
    assert "other-bucket" in other
    assert "other-image" in other


def test_a_compiled_definition_is_kept_until_settings_change(tmp_path, text):
    assert compile_cached(SETTINGS, tmp_path) == text
    kept = next(tmp_path.iterdir())
    kept.write_text("kept")
    assert compile_cached(SETTINGS, tmp_path) == "kept"
    assert compile_cached(replace(SETTINGS, bucket="other"), tmp_path) != "kept"

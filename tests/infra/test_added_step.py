"""One more step: a row of the table and its place in the DAG, and everybody who deals with steps knows it."""

import copy
import json

import pytest

from infra.template.job_roles import DefinedAccess
from infra.template.pipeline import placeholder_settings
from pipelines.definition import step_table
from pipelines.definition.compiler import compile_pipeline
from pipelines.definition.lint import lint
from pipelines.definition.requests import all_steps
from pipelines.definition.step_table import DATA_IMAGE, EVALUATE, JUDGE, MODEL_IMAGE, Step
from pipelines.environment import Environment
from pipelines.executor.events import StepStarted
from pipelines.executor.runs import load_runs
from pipelines.runs.local_history import RunHere
from pipelines.tracking.service import execution_events
from tests.infra.conftest import ACCOUNT, REGION, images_of
from tests.pipelines.tracking.service import ARN, Service

pytestmark = pytest.mark.integration

AUDIT = Step(
    "AuditModel", "audit", DATA_IMAGE, JUDGE, "ProcessingInstanceType", 7, hidden=("ValidateData/development",)
)
ENVIRONMENT = Environment("dev", ACCOUNT, REGION)
SETTINGS = placeholder_settings(ENVIRONMENT, images_of(ENVIRONMENT))


@pytest.fixture(scope="module", autouse=True)
def table():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_table, "STEPS", (*step_table.STEPS, AUDIT))
        yield


@pytest.fixture(scope="module")
def definition(table):
    compile_pipeline(SETTINGS)  # the SDK can be imported by its compiler alone
    from pipelines.definition import dag
    from pipelines.definition.jobs import Jobs, output_of

    built = dag.build_pipeline

    def build(settings, session):
        pipeline, jobs = built(settings, session), Jobs(settings, session)
        evaluate = next(step for step in pipeline.steps if step.name == EVALUATE.name)
        audit = jobs.processing(
            AUDIT,
            inputs={"evaluation": output_of(evaluate, "evaluation")},
            outputs=["notes", "new-ledger"],
        )
        pipeline.steps.append(audit)
        return pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dag, "build_pipeline", build)
        return json.loads(compile_pipeline(SETTINGS))


def audit_of(definition):
    return next(step for step in definition["Steps"] if step["Name"] == AUDIT.name)["Arguments"]


def test_it_runs_its_program_in_its_image_under_its_role(definition):
    job = audit_of(definition)
    assert job["AppSpecification"]["ContainerEntrypoint"] == ["python3", "-m", "steps.audit"]
    assert job["AppSpecification"]["ImageUri"] == SETTINGS.data_image
    assert job["RoleArn"] == ENVIRONMENT.role_arn(JUDGE)
    cluster = job["ProcessingResources"]["ClusterConfig"]
    assert (cluster["InstanceType"], cluster["InstanceCount"]) == ({"Get": "Parameters.ProcessingInstanceType"}, 1)


def test_its_role_may_do_what_it_does_and_pull_its_image(definition):
    access = DefinedAccess(definition, SETTINGS).of_jobs()[ENVIRONMENT.role_arn(JUDGE)]
    artifacts = SETTINGS.artifact_bucket
    assert f"{artifacts}/runs/*/EvaluateModel/evaluation/*" in access.reads
    assert {f"{artifacts}/runs/*/AuditModel/notes/*", f"{artifacts}/ledger/AuditModel/*"} <= access.writes
    assert step_table.images(JUDGE) == (DATA_IMAGE, MODEL_IMAGE)


def test_the_check_of_definitions_knows_what_is_hidden_from_it(definition):
    def problems(document):
        return lint(document, SETTINGS.name, text="", in_aws=True)

    assert problems(definition) == []
    changed = copy.deepcopy(definition)
    uri = {"Get": "Steps.ValidateData.ProcessingOutputConfig.Outputs['development'].S3Output.S3Uri"}
    audit_of(changed)["ProcessingInputs"][0]["S3Input"]["S3Uri"] = uri
    assert problems(changed) == ["AuditModel gets ValidateData/development, which the table of steps hides from it"]


def test_every_job_of_the_definition_has_its_program_and_its_usual_duration(definition):
    jobs = {step["Name"] for step in all_steps(definition) if step["Type"] in ("Processing", "Training", "Tuning")}
    assert {step.name for step in step_table.STEPS if step.usual_minutes > 0} == jobs
    assert step_table.programs()[-1] == "audit"
    assert step_table.programs(image=DATA_IMAGE) == ("preprocess", "audit")


def test_its_looks_at_the_test_split_count(tmp_path):
    run = tmp_path / "runs" / "20260101-000000-aaaa"
    looked = run / "steps" / "AuditModel" / "opt/ml/processing/output/new-ledger"
    looked.mkdir(parents=True)
    (looked / "look.json").write_text("{}")
    known = {"execution_id": run.name, "pipeline_name": "p", "started": 1.0, "seconds": 1.0, "parameters": {}}
    state = {**known, "status": "Failed", "failed_step": "AuditModel", "reason": None, "code_note": ""}
    (run / "state.json").write_text(json.dumps(state))
    (summary,) = load_runs(tmp_path)
    assert RunHere.of(summary).looks() == {"look"}


def test_the_recorder_tells_of_it(tmp_path):
    service = Service()
    service.processing(AUDIT.name, 1, 9, {"notes": "s3://artifacts/runs/e/AuditModel/notes"})
    events = [event for _, event in execution_events(service.client, ARN, tmp_path)]
    assert [event.step for event in events if isinstance(event, StepStarted)] == [AUDIT.name]

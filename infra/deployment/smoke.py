"""A smoke run of a deployment: one execution on the embedded sample, as cheap as can be, and what it proves."""

import functools
import time
from datetime import UTC, datetime
from typing import Any

from infra.deployment.readiness import BAD, NotReadyError, check
from infra.deployment.stacks_in_aws import Sleep, Tell
from pipelines.aws.session import Deployment, aws_errors
from pipelines.data.add import add_source
from pipelines.data.snapshots import catalogue_batches, read_card
from pipelines.definition.step_table import CHECK, CHECK_DATA, REGISTER, STEPS
from pipelines.runs.executions import Execution
from pipelines.runs.sagemaker_executions import standing
from pipelines.runs.sample_data import write_sample
from pipelines.runs.standing import Standing, follow
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.classes import Classes

SCREENSHOTS = 300
_CLASSES = "other,promotion"
# About the workflow, not the model: one trial, one epoch, and limits that so little can prove.
PARAMETERS = {
    "Classes": _CLASSES,
    "TileSize": 64,
    "FineTuneEpochs": 1,
    "MaxTuningJobs": 1,
    "MaxFpr": 0.95,
    "MinTpr": 0.0001,
    "MaxFlipped": 1.0,
    "ChampionRule": "not-proven-worse",
    "Variants": "float16",
}
_INSTANCES = {
    "ProcessingInstanceType": "ml.m5.large",
    "ProcessingInstanceCount": 1,
    "TrainingInstanceType": "ml.m5.large",
    "TrainingInstanceCount": 1,
}
_NOTE = "smoke run of the embedded sample"
# An event arrives within seconds, its function's log within a minute.
_TRIES, _PAUSE_SECONDS = 20, 15.0


def smoke(deployment: Deployment, *, tell: Tell, sleep: Sleep = time.sleep) -> bool:
    """Run the sample in a deployment, tell what works and where to look, and return whether all does.

    Everything stays. Raises UserError where there are other data, which it would mix with.
    """
    environment = deployment.environment
    batch = _sample_of(deployment)
    tell(f"Smoke run: {SCREENSHOTS} screenshots of the sample are the batch {batch}")
    request = {"force": True, "reason": _NOTE, "parameters": {**PARAMETERS, **_INSTANCES}}
    started = deployment.call("starter", request)
    execution = str(started.get("execution") or "")
    tell(f"The function {environment.function('starter')}: {started.get('night', started)}")
    if not execution:
        raise UserError(
            f"nothing was started, so nothing is proven; `tilegate runs --env {environment.name}` tells more"
        )
    look = functools.partial(standing, deployment)
    found = follow(look, look(execution), tell=tell, sleep=sleep)
    tell(f"What of {environment.project} works, by the execution {execution} ({found.status}):")
    row = functools.partial(check, tell)
    rows = [row("starter", lambda: "role starter, image control: it planned a run and started it")]
    parts = {step.name: f"role {step.role}, image {step.image}" for step in STEPS}
    for name, by in {**parts, **dict.fromkeys((CHECK_DATA, CHECK, REGISTER), "role pipeline")}.items():
        rows.append(row(name, functools.partial(_step, environment.name, found, name, by)))
    rows += [
        row("recorder", lambda: _recorded(deployment, found.execution, sleep)),
        row("dead letters", lambda: _no_letters(deployment)),
        row("alerts", lambda: _listeners(deployment)),
    ]
    tell("The version that it registered knows the sample alone. Take the sample back before your own data come:")
    tell(f'  tilegate data withdraw {batch} --env {environment.name} --by NAME --reason "smoke run"')
    return all(row.state != BAD for row in rows)


def _sample_of(deployment: Deployment) -> str:
    """Bring the sample into the data bucket, unless it is there, and return the name of its batch."""
    environment = deployment.environment
    data = S3Objects(deployment.client("s3"), environment.data_bucket)
    with aws_errors(f"add the sample to {environment.data_bucket}"):
        for batch in catalogue_batches(data):
            if read_card(data, batch.name).note != _NOTE:
                raise UserError(
                    f"{environment.data_bucket} holds data of its own ({batch.name}), with which the sample must not "
                    f"mix: `tilegate start --env {environment.name} --reason TEXT` proves the same on them"
                )
        with scratch("smoke") as folder:
            sample = write_sample(folder / "sample", screenshots=SCREENSHOTS)
            classes = Classes.parse(_CLASSES)
            return add_source(data, sample, classes=classes, note=_NOTE, by=deployment.identity, again=True).batch.name


def _step(environment: str, found: Standing, name: str, by: str) -> str:
    step = next((step for step in found.steps if step.name == name), None)
    if step is None:
        raise NotReadyError(f"{by}: not reached, look at what failed before it")
    seconds = step.took(datetime.now(UTC))
    if step.status != "Succeeded":
        logs = f"`tilegate logs {found.execution.id} {name} --env {environment}`"
        reason = " ".join(step.reason.split()) or "no reason was told"
        raise NotReadyError(f"{by}: {step.status}: {reason}; look at {logs}, and at what {by} may and holds")
    return f"{by}: {step.note or (f'{seconds:.0f} s' if seconds is not None else step.status)}"


def _recorded(deployment: Deployment, execution: Execution, sleep: Sleep) -> str:
    """Wait until the recorder says in its log that it has recorded the execution, as an event asked it to."""
    group = f"/aws/lambda/{deployment.environment.function('recorder')}"
    since = int(execution.started.timestamp() * 1000)
    with aws_errors(f"read {group}"):
        for left in reversed(range(_TRIES)):
            paginator = deployment.client("logs").get_paginator("filter_log_events")
            pages = paginator.paginate(logGroupName=group, startTime=since)
            lines = (event["message"] for page in pages for event in page["events"])
            if any(execution.id in line and '"run"' in line for line in lines):
                return "role recorder: the event of the execution's end arrived, and MLflow took the run"
            if left:
                sleep(_PAUSE_SECONDS)
    raise NotReadyError(
        f"role recorder: it told nothing of the execution in its log {group}; look there, at its dead letters, and at "
        "the rule of EventBridge"
    )


def _no_letters(deployment: Deployment) -> str:
    environment, sqs = deployment.environment, deployment.client("sqs")
    waiting = {}
    with aws_errors("look for dead letters"):
        for source in ("starter", "publisher", "recorder", "alerts"):
            name = f"{environment.project}-{source}-dead-letters"
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
            waiting[name] = int(found["Attributes"]["ApproximateNumberOfMessages"])
    if letters := [f"{n} in {name}" for name, n in waiting.items() if n]:
        raise NotReadyError(f"{', '.join(letters)}: each tells what could not be delivered, and why")
    return f"none in {len(waiting)} queues"


def _listeners(deployment: Deployment) -> str:
    topic = deployment.environment.arn("sns", deployment.environment.alerts_topic)
    with aws_errors(f"look who hears of {topic}"):
        pages = deployment.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found: list[Any] = [item["SubscriptionArn"] for page in pages for item in page["Subscriptions"]]
    confirmed = [arn for arn in found if str(arn).startswith("arn:")]
    if not found:
        return "nobody hears of failures: `tilegate deploy --alert-email ADDRESS` changes that"
    if len(confirmed) < len(found):
        raise NotReadyError(
            f"{len(confirmed)} of {len(found)} addresses hear of failures: follow the link in the mail from AWS"
        )
    return f"{len(confirmed)} addresses hear of failures"

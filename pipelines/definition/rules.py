"""The rules of SageMaker that its API's model does not hold: input modes, names, lengths and counts, with sources.

Each rule takes a step whose references are replaced by values, and yields sentences. API is SageMaker's API reference,
DG its developer guide; the model's own limits are held against requests in `requests.py`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from steps.core.gate.verdict import MOST_CHARACTERS

Step = Mapping[str, Any]
Rule = Callable[[Step], Iterator[str]]

_LONGEST_INTERVAL, _MOST_ATTEMPTS = 43_200, 20
_INPUTS = "/opt/ml/processing/"
# Families whose instances have disks of their own: a d for disk, and accelerators that always have them.
_OWN_DISKS = re.compile(r"ml\.(\w*\d\w*d\w*|g[5-9]\w*|p[5-9]\w*|trn\d\w*)\.\w+")

_RULES: list[tuple[Rule, str]] = []


def rule(source: str) -> Callable[[Rule], Rule]:
    def add(function: Rule) -> Rule:
        _RULES.append((function, source))
        return function

    return add


def violations(step: Step) -> Iterator[str]:
    """Yield what SageMaker would refuse of a step, with the page that says so."""
    for function, source in _RULES:
        for problem in function(step):
            yield f"{step['Name']}: {problem} ({source})"


def _job(step: Step) -> Mapping[str, Any]:
    """Return the request of a step's jobs, of the trials for a tuning."""
    arguments: Mapping[str, Any] = step["Arguments"]
    trial: Mapping[str, Any] | None = arguments.get("TrainingJobDefinition")
    return arguments if trial is None else trial


@rule("DG your-algorithms-training-algo-running-container")
def _fast_file_reads_a_prefix(step: Step) -> Iterator[str]:
    job = _job(step)
    mode = job.get("AlgorithmSpecification", {}).get("TrainingInputMode", "File")
    for channel in job.get("InputDataConfig") or ():
        kind = channel.get("DataSource", {}).get("S3DataSource", {}).get("S3DataType", "")
        if channel.get("InputMode", mode) == "FastFile" and kind != "S3Prefix":
            yield f"the channel {channel['ChannelName']} is a {kind}, and FastFile reads S3Prefix"


@rule("API ProcessingS3Input")
def _inputs_have_their_place(step: Step) -> Iterator[str]:
    for given in step["Arguments"].get("ProcessingInputs") or ():
        place = given.get("S3Input", {}).get("LocalPath")
        if not str(place).startswith(_INPUTS):
            yield f"the input {given['InputName']} goes to {place}, which has to begin with {_INPUTS}"


@rule("API StoppingCondition; DG train-warm-pools, considerations")
def _spot_instances_are_waited_for_and_not_kept(step: Step) -> Iterator[str]:
    job = _job(step)
    limits, spot = job.get("StoppingCondition", {}), job.get("EnableManagedSpotTraining")
    runs, waits = limits.get("MaxRuntimeInSeconds", 0), limits.get("MaxWaitTimeInSeconds")
    if spot and (waits is None or waits < runs):
        yield f"spot training waits {waits} seconds, at least MaxRuntimeInSeconds, {runs}, is wanted"
    if waits is not None and not spot:
        yield "MaxWaitTimeInSeconds is for spot training"
    if spot and job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds"):
        yield "spot instances are in no warm pool: leave KeepAlivePeriodInSeconds out"


@rule("API ResourceConfig, ProcessingClusterConfig")
def _disks_of_their_own_take_no_key(step: Step) -> Iterator[str]:
    job = _job(step)
    for machines in (job.get("ResourceConfig"), job.get("ProcessingResources", {}).get("ClusterConfig")):
        kind = str((machines or {}).get("InstanceType"))
        if machines and machines.get("VolumeKmsKeyId") and _OWN_DISKS.fullmatch(kind):
            yield f"{kind} has disks of its own, and refuses a VolumeKmsKeyId"


@rule("DG automatic-model-tuning-limits, automatic-model-tuning-define-metrics-variables")
def _a_search_is_within_its_limits(step: Step) -> Iterator[str]:
    if step["Type"] != "Tuning":
        return
    config, job = step["Arguments"]["HyperParameterTuningJobConfig"], _job(step)
    limits, metrics = config["ResourceLimits"], job["AlgorithmSpecification"].get("MetricDefinitions", [])
    names = [item["Name"] for ranges in config["ParameterRanges"].values() for item in ranges]
    for count, most, what in (
        (limits.get("MaxNumberOfTrainingJobs", 1), 750, "trials"),
        (limits["MaxParallelTrainingJobs"], 100, "trials at a time"),
        (len(names), 30, "searched hyperparameters"),
        (len(metrics), 20, "metrics"),
    ):
        if count > most:
            yield f"{count} {what}, and at most {most} are allowed"
    for name in sorted(set(names) & set(job.get("StaticHyperParameters", {}))):
        yield f"the hyperparameter {name} is searched, and static as well"


@rule("DG build-and-manage-steps-types, fail step")
def _messages_fit(step: Step) -> Iterator[str]:
    message = step["Arguments"].get("ErrorMessage") if step["Type"] == "Fail" else None
    if isinstance(message, str) and len(message) > MOST_CHARACTERS:
        yield f"the message has {len(message):,} characters, and at most {MOST_CHARACTERS:,} are allowed"


@rule("DG pipelines-retry-policy")
def _retries_end(step: Step) -> Iterator[str]:
    for policy in step.get("RetryPolicies") or ():
        for name, most in (("IntervalSeconds", _LONGEST_INTERVAL), ("MaxAttempts", _MOST_ATTEMPTS)):
            if policy.get(name, 0) > most:
                yield f"{name} of a retry is {policy[name]:,}, and at most {most:,} is allowed"

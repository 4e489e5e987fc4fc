"""What is wrong with a definition is told in sentences; the real one, changed in one place, is what is checked."""

import copy
import dataclasses
import json

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.definition.lint import MOST_CHARACTERS, lint
from pipelines.environment import Environment
from steps.core.common.errors import UserError
from tests.shared import compiled

ENVIRONMENT = Environment("dev", "123456789012", "eu-west-1")
DIGEST = "@sha256:" + "0" * 64
KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
PLACES = {"subnets": ("subnet-0123abcd",), "security_groups": ("sg-0123abcd",), "kms_key_arn": KEY}


@pytest.fixture(scope="module")
def real():
    images = {"data_image": f"example.com/data{DIGEST}", "model_image": f"example.com/model{DIGEST}"}
    return json.loads(compiled(dataclasses.replace(ENVIRONMENT.settings(), **images, **PLACES)))


def problems(definition, name="tilegate-dev", *, in_aws=True):
    return lint(definition, name, text=json.dumps(definition), in_aws=in_aws)


def step(definition, name):
    return next(found for found in definition["Steps"] if found["Name"] == name)


def trials(definition):
    return step(definition, "TuneHyperparameters")["Arguments"]["TrainingJobDefinition"]


def search(definition):
    return step(definition, "TuneHyperparameters")["Arguments"]["HyperParameterTuningJobConfig"]


def channel(definition):
    return next(c for c in trials(definition)["InputDataConfig"] if c["ChannelName"] == "shards")


def source(definition):
    return step(definition, "ValidateData")["Arguments"]["ProcessingInputs"][0]["S3Input"]


def rejection(definition):
    return step(definition, "CheckFalsePositiveRate")["Arguments"]["ElseSteps"][0]["Arguments"]


def test_nothing_is_wrong_with_the_real_definition(real):
    assert problems(real) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda d: step(d, "ValidateData").update(Name="x" * 65),
            "has to have a name of at most 64 letters",
        ),
        (lambda d: d["Steps"].append(step(d, "ValidateData")), "two steps are called 'ValidateData'"),
        (lambda d: d["Parameters"].append({"Name": "Old", "Type": "String"}), "parameter Old is used nowhere"),
        (lambda d: d["Parameters"].pop(0), "parameter 'DatasetUri', which the definition does not declare"),
        (lambda d: d["Parameters"].append(d["Parameters"][0]), "is defined several times"),
        (lambda d: d["Parameters"][0].update(DefaultValue=1), "is of the kind String, and its default is 1"),
        (
            lambda d: d["Parameters"][0].update(DefaultValue="c", EnumValues=["a", "b"]),
            "has the default 'c', which is none of a, b",
        ),
        (lambda d: d["Parameters"][0].update(Type="Text"), "is of the kind Text: one of String"),
        (
            lambda d: step(d, "TrainModel").update(DependsOn=["Nothing"]),
            "TrainModel depends on 'Nothing', which is no step",
        ),
        (
            lambda d: step(d, "TrainModel").update(DependsOn=["CheckFalsePositiveRate"]),
            "TrainModel follows the condition CheckFalsePositiveRate",
        ),
        (lambda d: step(d, "ValidateData").update(DependsOn=["TrainModel"]), "wait for each other"),
        (
            lambda d: step(d, "TrainModel")["Arguments"]["InputDataConfig"][2]["DataSource"]["S3DataSource"].update(
                S3Uri={"Get": "Steps.ValidateData.ProcessingOutputConfig.Outputs['screenshots'].S3Output.S3Uri"}
            ),
            "TrainModel gets ValidateData/screenshots, which the table of steps hides from it",
        ),
        (
            lambda d: step(d, "TrainModel")["Arguments"]["HyperParameters"].update(
                champion={"Get": "Parameters.ChampionUri"}
            ),
            "TrainModel gets ChampionUri, which the table of steps hides from it",
        ),
        (
            lambda d: step(d, "EvaluateModel").update(PropertyFiles=[]),
            "CheckFalsePositiveRate reads the property file 'Evaluation' of EvaluateModel, which has none",
        ),
        (
            lambda d: step(d, "EvaluateModel")["PropertyFiles"][0].update(OutputName="other"),
            "EvaluateModel is to write evaluation.json to other, which is no output of it",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"].update(Environment={"KEY": "AKIA" + "A" * 16}),
            "ValidateData.Arguments.Environment.KEY looks like a secret",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"].update(Environment={"DB_PASSWORD": "hello"}),
            "ValidateData.Arguments.Environment.DB_PASSWORD is named like a secret",
        ),
        (
            lambda d: step(d, "TrainModel")["Arguments"]["HyperParameters"].update(
                {f"more-{number}": "1" for number in range(100)}
            ),
            "HyperParameters has 1",
        ),
        (
            lambda d: step(d, "TrainModel")["Arguments"]["HyperParameters"].update(seed="1" * 2501),
            "HyperParameters.seed has 2,501 characters, and at most 2,500 are allowed",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"]["AppSpecification"].update(ContainerArguments=["x"] * 101),
            "ContainerArguments has 101 items, and at most 100 are allowed",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"]["AppSpecification"].update(ContainerArguments=["x" * 257]),
            "ContainerArguments[0] has 257 characters, and at most 256 are allowed",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"].update(
                ProcessingInputs=step(d, "ValidateData")["Arguments"]["ProcessingInputs"] * 4
            ),
            "ProcessingInputs has 12 items, and at most 10 are allowed",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"]["StoppingCondition"].update(MaxRuntimeInSeconds=10**7),
            "MaxRuntimeInSeconds is 10,000,000, and at most",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"].update(RoleArn="nobody"),
            "RoleArn",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"]["ProcessingResources"]["ClusterConfig"].update(
                InstanceType="ml.m5.huge"
            ),
            "InstanceType is 'ml.m5.huge', which is none of the",
        ),
        (lambda d: channel(d).update(InputMode="FastFile"), "shards is a ManifestFile, and FastFile reads S3Prefix"),
        (
            lambda d: (
                trials(d)["AlgorithmSpecification"].update(TrainingInputMode="FastFile") or channel(d).pop("InputMode")
            ),
            "TuneHyperparameters: the channel shards is a ManifestFile",
        ),
        (
            lambda d: channel(d)["DataSource"]["S3DataSource"].update(S3DataType="AugmentedManifestFile"),
            "S3DataType is 'AugmentedManifestFile', which does not run on one machine: use S3Prefix or",
        ),
        (
            lambda d: channel(d).update(CompressionType="Gzip"),
            "step TuneHyperparameters: CompressionType is 'Gzip'",
        ),
        (lambda d: source(d).update(S3CompressionType="Gzip"), "step ValidateData: S3CompressionType is 'Gzip'"),
        (lambda d: source(d).update(LocalPath="/opt/ml/x"), "goes to /opt/ml/x, which has to begin with /opt/ml/proc"),
        (
            lambda d: trials(d).update(EnableManagedSpotTraining=True),
            "spot training waits None seconds, at least MaxRuntimeInSeconds, 21600, is wanted",
        ),
        (
            lambda d: trials(d)["StoppingCondition"].update(MaxWaitTimeInSeconds=99_999),
            "MaxWaitTimeInSeconds is for spot training",
        ),
        (
            lambda d: (
                trials(d).update(EnableManagedSpotTraining=True)
                or trials(d)["ResourceConfig"].update(KeepAlivePeriodInSeconds=600)
            ),
            "spot instances are in no warm pool",
        ),
        (
            lambda d: next(p for p in d["Parameters"] if p["Name"] == "TrainingInstanceType").update(
                DefaultValue="ml.g5.xlarge"
            ),
            "TrainModel: ml.g5.xlarge has disks of its own, and refuses a VolumeKmsKeyId",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"]["ProcessingResources"]["ClusterConfig"].update(
                InstanceType="ml.m5d.large"
            ),
            "ml.m5d.large has disks of its own",
        ),
        (lambda d: search(d)["ResourceLimits"].update(MaxNumberOfTrainingJobs=751), "751 trials, and at most 750"),
        (lambda d: search(d)["ResourceLimits"].update(MaxParallelTrainingJobs=101), "101 trials at a time, and at"),
        (
            lambda d: trials(d)["AlgorithmSpecification"]["MetricDefinitions"].extend(
                {"Name": f"m{n}", "Regex": "."} for n in range(16)
            ),
            "21 metrics, and at most 20 are allowed",
        ),
        (
            lambda d: search(d)["ParameterRanges"]["IntegerParameterRanges"].extend(
                {"Name": f"n{n}", "MinValue": "1", "MaxValue": "2"} for n in range(30)
            ),
            "33 searched hyperparameters, and at most 30",
        ),
        (
            lambda d: search(d)["ParameterRanges"]["IntegerParameterRanges"].append(
                {"Name": "seed", "MinValue": "1", "MaxValue": "2"}
            ),
            "the hyperparameter seed is searched, and static as well",
        ),
        (
            lambda d: search(d)["HyperParameterTuningJobObjective"].update(MetricName="other"),
            "its objective 'other' is in no MetricDefinitions",
        ),
        (lambda d: rejection(d).update(ErrorMessage="x" * 3_073), "3,073 characters, and at most 3,072 are allowed"),
        (
            lambda d: step(d, "TrainModel")["RetryPolicies"][0].update(MaxAttempts=21),
            "MaxAttempts of a retry is 21, and at most 20",
        ),
        (
            lambda d: step(d, "TrainModel")["CacheConfig"].update(ExpireAfter="30 days"),
            "TrainModel: the duration '30 days' is not readable",
        ),
        (
            lambda d: d["Parameters"].extend({"Name": f"P{n}", "Type": "String"} for n in range(200)),
            "parameters, and at most 200 are allowed",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"].update(Unknown=1),
            'Unknown parameter in input: "Unknown"',
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"]["AppSpecification"].update(ImageUri="data:latest"),
            "ValidateData.AppSpecification.ImageUri is data:latest: name the image with its digest",
        ),
        (
            lambda d: step(d, "ValidateData")["Arguments"].update(
                RoleArn="arn:aws:iam::000000000000:role/tilegate-local"
            ),
            "which is of no account",
        ),
    ],
)
def test_what_is_wrong_is_told(real, change, says):
    changed = copy.deepcopy(real)
    change(changed)
    assert any(says in problem for problem in problems(changed)), problems(changed)


def test_every_problem_is_listed(real):
    changed = copy.deepcopy(real)
    changed["Parameters"].append({"Name": "Old", "Type": "String"})
    step(changed, "ValidateData")["Name"] = "a name"
    assert len(problems(changed, "a_name")) >= 3


def test_a_pipelines_name_has_no_underscore(real):
    assert problems(real, "tilegate_dev") == [
        "the pipeline's name 'tilegate_dev' has to be of letters, digits and hyphens, no underscore"
    ]


def test_a_definition_has_an_end(real):
    (problem,) = lint(real, "tilegate-dev", text="x" * (MOST_CHARACTERS + 1), in_aws=True)
    assert problem == "the definition has 1,048,577 characters, and at most 1,048,576 are allowed"


def test_on_one_machine_images_have_tags(real):
    changed = copy.deepcopy(real)
    step(changed, "ValidateData")["Arguments"]["AppSpecification"]["ImageUri"] = "tilegate-data:local"
    assert problems(changed, in_aws=False) == []


def compile_with(*words):
    return CliRunner().invoke(cli, ["compile", *words])


def test_the_command_compiles_with_a_deployments_names():
    images = [word for name in ("data", "model") for word in (f"--{name}-image", f"example.com/{name}{DIGEST}")]
    words = ["--env", "dev", "--account", "123456789012", "--region", "eu-west-1", *images]
    result = compile_with(*words)
    assert result.exit_code == 0, result.output
    assert ENVIRONMENT.role_arn("judge") in result.output
    assert f"s3://{ENVIRONMENT.artifact_bucket}/runs" in result.output
    definition = json.loads(result.output)
    assert "EnableManagedSpotTraining" not in step(definition, "TrainModel")["Arguments"]
    more = ["--spot", "--kms-key-arn", KEY, "--no-volume-key"]
    more += ["--subnet", "subnet-0123abcd", "--security-group", "sg-0123abcd"]
    result = compile_with(*words, *more)
    assert result.exit_code == 0, (result.output, result.exception)
    training = step(json.loads(result.output), "TrainModel")["Arguments"]
    assert training["EnableManagedSpotTraining"]
    assert "VolumeKmsKeyId" not in training["ResourceConfig"]
    assert training["VpcConfig"]["Subnets"] == ["subnet-0123abcd"]


def test_the_command_can_only_check():
    images = [word for name in ("data", "model") for word in (f"--{name}-image", f"example.com/{name}{DIGEST}")]
    checked = compile_with("--env", "dev", "--account", "123456789012", *images, "--check")
    assert checked.output.startswith("tilegate-dev: nothing is wrong in ")


def test_the_command_lists_every_problem_and_fails():
    result = compile_with("--check", "--env", "dev", "--account", "123456789012")
    assert result.exit_code == 1
    assert result.stderr.count("name the image with its digest") == 8
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--env", "dev"], "--env dev needs --account"),
        (["--subnet", "subnet-1"], "--subnet and --security-group belong together"),
        (["--account", "123456789012"], "--account belongs to --env"),
        (["--env", "dev", "--account", "1"], "account '1': the twelve digits"),
        (["--env", "dev", "--account", "123456789012", "--bucket", "b"], "--bucket: --env dev already says it"),
    ],
)
def test_names_come_from_one_place(words, says):
    result = compile_with(*words)
    assert isinstance(result.exception, UserError)
    assert says in str(result.exception)

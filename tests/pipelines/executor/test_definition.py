"""Every wrong definition or parameter is refused before anything runs, in one sentence that helps."""

import pytest

from pipelines.executor.definition import parse, seconds_of
from pipelines.executor.errors import DefinitionError
from pipelines.executor.executor import Executor
from pipelines.executor.expressions import parse_path, walk
from pipelines.executor.parameters import bind

NUMBER = {"Name": "Limit", "Type": "Float", "DefaultValue": 0.01}


def refused(kit, *steps, **options):
    with pytest.raises(DefinitionError) as caught:
        kit.executor(*steps, **options)
    assert not (kit.home / "runs").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"Limits": "1"}, "unknown parameter Limits: the pipeline has Limit, Mode, Count"),
        ({"Limit": "much"}, "the parameter Limit is 'much': wanted a finite number"),
        ({"Limit": "nan"}, "the parameter Limit is 'nan': wanted a finite number"),
        ({"Count": "1.5"}, "the parameter Count is '1.5': wanted a whole number"),
        ({"Count": True}, "the parameter Count is True: wanted a whole number"),
        ({"Mode": ""}, "the parameter Mode is an empty text, which SageMaker refuses"),
        ({"Mode": "slow"}, "the parameter Mode is 'slow': wanted one of fast, exact"),
    ],
)
def test_a_wrong_parameter_is_refused(given, said):
    """The sentence names the parameter, what was seen and what is wanted."""
    declared = [
        NUMBER,
        {"Name": "Mode", "Type": "String", "DefaultValue": "fast", "EnumValues": ["fast", "exact"]},
        {"Name": "Count", "Type": "Integer", "DefaultValue": 3},
    ]
    with pytest.raises(DefinitionError) as caught:
        bind(declared, given)
    assert said in str(caught.value)


def test_parameters_are_cast_from_text_by_their_type():
    """Values arrive as StartPipelineExecution sends them: as strings."""
    declared = [{"Name": name, "Type": name} for name in ("String", "Integer", "Float")]
    given = {"String": "007", "Integer": "42", "Float": "1e-3"}
    assert bind(declared, given) == {"String": "007", "Integer": 42, "Float": 0.001}
    with pytest.raises(DefinitionError, match="Strict has the type 'Boolean': wanted one of String, Integer, Float"):
        bind([{"Name": "Strict", "Type": "Boolean", "DefaultValue": True}], {})


def test_a_parameter_without_default_must_be_given():
    with pytest.raises(DefinitionError, match=r"Uri \(String\) has no default: give it a value"):
        bind([{"Name": "Uri", "Type": "String"}], {})


@pytest.mark.parametrize(("name", "value"), [("A=B", "x"), ("A\0B", "x"), ("A", "x\0y")])
def test_what_no_environment_can_hold_fails_the_step_in_a_sentence(kit, name, value):
    step = kit.writes("A")
    step["Arguments"]["Environment"] = {name: value}
    assert "the job could not be started" in kit.run(step).reason


def test_a_definition_that_is_nested_without_end_is_refused(kit):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    step = kit.writes("A")
    step["Arguments"]["Tags"] = deep
    with pytest.raises(DefinitionError, match="nested more deeply than any pipeline is"):
        parse({"Steps": [step]})


def test_structural_mistakes_are_refused(kit):
    """Names, types, references, property files, cycles: each is found before anything runs."""
    a = kit.writes("A")
    assert "two steps are called 'A'" in refused(kit, a, a)
    assert "of type 'Lambda', which does not run on one machine" in refused(kit, {"Name": "L", "Type": "Lambda"})
    assert "depends on 'B', which is no step" in refused(kit, {**a, "DependsOn": ["B"]})
    assert "depends on 'B', which is no step" in refused(kit, kit.writes("A", inputs={"x": kit.output_of("B")}))
    assert "refers to the parameter 'Limit'" in refused(kit, kit.writes("A", kit.get("Parameters.Limit")))
    assert "reference 'Nowhere.X' is not known" in refused(kit, kit.writes("A", kit.get("Nowhere.X")))
    assert "not known: wanted Std:Join" in refused(kit, kit.writes("A", {"Std:Upper": "x"}))
    circle = [kit.writes("A", inputs={"x": kit.output_of("B")}), kit.writes("B", DependsOn=["A"])]
    assert "the steps A, B wait for each other in a circle" in refused(kit, *circle)
    read = kit.condition("Gate", kit.compare("Equals", kit.read("A", "x"), 1))
    assert "reads the property file 'Report' of A, which has none" in refused(kit, a, read)
    assert "no list of Steps" in refused(kit)


def test_what_only_aws_can_do_is_refused(kit, trainer):
    """A request that would silently run differently from SageMaker is refused, with what to use instead."""
    piped = kit.writes("A", inputs={"x": "s3://b/x"})
    piped["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3InputMode"] = "Pipe"
    assert "S3InputMode is 'Pipe', which does not run on one machine: use File" in refused(kit, piped)
    outside = kit.writes("A")
    outside["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["LocalPath"] = "/tmp/out"  # noqa: S108
    assert "LocalPath '/tmp/out' is outside of /opt/ml" in refused(kit, outside)
    categories = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1"]}]}
    ranges = {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1", "MaxValue": "2"}]}
    assert "CategoricalParameterRanges is" in refused(kit, kit.tuning("T", "", ranges=categories))
    for key, value, instead in (
        ("Strategy", "Grid", "use Bayesian"),
        ("Strategy", "Random", "use Bayesian"),
        ("HyperParameterTuningJobObjective", {"Type": "Minimize", "MetricName": "score"}, "use Maximize"),
        ("AutoParameters", [{"Name": "x"}], "leave it out"),
    ):
        tuning = kit.tuning("T", "", ranges=ranges)
        tuning["Arguments"]["HyperParameterTuningJobConfig"][key] = value
        assert f"does not run on one machine: {instead}" in refused(kit, tuning)
    reverse = {"IntegerParameterRanges": [{**ranges["IntegerParameterRanges"][0], "ScalingType": "ReverseLogarithmic"}]}
    assert "ScalingType is 'ReverseLogarithmic'" in refused(kit, kit.tuning("T", "", ranges=reverse))
    blind = kit.tuning("T", "", ranges=ranges)
    blind["Arguments"]["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = []
    assert "'score' is in no MetricDefinitions" in refused(kit, blind)
    backwards = kit.tuning(
        "T", "", ranges={"ContinuousParameterRanges": [{"Name": "x", "MinValue": "2", "MaxValue": "1"}]}
    )
    assert "ranges from 2 to 1" in refused(kit, backwards)
    regex = kit.training("T", "", metrics=("loss",))
    regex["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"][0]["Regex"] = "("
    assert "regex '('" in refused(kit, regex)
    script = kit.training("T", "", hyperparameters={"sagemaker_program": "train.py"})
    assert "sagemaker_program is 'train.py', which does not run on one machine" in refused(kit, script)
    named = kit.training("T", "", hyperparameters={"Strategy": "Grid"})
    assert kit.executor(named)
    timed = kit.writes("A", RetryPolicies=[{"ExceptionType": ["Step.THROTTLING"], "ExpireAfterMin": 5}])
    assert "ends by time does not run on one machine: give MaxAttempts" in refused(kit, timed)
    own = kit.training("T", "")
    own["Arguments"]["AlgorithmSpecification"]["ContainerEntrypoint"] = ["python3", "train.py"]
    assert "its training has a command of its own" in refused(kit, own)
    elsewhere = kit.training("T", "")
    elsewhere["Arguments"]["CheckpointConfig"] = {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/other"}
    assert "its checkpoints are at '/opt/ml/other'" in refused(kit, elsewhere)


def test_numbers_where_the_api_takes_text_are_refused(kit):
    """The service would refuse them too; the sentence says how to mend it in the SDK."""
    bare = kit.training("T", "", hyperparameters={"limit": kit.get("Parameters.Limit")})
    said = refused(kit, bare, declared=[NUMBER])
    assert "HyperParameters.limit is the Float parameter Limit" in said
    assert ".to_string()" in said
    assert "ContainerArguments[0] is 3" in refused(kit, kit.processing("A", "", arguments=[3]))


def test_a_condition_that_cannot_be_read_is_refused(kit):
    odd = kit.condition("Gate", {"Type": "NotEquals", "LeftValue": 1, "RightValue": 2})
    assert "condition type 'NotEquals' does not run on one machine" in refused(kit, odd)
    assert "lacks RightValue" in refused(kit, kit.condition("Gate", {"Type": "Equals", "LeftValue": 1}))


def test_names_that_would_leave_the_home_are_refused(kit):
    assert "wanted letters, digits" in refused(kit, kit.writes("A"), name="../other")
    assert "a step is called '../A'" in refused(kit, kit.writes("../A"))
    assert "there is no run '../x' to resume" in refused(kit, kit.writes("A"), resume="../x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("P30D", 2_592_000), ("PT12H", 43_200), ("P1DT30M", 88_200), ("P1W", 604_800)),
        *(("15d", 1_296_000), ("30D", 2_592_000), ("T16m", 960), ("30dT5h", 2_610_000), ("p1w", 604_800)),
    ],
)
def test_durations_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["P", "PT", "T", "30", "5y", "P1M", "P1Y", "P1DT", "", None])
def test_durations_without_a_fixed_length_are_refused(text):
    with pytest.raises(DefinitionError, match="write days, hours or minutes"):
        seconds_of(text)


def test_paths_reach_into_maps():
    value = {"a": {"b": {"c d": {"deep": 1}}}}
    assert walk(value, parse_path("a.b['c d'].deep"), "it") == 1
    with pytest.raises(DefinitionError, match=r"it has no 'x' at a, which holds \['b'\]"):
        walk(value, parse_path("a.x"), "it")
    for path in ("a[b", "", "a..b", "a[0]", "a['']"):
        with pytest.raises(DefinitionError, match="not readable"):
            parse_path(path)


def test_importing_the_package_is_quick_and_needs_no_heavy_library(python):
    """A command line that only lists runs must answer at once."""
    import subprocess

    code = (
        "import sys, pipelines.executor.executor, pipelines.executor.progress;"
        "heavy = {'sagemaker', 'boto3', 'mlflow', 'pandas', 'numpy', 'optuna', 'rich', 'steps'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([python, "-c", code], check=False).returncode == 0
    assert Executor.__module__ == "pipelines.executor.executor"

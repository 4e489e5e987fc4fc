"""Every wrong definition or parameter is refused before anything runs, in one sentence that helps."""

import pytest

from pipelines.executor.definition import parse
from pipelines.executor.durations import seconds_of
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
        ({"Limits": "1"}, "unknown parameter Limits: the pipeline has Limit, Mode, Count, Strict"),
        ({"Limit": "much"}, "the parameter Limit is 'much': wanted a finite number"),
        ({"Limit": "nan"}, "the parameter Limit is 'nan': wanted a finite number"),
        ({"Count": "1.5"}, "the parameter Count is '1.5': wanted a whole number"),
        ({"Count": True}, "the parameter Count is True: wanted a whole number"),
        ({"Strict": "maybe"}, "the parameter Strict is 'maybe': wanted true or false"),
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
        {"Name": "Strict", "Type": "Boolean", "DefaultValue": True},
    ]
    with pytest.raises(DefinitionError) as caught:
        bind(declared, given)
    assert said in str(caught.value)


def test_parameters_are_cast_from_text_by_their_type():
    """Values arrive as StartPipelineExecution sends them: as strings."""
    declared = [{"Name": name, "Type": name} for name in ("String", "Integer", "Float", "Boolean")]
    given = {"String": "007", "Integer": "42", "Float": "1e-3", "Boolean": "False"}
    assert bind(declared, given) == {"String": "007", "Integer": 42, "Float": 0.001, "Boolean": False}


def test_a_parameter_without_default_must_be_given():
    with pytest.raises(DefinitionError, match=r"Uri \(String\) has no default: give it a value"):
        bind([{"Name": "Uri", "Type": "String"}], {})


@pytest.mark.parametrize("name", ["", "A=B", "A\0B"])
def test_a_name_that_no_environment_can_have_is_refused(kit, name):
    for step in (kit.writes("A"), kit.training("A", "")):
        step["Arguments"]["Environment"] = {name: "x"}
        assert "its Environment has the name" in refused(kit, step)


def test_a_text_with_a_nul_is_refused(kit):
    step = kit.writes("A")
    step["Arguments"]["Environment"] = {"A": "x\0y"}
    assert "no program can be given a text with a NUL" in refused(kit, step)


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
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1"]}]}
    for strategy in ("Hyperband", "Grid"):
        told = refused(kit, kit.tuning("T", "", ranges=ranges, strategy=strategy))
        assert f"'{strategy}' does not run on one machine: use Bayesian or Random" in told
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


def test_numbers_where_the_api_takes_text_are_refused(kit):
    """The service would refuse them too; the sentence says how to mend it in the SDK."""
    bare = kit.training("T", "", hyperparameters={"limit": kit.get("Parameters.Limit")})
    said = refused(kit, bare, declared=[NUMBER])
    assert "HyperParameters.limit is the Float parameter Limit" in said
    assert ".to_string()" in said
    assert "ContainerArguments[0] is 3" in refused(kit, kit.processing("A", "", arguments=[3]))


def test_a_condition_that_cannot_be_read_is_refused(kit):
    odd = kit.condition("Gate", {"Type": "NotEquals", "LeftValue": 1, "RightValue": 2})
    assert "condition type 'NotEquals' is not known" in refused(kit, odd)
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


def test_paths_reach_maps_lists_and_named_elements():
    """`a.b['c'][0]`, `$.a`, and the lists of the API by the name of their elements."""
    value = {"a": {"b": {"c d": [10, {"deep": 1}]}}, "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.5}]}
    assert walk(value, parse_path("a.b['c d'][1].deep"), "it") == 1
    assert walk(value, parse_path("$.a.b"), "it") == {"c d": [10, {"deep": 1}]}
    assert walk(value, parse_path("FinalMetricDataList['loss'].Value"), "it") == 0.5
    with pytest.raises(DefinitionError, match=r"it has no 'x' at a, which holds \['b'\]"):
        walk(value, parse_path("a.x"), "it")
    with pytest.raises(DefinitionError, match="not readable"):
        parse_path("a[b")


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

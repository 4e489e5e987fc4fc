"""`tilegate models` on this machine and on an environment in AWS (moto)."""

import json

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.definition.settings import Settings
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import RegistryError

DECIDED = ("--by", "Ann", "--reason", "looked at the report")


class Models:
    """The command `tilegate models` with what says which registry is meant."""

    def __init__(self, *place):
        self._place = place

    def __call__(self, *words):
        return CliRunner().invoke(cli, ["models", *map(str, words), *map(str, self._place)])

    def told(self, *words):
        result = self(*words)
        assert result.exit_code == 0, result.output + repr(result.exception)
        return result.output


@pytest.fixture(params=["local", "dev"])
def models(request, bundle, request_of):
    """Two versions wait in the registry."""
    if request.param == "local":
        home = request.getfixturevalue("home")
        registry, group, place = MlflowRegistry(home), Settings().model_package_group, ("--home", home)
    else:
        cloud = request.getfixturevalue("cloud")
        patch = request.getfixturevalue("monkeypatch")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        registry, group = cloud.registry(), cloud.environment.model_package_group
        place = ("--env", "dev", "--region", "eu-west-1")
    for text in "ab":
        told = {"dataset": f"s3://nowhere/datasets/{text}", "fpr": "0.004", "fpr_upper": "0.008", "tpr": "0.9"}
        registry.register(request_of(group=group, CustomerMetadataProperties=told), bundle(text))
    return Models(*place)


def test_versions_are_listed_approved_and_rolled_back(models):
    listed = json.loads(models.told("list", "--json"))
    assert [(row["version"], row["fpr_upper"], row["dataset"], row["champion"]) for row in listed] == [
        (1, 0.008, "a", False),
        (2, 0.008, "b", False),
    ]
    for number in (1, 2):
        assert f"version {number}: Approved by Ann" in models.told("approve", number, *DECIDED)
    text = models.told("rollback", *DECIDED)
    assert "version 1: Approved by Ann" in text
    assert "rolled back: champion in place of version 2" in text
    _, first, second, *_ = models.told("list").splitlines()
    assert (first[0], second[0]) == ("*", " ")
    assert models.told("show", 1).count("Approved by Ann") == 2


def test_a_rollback_can_name_its_version_and_a_rejection_stays(models):
    for number in (1, 2):
        models.told("approve", number, *DECIDED)
    assert "version 1: Approved" in models.told("rollback", "--to", 1, *DECIDED)
    assert "version 2: Rejected" in models.told("reject", 2, *DECIDED)
    refused = models("approve", 2, *DECIDED)
    assert isinstance(refused.exception, RegistryError)
    assert "version 2 was rejected by Ann" in str(refused.exception)


def test_two_versions_are_compared(models):
    models.told("approve", 1, *DECIDED)
    text = models.told("diff", 1, 2)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "* dataset" in text
    found = json.loads(models.told("diff", 1, 2, "--json"))
    assert found["facts"]["status"] == {"a": "Approved", "b": "PendingManualApproval"}


def test_a_decision_without_name_or_reason_is_a_usage_error(models):
    for words in (("approve", 1, "--by", "Ann"), ("reject", 1, "--reason", "r"), ("rollback", "--by", "Ann")):
        assert models(*words).exit_code == 2


def test_in_aws_the_version_shows_who_was_signed_in_and_what_was_done_outside(cloud, bundle, request_of, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    group = cloud.environment.model_package_group
    cloud.registry().register(request_of(group=group), bundle())
    models = Models("--env", "dev", "--region", "eu-west-1")
    models.told("approve", 1, *DECIDED)
    assert "Approved by Ann [arn:aws:sts::123456789012:" in models.told("show", 1)
    arn = cloud.environment.arn("sagemaker", f"model-package/{group}/1")
    found = cloud.sagemaker.describe_model_package(ModelPackageName=arn)
    cloud.sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Rejected",
        CustomerMetadataProperties=found["CustomerMetadataProperties"],
    )
    for text in (models.told("show", 1), models.told("list")):
        assert "somebody has set it to Rejected outside of tilegate" in text

"""Templates of both environments, synthesised once."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra.options import Images, Options
from infra.template.synth import synthesise
from pipelines.environment import Environment
from tests.shared import models_read_once  # noqa: F401 (a fixture of all tests below)

ACCOUNT, REGION, PREFIX_LIST = "123456789012", "eu-west-1", "pl-6da54004"


def images_of(environment: Environment) -> Images:
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    uris = [
        f"{registry}/{environment.repository(name)}@sha256:{n:064x}"
        for n, name in enumerate(("data", "model", "control"))
    ]
    return Images(*uris)


@pytest.fixture(scope="session", params=["dev", "prod"])
def environment(request) -> Environment:
    return Environment(request.param, ACCOUNT, REGION)


@pytest.fixture(scope="session")
def options() -> Options:
    return Options(s3_prefix_list=PREFIX_LIST, alert_emails=("people@example.com",), parameters=("MaxFpr=0.005",))


@pytest.fixture(scope="session")
def templates(environment, options) -> Mapping[str, Any]:
    return synthesise(environment, images_of(environment), options)


@pytest.fixture(scope="session")
def resources(templates) -> Mapping[str, Any]:
    """All resources of both stacks, by logical id."""
    return {name: value for template in templates.values() for name, value in template["Resources"].items()}


def of_type(resources: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == kind}

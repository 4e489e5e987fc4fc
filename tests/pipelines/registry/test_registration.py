"""What the pipeline's own RegisterModel step tells of a version: digests, lineage and the gate's figures."""

import hashlib
import json
import re

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from pipelines.definition.requests import all_steps, check_requests
from pipelines.definition.settings import Settings
from steps.convert.summary import SUMMARY
from tests.shared import compiled


@pytest.fixture(scope="module")
def text():
    return compiled(Settings())


@pytest.fixture
def definition(text):
    return json.loads(text)


@pytest.fixture
def request_of_step(definition):
    return next(step for step in all_steps(definition) if step["Type"] == "RegisterModel")["Arguments"]


def test_a_version_tells_its_lineage_and_everything_that_the_conversion_summed_up(definition, request_of_step):
    told = request_of_step["CustomerMetadataProperties"]
    assert told["dataset"] == {"Get": "Parameters.DatasetUri"}
    assert told["champion"] == {"Get": "Parameters.ChampionUri"}
    assert told["execution"] == {"Get": "Execution.PipelineExecutionId"}
    assert (told["data_image"], told["model_image"]) == (Settings().data_image, Settings().model_image)
    read = {value["Std:JsonGet"]["Path"] for value in told.values() if "Std:JsonGet" in value}
    assert read == set(SUMMARY) - {"evaluation_digest"}
    assert check_requests(definition) == []


def test_the_registry_has_room_for_what_it_adds_itself(request_of_step):
    assert len(request_of_step["CustomerMetadataProperties"]) <= 40  # SageMaker takes 50


def test_the_metrics_carry_the_digest_of_their_content_as_sagemaker_writes_it(request_of_step):
    source = request_of_step["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert source["ContentDigest"]["Std:JsonGet"]["Path"] == "evaluation_digest"
    service = ServiceModel(Loader().load_service_model("sagemaker", "service-2"))
    pattern = service.shape_for("ContentDigest").metadata["pattern"]
    assert re.fullmatch(pattern, "sha256:" + hashlib.sha256(b"").hexdigest())


def test_a_version_names_the_definition_that_made_it(definition, request_of_step):
    named = request_of_step["CustomerMetadataProperties"].pop("definition")
    assert named == hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()

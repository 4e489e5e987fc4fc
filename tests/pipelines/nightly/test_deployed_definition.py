"""What a night reads in a deployed definition: the real one, as the SDK compiles it."""

import json

import pytest

from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.nightly.site_aws import Deployed
from steps.core.common.errors import UserError
from tests.shared import compiled

SETTINGS = Settings(warm_start_parents=2)


@pytest.fixture(scope="module")
def deployed():
    return Deployed(compiled(SETTINGS))


def changed(deployed, **replaced):
    text = deployed.text
    for old, new in replaced.values():
        assert old in text
        text = text.replace(old, new)
    return Deployed(text)


def test_every_parameter_has_its_default_in_its_type(deployed):
    assert deployed.defaults() == {p.name: p.default for p in pipeline_parameters(SETTINGS)}
    assert all(
        type(deployed.defaults()[p.name]) is p.kind for p in pipeline_parameters(SETTINGS) if p.default is not None
    )
    assert deployed.warm_start_parents == 2


def test_what_is_chosen_gets_the_type_of_its_parameter(deployed):
    assert deployed.typed({"MaxFpr": "0.02", "FineTuneEpochs": "3", "Backbone": "large"}) == {
        "MaxFpr": 0.02,
        "FineTuneEpochs": 3,
        "Backbone": "large",
    }


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"MaxFrp": 1}, "no parameter MaxFrp: it has .*MaxFpr"),
        ({"FineTuneEpochs": "many"}, "FineTuneEpochs is 'many': wanted a whole number"),
        ({"FineTuneEpochs": 3.7}, "FineTuneEpochs is 3.7: wanted a whole number"),
        ({"Backbone": "huge"}, "Backbone is 'huge': wanted one of small, large"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before(deployed, chosen, says):
    with pytest.raises(UserError, match=says):
        deployed.typed(chosen)


def test_a_new_image_of_the_data_steps_is_other_code_for_data_and_a_new_model_image_may_be(deployed):
    other = changed(deployed, image=("tilegate-data:local", "tilegate-data@sha256:2"))
    assert other.of_data != deployed.of_data
    assert other.digest != deployed.digest
    role = changed(deployed, name=("tilegate-screenshots", "other-group"))
    assert role.of_data == deployed.of_data
    assert role.digest != deployed.digest


def test_how_it_is_spelled_does_not_matter(deployed):
    assert Deployed(json.dumps(json.loads(deployed.text), separators=(",", ":"))).digest == deployed.digest


def test_another_teams_pipeline_is_none_of_ours():
    with pytest.raises(UserError, match="none of tilegate's: deploy it again"):
        Deployed('{"Steps": []}').defaults()

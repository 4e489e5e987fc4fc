"""The definition cut down to one step."""

import json

import pytest

from pipelines.definition.compiler import compile_cached
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import VALIDATE
from pipelines.executor.definition import parse
from pipelines.executor.expressions import references
from pipelines.runs.local_run import cut_down

STEP = VALIDATE.name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return json.loads(compile_cached(Settings(), tmp_path_factory.mktemp("compiled")))


def test_the_step_stays_as_it_is_and_needs_nothing_else(whole):
    alone = parse(cut_down(whole, STEP))
    assert alone.steps == {STEP: parse(whole).steps[STEP]}
    assert alone.steps[STEP].depends_on == frozenset()


def test_the_parameters_are_those_that_the_step_uses(whole):
    definition = cut_down(whole, STEP)
    used = {found.name for found in references(definition["Steps"]) if found.kind == "Parameters"}
    assert {parameter["Name"] for parameter in definition["Parameters"]} == used
    # A validation alone is no run on the dataset: whoever asks for such runs must not find it.
    assert "DatasetUri" not in used

"""The run that made a bundle, by what the platform tells its job."""

import json

import pytest

from pipelines.environment import Environment
from steps.convert.origin import read_origin


def described(tmp_path, *uris, name="bundle"):
    outputs = [{"OutputName": name, "S3Output": {"S3Uri": uri}} for uri in uris]
    path = tmp_path / "processingjobconfig.json"
    path.write_text(json.dumps({"ProcessingJobName": "job", "ProcessingOutputConfig": {"Outputs": outputs}}))
    return path


@pytest.mark.parametrize("place", ["local", "dev", "prod"])
def test_run_and_environment_are_those_of_the_jobs_output(tmp_path, place):
    bucket = "tilegate-local"
    if place != "local":
        bucket = Environment(place, "123456789012", "eu-west-1").artifact_bucket
    found = read_origin(described(tmp_path, f"s3://{bucket}/runs/20261129-092744-z1oj/ConvertToTFLite/bundle"))
    assert (found.run, found.environment) == ("20261129-092744-z1oj", place)
    assert len(found.date) == len("2026-11-29")


@pytest.mark.parametrize("uri", ["s3://else/runs/a/ConvertToTFLite/bundle", "s3://tilegate-local/a", "", 7])
def test_another_place_tells_nothing(tmp_path, uri):
    found = read_origin(described(tmp_path, uri))
    assert (found.run, found.environment) == ("", "")


def test_without_a_description_of_the_job_nothing_is_known(tmp_path):
    assert read_origin(tmp_path / "none.json").run == ""
    (tmp_path / "odd.json").write_text("[1]")
    assert read_origin(tmp_path / "odd.json").run == ""
    assert read_origin(described(tmp_path, "s3://tilegate-local/runs/a/b", name="new-ledger")).run == ""

"""Labelled screenshots from a machine into a bucket: in S3, in moto, and in a folder."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import boto3
import pandas as pd
import pytest
from click.testing import CliRunner
from moto import mock_aws

from pipelines.cli import cli
from pipelines.data.add import add_source
from pipelines.data.inbox import What, take_in_inbox
from pipelines.data.snapshots import catalogue_batches, current_dataset
from pipelines.planning.planner import plan_run
from pipelines.storage.folder import FolderObjects
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import Source
from steps.core.tiles.spec import PreprocessingSpec

BUCKET = "tilegate-dev-data-123456789012-eu-west-1"
CLASSES = Classes.parse("other,promotion")


@pytest.fixture(scope="session")
def s3():
    known = {"region_name": "eu-west-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("s3", **known)


@pytest.fixture
def credentials(monkeypatch):
    known = {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing", "DEFAULT_REGION": "eu-west-1"}
    for name, value in known.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture
def bucket(s3, credentials):
    with mock_aws():
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield S3Objects(s3, BUCKET)


@pytest.fixture(params=["folder", "s3"])
def data(request, tmp_path):
    if request.param == "folder":
        return FolderObjects(tmp_path / "store" / BUCKET, BUCKET)
    return request.getfixturevalue("bucket")


@pytest.fixture
def source(tmp_path):
    def write(name, *files):
        folder = tmp_path / name
        folder.mkdir()
        for file in files:
            (folder / file).write_bytes(file.encode())
        pd.DataFrame({"path": files, "label": 1}).to_csv(folder / "labels.csv", index=False)
        return folder

    return write


def test_a_folder_becomes_one_batch_whose_objects_know_their_checksums(bucket, source, s3):
    added = add_source(bucket, source("week-1", "a.png", "b.png"), classes=CLASSES, note="n", by="Ann")
    assert (added.rows, added.new_screenshots, added.already) == (2, 2, False)
    assert catalogue_batches(bucket) == [added.batch]
    head = s3.head_object(Bucket=BUCKET, Key=f"labelled/{added.batch.name}/a.png", ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumSHA256"]) == hashlib.sha256(b"a.png").digest()


def test_the_same_again_is_no_second_batch_and_only_new_screenshots_count_as_new(data, source):
    first = add_source(data, source("one", "a.png", "b.png"), classes=CLASSES)
    again = add_source(data, source("two", "a.png", "b.png"), classes=CLASSES)
    assert (again.batch, again.already, again.new_screenshots) == (first.batch, True, 0)
    more = add_source(data, source("three", "b.png", "c.png"), classes=CLASSES)
    assert (more.screenshots, more.new_screenshots) == (2, 1)


def test_what_the_bucket_holds_is_copied_there_unless_it_has_decayed(data, source, monkeypatch):
    first = add_source(data, source("one", "a.png", "b.png"), classes=CLASSES).batch
    uploaded, upload = [], type(data).upload

    def tell(self, path, key):
        uploaded.append(key.rpartition("/")[2])
        return upload(self, path, key)

    monkeypatch.setattr(type(data), "upload", tell)
    more = add_source(data, source("two", "a.png", "c.png"), classes=CLASSES).batch
    assert {"a.png", "c.png"} & set(uploaded) == {"c.png"}
    data.put(f"labelled/{first.name}/b.png", b"decayed")
    again = add_source(data, source("three", "b.png"), classes=CLASSES).batch
    assert [data.get(f"labelled/{batch.name}/{name}") for batch, name in ((more, "a.png"), (again, "b.png"))] == [
        b"a.png",
        b"b.png",
    ]


def test_a_file_that_changes_while_it_is_read_is_no_batch(data, source):
    folder = source("one", "a.png", "b.png")

    def change(verb, done, total):
        if (verb, done) == ("Hashed", total):
            (folder / "b.png").write_bytes(b"changed")

    with pytest.raises(UserError, match=r"b\.png changed while it was read"):
        add_source(data, folder, classes=CLASSES, progress=change)
    assert catalogue_batches(data) == []
    assert not [info.key for info in data.list("labelled/") if info.key.endswith("b.png")]


def test_the_command_adds_to_an_environment(bucket, source):
    told = CliRunner().invoke(cli, ["data", "add", str(source("one", "a.png")), "--env", "dev"])
    (batch,) = catalogue_batches(bucket)
    assert (told.exit_code, told.exception) == (0, None)
    assert f"Batch        {batch.name}\nNext         the nights of dev learn from all batches" in told.output


def test_a_bucket_that_is_not_there_is_told(s3, source, credentials):
    with mock_aws():
        told = CliRunner().invoke(cli, ["data", "add", str(source("one", "a.png")), "--env", "dev"])
    assert isinstance(told.exception, UserError)
    assert "deploy the environment first" in str(told.exception)


def test_what_is_dropped_is_copied_in_the_bucket_to_the_batch_that_adding_it_makes(data, source):
    folder = source("dropped", "a.png", "b.png")
    for file in folder.iterdir():
        data.upload(file, f"inbox/week-2/{file.name}")
    later = datetime.now(UTC) + timedelta(hours=1)
    (told,) = take_in_inbox(data, CLASSES, clock=lambda: later)
    assert told.what is What.TAKEN_IN
    assert list(data.list("inbox/")) == []
    batch = add_source(data, folder, classes=CLASSES)
    assert (batch.batch.name, batch.already) == (told.batch, True)


def test_a_plan_is_found_again(data, source):
    add_source(data, source("one", "a.png"), classes=CLASSES)
    snapshot = current_dataset(data)
    uri = plan_run(data, snapshot.source, PreprocessingSpec(), code="c", features="w")
    etags = {info.key: info.etag for info in data.list("plans/")}
    assert plan_run(data, Source(snapshot.source.snapshot), PreprocessingSpec(), code="c", features="w") == uri
    assert {info.key: info.etag for info in data.list("plans/")} == etags
    assert uri.startswith(data.uri("plans/"))

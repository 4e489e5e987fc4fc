"""What every store of objects does: the same suite for a folder and for S3, in moto."""

import base64
import hashlib
import io
import threading
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from pipelines.executor.store import LocalStore
from pipelines.storage.folder import FolderObjects
from pipelines.storage.protocol import LostRace, NoSuchObject
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError

BUCKET = "tilegate-test"


@pytest.fixture(scope="session")
def s3():
    known = {"region_name": "us-east-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("s3", **known)


@pytest.fixture(params=["folder", "s3"])
def objects(request, tmp_path, monkeypatch):
    if request.param == "folder":
        yield FolderObjects(tmp_path / BUCKET, BUCKET)
        return
    answer, one = BotocoreStubber.__call__, threading.RLock()

    def in_turn(self, *args, **kwargs):
        with one:  # S3 checks a condition and writes in one; moto does it in two
            return answer(self, *args, **kwargs)

    monkeypatch.setattr(BotocoreStubber, "__call__", in_turn)
    client = request.getfixturevalue("s3")
    with mock_aws():
        client.create_bucket(Bucket=BUCKET)
        yield S3Objects(client, BUCKET)


def keys(objects, *args, **options):
    return [info.key for info in objects.list(*args, **options)]


def test_what_was_put_is_there(objects):
    etag = objects.put("a/b.json", b"text")
    assert objects.get("a/b.json") == b"text"
    assert objects.get_with_etag("a/b.json") == (b"text", etag)
    info = objects.info("a/b.json")
    assert (info.key, info.size, info.etag) == ("a/b.json", 4, etag)
    assert objects.sha256("a/b.json") == hashlib.sha256(b"text").hexdigest()
    assert objects.uri("a/b.json") == f"s3://{BUCKET}/a/b.json"
    assert objects.uri() == f"s3://{BUCKET}/"


def test_what_is_not_there_is_told(objects, tmp_path):
    objects.put("folder/object", b"")
    for key in ("gone", "folder", "folder/object/below"):
        assert objects.info(key) is None
        for read in (objects.get, objects.sha256, lambda k: objects.download(k, tmp_path / "file")):
            with pytest.raises(NoSuchObject, match=rf"s3://{BUCKET}/{key}"):
                read(key)
        with pytest.raises(NoSuchObject, match=key):
            objects.copy(key, "copied")
    assert not (tmp_path / "file").exists()
    assert keys(objects) == ["folder/object"]
    objects.delete("gone")


def test_another_content_has_another_etag(objects):
    etags = [objects.put("a", text) for text in (b"1", b"2", b"3")]
    assert len(set(etags)) == 3
    assert objects.info("a").etag == etags[-1]
    assert objects.get("a") == b"3"


def test_a_deleted_object_is_gone(objects):
    objects.put("a/b", b"")
    objects.delete("a/b")
    assert keys(objects) == []
    assert list(objects.folders("")) == []


def test_only_the_first_may_put_what_must_be_absent(objects):
    objects.put("a", b"first", only_if_absent=True)
    with pytest.raises(LostRace):
        objects.put("a", b"second", only_if_absent=True)
    assert objects.get("a") == b"first"


def test_only_who_knows_the_present_content_may_replace_it(objects):
    first = objects.put("a", b"first")
    second = objects.put("a", b"second", only_if_etag=first)
    with pytest.raises(LostRace):
        objects.put("a", b"third", only_if_etag=first)
    assert objects.get_with_etag("a") == (b"second", second)
    with pytest.raises(LostRace):
        objects.put("gone", b"", only_if_etag=first)
    assert keys(objects) == ["a"]


@pytest.mark.parametrize("condition", ["only_if_absent", "only_if_etag"])
def test_of_a_hundred_writers_one_wins(objects, condition):
    options = {condition: objects.put("a", b"before")} if condition == "only_if_etag" else {condition: True}
    ready, won = threading.Barrier(100), []

    def write(number):
        ready.wait()
        try:
            objects.put("a", str(number).encode(), **options)
            won.append(number)
        except LostRace:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [objects.get("a")] == [str(number).encode() for number in won]


def test_files_come_and_go_whole(objects, tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "source").write_bytes(data)
    assert objects.upload(tmp_path / "source", "model/archive") == hashlib.sha256(data).hexdigest()
    assert objects.sha256("model/archive") == hashlib.sha256(data).hexdigest()
    objects.copy("model/archive", "copy")
    objects.put("model/archive", b"replaced")
    objects.download("copy", tmp_path / "new" / "target")
    assert (tmp_path / "new" / "target").read_bytes() == data
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["target"]
    assert objects.sha256("copy") == hashlib.sha256(data).hexdigest()


def test_a_copy_is_made_only_of_what_was_looked_at(tmp_path):
    objects = FolderObjects(tmp_path, BUCKET)
    etag = objects.put("a", b"first")
    objects.copy("a", "b", source_etag=etag)
    objects.put("a", b"second")
    with pytest.raises(LostRace, match="/a "):
        objects.copy("a", "c", source_etag=etag)
    with pytest.raises(NoSuchObject, match="gone"):
        objects.copy("gone", "c", source_etag=etag)
    assert keys(objects) == ["a", "b"]
    assert objects.get("b") == b"first"


def test_s3_is_asked_to_copy_only_what_was_looked_at(s3):
    # moto copies whatever lies there; S3 answers 412.
    wanted = {"Bucket": BUCKET, "Key": "b", "CopySource": {"Bucket": BUCKET, "Key": "a"}}
    wanted |= {"ChecksumAlgorithm": "SHA256", "CopySourceIfMatch": '"one"'}
    with Stubber(s3) as stub:
        stub.add_client_error("copy_object", "PreconditionFailed", http_status_code=412, expected_params=wanted)
        with pytest.raises(LostRace, match="/a "):
            S3Objects(s3, BUCKET).copy("a", "b", source_etag='"one"')


def test_an_object_tells_when_it_was_written(objects):
    before = datetime.now(UTC) - timedelta(seconds=1)
    objects.put("a", b"")
    info = objects.info("a")
    assert next(objects.list()) == info
    assert before <= info.modified <= datetime.now(UTC)


def test_writing_the_same_length_at_once_is_another_etag(tmp_path):
    objects = FolderObjects(tmp_path, BUCKET)
    assert len({objects.put("a", b"x") for _ in range(200)}) == 200


def test_a_listing_is_in_the_order_of_the_keys_bytes(objects):
    wanted = ["a", "a!/z", "a.b", "a/b", "a/b.c", "a/b/c", "a0", "b/é", "b/\U0001f600"]
    for key in ["a/b/c"] if isinstance(objects, FolderObjects) else []:
        wanted.remove(key)  # a file is no folder
        wanted.remove("a/b.c")
    wanted = [key for key in wanted if not (isinstance(objects, FolderObjects) and key == "a")]
    for key in reversed(wanted):
        objects.put(key, key.encode())
    assert keys(objects) == sorted(wanted, key=str.encode)
    assert keys(objects, "a/") == [key for key in wanted if key.startswith("a/")]
    assert keys(objects, "a") == [key for key in wanted if key.startswith("a")]
    assert keys(objects, "b/é") == ["b/é"]
    assert keys(objects, "c/") == []


def test_a_listing_of_many_pages_is_lazy_and_whole(objects, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    for number in range(25):
        objects.put(f"many/{number:02}", b"")
    found = objects.list("many/")
    assert next(found).key == "many/00"
    assert len(list(found)) == 24


def test_folders_are_what_lies_directly_under_a_prefix(objects):
    for key in ("inbox/one/a.png", "inbox/one/more/b.png", "inbox/two/labels.csv", "inbox/file", "other/x"):
        objects.put(key, b"")
    assert list(objects.folders("inbox/")) == ["one", "two"]
    assert list(objects.folders("")) == ["inbox", "other"]
    assert list(objects.folders("nothing/")) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\0b", ".", "x" * 1025])
def test_a_key_that_points_elsewhere_is_refused(objects, tmp_path, key):
    for use in (objects.get, objects.info, objects.delete, objects.sha256, lambda k: objects.put(k, b"")):
        with pytest.raises(UserError, match="key"):
            use(key)
    with pytest.raises(UserError, match="key"):
        objects.copy("a", key)
    with pytest.raises(UserError, match="key"):
        next(objects.list("../"))


def test_what_a_local_store_holds_are_objects_and_the_other_way_round(tmp_path):
    store, objects = LocalStore(tmp_path), FolderObjects(tmp_path / BUCKET, BUCKET)
    store.put_bytes(b"text", f"s3://{BUCKET}/a/b")
    assert objects.get("a/b") == b"text"
    objects.put("a/c", b"more")
    assert store.path(f"s3://{BUCKET}/a/c").stat().st_mode & 0o777 == 0o400
    assert store.fetch(f"s3://{BUCKET}/a", tmp_path / "brought")
    assert keys(objects) == ["a/b", "a/c"]
    objects.put("a/b", b"replaced")
    assert objects.get("a/b") == b"replaced"


def test_a_folder_cannot_hold_an_object_below_an_object(tmp_path):
    objects = FolderObjects(tmp_path / BUCKET, BUCKET)
    objects.put("a/b", b"")
    for key, says in (("a", "is a prefix"), ("a/b/c", "below an object")):
        with pytest.raises(UserError, match=says):
            objects.put(key, b"")
    assert keys(objects) == ["a/b"]


@given(data=st.binary(max_size=100))
def test_a_composite_checksum_is_not_taken_for_the_contents(data):
    class Client:
        def head_object(self, **_):
            return {"ChecksumSHA256": base64.b64encode(b"x" * 32).decode() + "-2", "ChecksumType": "COMPOSITE"}

        def get_object(self, **_):
            return {"Body": Body(data)}

    class Body(io.BytesIO):
        def iter_chunks(self, size):
            return iter(lambda: self.read(size), b"")

    assert S3Objects(Client(), BUCKET).sha256("a") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("use", "action"),
    [
        (lambda o: o.put("k/x", b""), f"s3:PutObject on arn:aws:s3:::{BUCKET}/k/x"),
        (lambda o: o.get("k/x"), f"s3:GetObject on arn:aws:s3:::{BUCKET}/k/x"),
        (lambda o: o.info("k/x"), f"s3:GetObject on arn:aws:s3:::{BUCKET}/k/x"),
        (lambda o: o.delete("k/x"), f"s3:DeleteObject on arn:aws:s3:::{BUCKET}/k/x"),
        (lambda o: list(o.list("k/")), f"s3:ListBucket on arn:aws:s3:::{BUCKET}"),
    ],
)
def test_a_missing_permission_is_named_with_what_it_is_wanted_for(s3, monkeypatch, use, action):
    def denied(_, operation, *__):
        code = "403" if operation == "HeadObject" else "AccessDenied"
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    monkeypatch.setattr(type(s3), "_make_api_call", denied)
    with pytest.raises(UserError, match=f"access denied: {action} is wanted"):
        use(S3Objects(s3, BUCKET))


def test_a_bucket_that_is_not_there_is_told(s3):
    with mock_aws(), pytest.raises(UserError, match="deploy the environment first"):
        S3Objects(s3, "nothing-there").put("a", b"")

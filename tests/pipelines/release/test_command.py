"""`tilegate release` as a person types it, on this machine and against an environment in AWS."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization

from infra.handlers.publisher import handler
from pipelines.aws.session import Deployment
from pipelines.cli import cli
from pipelines.definition.settings import Settings
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.release.signers import LocalSigner, sealed
from pipelines.release.verify import MANIFEST_TYPE, Folder, read_keys, verify_channel
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from tests.docs.fields import documented
from tests.pipelines.release.kit import ENVIRONMENT, files_of, pack, passed

BY = ("--by", "Ann", "--reason", "fewer alarms")
GROUP = Settings().model_package_group


def release(*words):
    """Run a command and return its lines; its error is raised as it is."""
    done = CliRunner().invoke(cli, ["release", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.fixture
def at_home(home, tmp_path):
    """A home with two approved versions; commands are run there."""
    registry = MlflowRegistry(home)
    for number in (1, 2):
        files = files_of(str(number))
        path = pack(tmp_path / str(number) / "model.tar.gz", files)
        registry.register({"ModelPackageGroupName": GROUP, "CustomerMetadataProperties": passed(files)}, path)
        registry.approve(GROUP, number, by="Ann", reason="fewer alarms")
    return lambda command, *words: release(command, *words, "--home", home)


def test_a_release_from_the_first_phone_to_the_way_back(at_home, home):
    assert at_home("list") == ["Nothing was released yet."]
    assert at_home("publish", 1, *BY) == ["stable 1: version 1 to all"]
    assert at_home("publish", 2, "--percent", 10, *BY) == ["stable 2: version 2 to 10 %, version 1 to the others"]
    assert at_home("rollout", "--percent", 50, *BY) == ["stable 3: version 2 to 50 %, version 1 to the others"]
    assert at_home("verify") == ["stable 3: 8 files of 2 releases are as they were signed"]
    assert at_home("rollback", "--by", "Bob", "--reason", "alarms") == ["stable 4: version 1 to all"]
    assert at_home("list") == ["stable 4: version 1 to all", "Released versions: 1, 2"]
    shown = at_home("show")
    assert [line.partition("  ")[2] for line in shown] == [
        "stable 1: version 1 to all; Ann: fewer alarms",
        "stable 2: version 2 to 10 %, version 1 to the others; Ann: fewer alarms",
        "stable 3: version 2 to 50 %, version 1 to the others; Ann: fewer alarms",
        "stable 4: version 1 to all; Bob: alarms",
    ]
    assert (home / "releases" / "channels" / "stable.json").is_file()
    assert (home / "keys" / "release-signing.pem").stat().st_mode & 0o777 == 0o600


def test_the_key_that_is_printed_verifies_the_channel(at_home, home):
    at_home("publish", 1, *BY)
    pem = "\n".join(at_home("key")) + "\n"
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    channel, _ = verify_channel("stable", Folder(home / "releases"), read_keys([pem.encode()]))
    assert channel["release"]["version"] == 1


def test_verify_names_the_file_that_is_not_what_was_signed(at_home, home):
    at_home("publish", 1, *BY)
    path = home / "releases" / "releases" / "1" / "model.tflite"
    path.chmod(0o644)
    path.write_bytes(b"model 2")
    with pytest.raises(UserError, match=r"releases/1/model.tflite is not the file that was released"):
        at_home("verify")
    path.unlink()
    with pytest.raises(UserError, match="there is no object s3://releases/releases/1/model"):
        at_home("verify")
    (home / "releases" / "channels" / "stable.json").unlink()
    for command in ("verify", "list"):
        with pytest.raises(UserError, match=r"channels/stable.json is missing, and its log ends with 1"):
            at_home(command)
    shutil.rmtree(home / "releases")
    for words in (["verify"], ["publish", 2, *BY]):
        with pytest.raises(UserError, match=r"history/00000001.json is missing, for 1 was seen before"):
            at_home(*words)


def test_a_manifest_that_no_trusted_key_has_signed_is_not_listed(at_home, home, tmp_path):
    at_home("publish", 1, *BY)
    stranger = LocalSigner(tmp_path / "stranger")
    forged = home / "releases" / "releases" / "9" / "manifest.json"
    forged.parent.mkdir()
    forged.write_bytes(sealed({"format": 1, "version": 9}, MANIFEST_TYPE, stranger))
    with pytest.raises(UserError, match=r"releases/9/manifest.json is signed by none of the 1 keys"):
        at_home("list")


def test_a_former_key_that_the_operator_names_counts(at_home, home):
    at_home("publish", 1, *BY)
    pem = "\n".join(at_home("key")) + "\n"
    (home / "keys" / "release-signing.pem").unlink()
    with pytest.raises(UserError, match="signed by none of the 1 keys"):
        at_home("verify")
    (home / "keys" / "trusted").mkdir()
    (home / "keys" / "trusted" / "former.pem").write_text(pem)
    assert at_home("publish", 2, *BY) == ["stable 2: version 2 to all"]
    assert at_home("verify") == ["stable 2: 4 files of 1 releases are as they were signed"]


def test_the_next_publish_removes_what_killed_ones_have_left(at_home, home, monkeypatch, tmp_path):
    """Half a release of a version that is never published again, parts of files, and folders of killed processes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "from steps.core.common.scratch import scratch; kept = scratch('release'); print(kept.__enter__(), flush=True)"
    )
    killer = [sys.executable, "-c", f"{script}; import os; os._exit(9)"]
    told = subprocess.run(
        killer, check=False, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    killed = Path(told.stdout.strip())
    assert killed.is_dir()
    half = home / "releases" / "releases" / "7" / "model.tflite"
    part = home / "releases" / "releases" / "1" / ".0123456789ab.tilegate-part"
    for left in (half, part):
        left.parent.mkdir(parents=True)
        left.write_bytes(b"half")
    with scratch("release") as busy:
        assert at_home("publish", 1, *BY) == ["stable 1: version 1 to all"]
        assert busy.is_dir()
    assert not killed.exists()
    assert [left.exists() for left in (half, part)] == [False, False]
    (home / "releases" / "releases" / "1" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"releases/1/manifest.json is missing"):
        at_home("publish", 2, *BY)
    assert (home / "releases" / "releases" / "1" / "model.tflite").exists()


def test_a_move_that_is_repeated_says_that_nothing_changed_and_keeps_its_reason(at_home):
    other = ("--by", "Bob", "--reason", "again")
    since = r"; nothing changed: so it is since \S+, by Ann: fewer alarms"
    at_home("publish", 1, *BY)
    for words in (("publish", 1, *other), ("rollout", "--percent", 100, *other), ("rollback", "--to", 1, *other)):
        assert re.fullmatch(f"stable 1: version 1 to all{since}", at_home(*words)[0])
    (state,) = json.loads("\n".join(at_home("show", "--json")))
    assert (state["version"], state["percent"], state["otherwise"], state["reason"]) == (1, 100, None, "fewer alarms")
    assert set(state) == documented("release show")
    listed = json.loads("\n".join(at_home("list", "--json")))
    assert listed == {"channels": [state], "versions": [1]}


def models(home, *words):
    return CliRunner().invoke(cli, ["models", *map(str, words), "--home", str(home)])


def test_approving_says_what_follows_and_lists_say_which_phones_have_what(at_home, home, tmp_path):
    files = files_of("3")
    path = pack(tmp_path / "3" / "model.tar.gz", files)
    MlflowRegistry(home).register({"ModelPackageGroupName": GROUP, "CustomerMetadataProperties": passed(files)}, path)
    at_home("publish", 1, *BY)
    at_home("publish", 2, "--percent", 10, *BY)
    told = models(home, "approve", 3, *BY).output
    assert "No phone gets it yet (stable 10 % has version 2, stable 90 % has version 1)" in told
    assert "  tilegate release publish 3 --percent 10 --by NAME --reason TEXT" in told
    listed = json.loads(models(home, "list", "--json").output)
    assert set(listed[0]) == documented("models list")
    assert [row["channels"] for row in listed] == [["stable 90 %"], ["stable 10 %"], []]
    assert [row["verdict"] for row in listed] == ["passed"] * 3
    shown = json.loads(models(home, "show", 2, "--json").output)
    assert shown["channels"] == ["stable 10 %"]
    more = documented("models show")
    assert set(shown) - set(listed[0]) | {key for decision in shown["decisions"] for key in decision} == more


@pytest.mark.parametrize("percent", [10, 100])
def test_rejecting_what_phones_have_warns_with_the_command_that_takes_it_back(at_home, home, percent):
    back = "tilegate release rollback --channel stable --by NAME --reason TEXT"
    at_home("publish", 1, *BY)
    at_home("publish", 2, "--percent", percent, *BY)
    told = models(home, "reject", 2, *BY).output.splitlines()
    assert f"warning: stable still offers version 2 to {percent} % of the phones; this takes it back from them:" in told
    assert told[-1] == f"  {back}"
    assert release(*back.replace("NAME", "Ann").replace("TEXT", "alarms").split()[2:], "--home", home)
    assert [row["channels"] for row in json.loads(models(home, "list", "--json").output)] == [["stable"], []]


def test_rejecting_the_first_that_phones_have_names_a_rollout_to_none(at_home, home):
    at_home("publish", 1, *BY)
    assert "rollout --channel stable --percent 0" in models(home, "reject", 1, *BY).output
    assert "warning" not in models(home, "reject", 2, *BY).output


def test_a_decision_stands_where_nobody_can_read_the_channels(at_home, home):
    at_home("publish", 1, *BY)
    pointer = next((home / "releases" / "channels" / "stable" / "history").iterdir())
    pointer.chmod(0o600)
    pointer.write_text("{}")
    done = models(home, "reject", 2, *BY)
    assert done.exit_code == 0
    assert "warning: what channels offer is not known: " in done.output
    assert json.loads(models(home, "list", "--json").output)[0]["channels"] is None


def test_a_version_whose_bytes_are_gone_or_changed_is_not_approved(at_home, home):
    version = MlflowRegistry(home).get(GROUP, 1)
    archive = Path(version.artifact_uri.removeprefix("file://")) / "model.tar.gz"
    archive.chmod(0o600)
    whole = archive.read_bytes()
    archive.write_bytes(whole + b"x")
    for says in ("it was changed since", "is missing"):
        done = models(home, "approve", 1, "--by", "Bob", "--reason", "once more")
        assert says in str(done.exception)
        archive.unlink(missing_ok=True)
    assert [decision.by for decision in MlflowRegistry(home).get(GROUP, 1).decisions] == ["Ann"]


def test_an_export_is_the_bundle_whole_or_not_at_all(at_home, home, tmp_path):
    done = models(home, "export", 1, tmp_path / "out")
    assert done.exit_code == 0, done.exception
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    assert found == files_of("1")
    assert "is there already" in str(models(home, "export", 1, tmp_path / "out").exception)
    version = MlflowRegistry(home).get(GROUP, 2)
    archive = Path(version.artifact_uri.removeprefix("file://")) / "model.tar.gz"
    archive.chmod(0o600)
    archive.write_bytes(b"other")
    assert "it was changed since" in str(models(home, "export", 2, tmp_path / "bad").exception)
    assert sorted(path.name for path in tmp_path.iterdir() if "bad" in path.name) == []


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_channel_that_nobody_published_to_is_an_error_that_names_it(at_home, command):
    at_home("publish", 1, *BY)
    with pytest.raises(UserError, match="there is no channel beta: `tilegate release list` tells"):
        at_home(command, "--channel", "beta")


@pytest.mark.parametrize("words", [("publish", 1), ("rollout", "--percent", 5), ("rollback",), ("rollout", *BY)])
def test_a_move_without_name_reason_or_share_is_refused(words):
    done = CliRunner().invoke(cli, ["release", *map(str, words)])
    assert done.exit_code == 2
    assert "Missing " in done.output


@pytest.mark.parametrize("percent", ["101", "-1", "0.5", "ten"])
def test_a_share_is_a_whole_number_from_0_to_100(percent):
    assert CliRunner().invoke(cli, ["release", "rollout", "--percent", percent, *BY]).exit_code == 2


class Loopback:
    """Lambda's client, whose one function runs here: request and answer travel as JSON, as they do there."""

    def __init__(self):
        self.called, self.fails = [], None

    def invoke(self, *, FunctionName, Payload):  # noqa: N803
        self.called.append(FunctionName)
        if self.fails:
            failure = json.dumps({"errorMessage": self.fails, "errorType": "UserError"}).encode()
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(failure)}
        with contextlib.redirect_stdout(io.StringIO()):  # its log is not what the command says
            answer = handler(json.loads(Payload), None)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def function(cloud, monkeypatch):
    for name, value in {
        "TILEGATE_ENV": "dev",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }.items():
        monkeypatch.setenv(name, value)
    function, client = Loopback(), Deployment.client
    monkeypatch.setattr(
        Deployment, "client", lambda self, service: function if service == "lambda" else client(self, service)
    )
    cloud.new_bucket()
    return function


def test_in_aws_the_function_writes_and_the_command_reads(cloud, function):
    cloud.approve(2)
    assert release("publish", 1, "--env", "dev", *BY) == ["stable 1: version 1 to all"]
    assert release("publish", 2, "--env", "dev", "--percent", 10, *BY) == [
        "stable 2: version 2 to 10 %, version 1 to the others"
    ]
    assert release("rollback", "--env", "dev", *BY) == ["stable 3: version 1 to all"]
    assert function.called == [ENVIRONMENT.function("publisher")] * 3
    assert release("list", "--env", "dev") == ["stable 3: version 1 to all", "Released versions: 1, 2"]
    shown = release("show", "--env", "dev")
    assert len(shown) == 3
    assert all("; Ann [arn:aws:sts::123456789012:" in line for line in shown)
    assert release("verify", "--env", "dev") == ["stable 3: 4 files of 1 releases are as they were signed"]
    assert "\n".join(release("key", "--env", "dev")).encode() + b"\n" == cloud.signer.public_pem
    assert serialization.load_pem_public_key(cloud.signer.public_pem)
    assert len(function.called) == 3


def test_what_the_function_refuses_or_fails_at_is_one_sentence(cloud, function):
    with pytest.raises(UserError, match="there is no channel stable: nothing can be rolled back"):
        release("rollback", "--env", "dev", *BY)
    cloud.approve()
    release("publish", 1, "--env", "dev", *BY)
    function.fails = "access denied: s3:PutObject"
    with pytest.raises(
        UserError, match=r"tilegate-dev-publisher failed \(access denied: s3:PutObject\); its log tells"
    ):
        release("rollback", "--to", 1, "--env", "dev", *BY)

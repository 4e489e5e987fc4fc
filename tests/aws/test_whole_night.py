"""A night as it will be, from dropped labels to phones, on the deployed stacks.

Schedule, function, registry, events, signing and permissions are those of the stacks in moto; the execution runs in
earnest, on this machine, from the definition and the parameters that moto's SageMaker was given.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

import pipelines.release.verify
from pipelines.definition.settings import Settings
from pipelines.runs.sample_data import write_sample
from tests.aws.executions import InEarnest
from tests.infra.conftest import images_of
from tests.quick import QUICK, SCREENSHOTS

pytestmark = [pytest.mark.aws, pytest.mark.e2e]

WHY = ("--by", "Ada", "--reason", "looked at the report")
JOBS = {
    *("ValidateData", "PreprocessTiles", "IndexTiles", "TuneHyperparameters", "TrainModel"),
    *("EvaluateModel", "ConvertToTFLite"),
}


def choose(cloud, **parameters):
    """Give the starter its run parameters, as a team does."""
    name, service = cloud.environment.function("starter"), cloud.client("lambda")
    known = service.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    chosen = {"TILEGATE_PARAMETERS": json.dumps(QUICK | parameters)}
    service.update_function_configuration(FunctionName=name, Environment={"Variables": known | chosen})


def verified(cloud, folder):
    """Verify the release bucket as phones do, with the published verifier and the public key; return what it says."""
    for info in cloud.releases.list():
        cloud.releases.download(info.key, folder / info.key)
    der = cloud.client("kms").get_public_key(KeyId=cloud.environment.signing_key_alias)["PublicKey"]
    pem = load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(pem)
    words = ["--key", folder / "public.pem", "--root", folder, "--channel", "stable", "--installation", "phone"]
    command = [sys.executable, Path(pipelines.release.verify.__file__), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def ok(done):
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def test_from_labels_in_the_inbox_to_a_signed_release_and_back(cloud, tmp_path):
    people, images = cloud.listen(), images_of(cloud.environment)
    here = InEarnest(
        cloud.client("sagemaker"),
        [cloud.data, cloud.artifacts],
        tmp_path / "home",
        Settings(data_image=images.data, model_image=images.model),
    )
    choose(cloud)
    cloud.drop(write_sample(tmp_path / "sample", screenshots=SCREENSHOTS), "first")

    assert cloud.fire()
    (first,) = cloud.executions()
    ran = here.run(first)
    assert ran.status == "Succeeded", ran.reason
    assert (here.asked, here.refused) == (JOBS, [])
    assert "PendingManualApproval" in ok(cloud.command("approver", "models", "list"))
    assert list(cloud.releases.list()) == []

    ok(cloud.command("approver", "models", "approve", "1", *WHY))
    told = verified(cloud, tmp_path / "phone")
    assert "phone runs version 1" in told
    bundle = f"runs/{first.rpartition('/')[2]}/ConvertToTFLite/bundle/bundle/model.tflite"
    assert cloud.releases.get("releases/1/model.tflite") == cloud.artifacts.get(bundle)

    # Another question on the same data: only what judges and converts runs again, now against the champion.
    choose(cloud, MaxFpr=0.94)
    assert cloud.fire()
    second, *others = cloud.executions()
    assert others == [first]
    ran = here.run(second)
    assert ran.status == "Succeeded", ran.reason
    assert here.refused == []
    ok(cloud.command("approver", "models", "approve", "2", *WHY))
    assert "phone runs version 2" in verified(cloud, tmp_path / "phone")

    ok(cloud.command("approver", "release", "rollback", *WHY))
    assert "phone runs version 1" in verified(cloud, tmp_path / "phone")

    assert cloud.fire()
    assert len(cloud.executions()) == 2
    recorded = [call.event["detail"] for call in cloud.functions.of(cloud.environment.function("recorder"))]
    assert [told["pipelineExecutionArn"] for told in recorded] == [first, second]
    assert [call.error for call in cloud.functions.calls if call.error] == []
    assert cloud.messages(people) == []

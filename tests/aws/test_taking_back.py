"""Withdrawing and erasing in a deployment, as a person types it and under the deployed policies."""

import hashlib

import pandas as pd
import pytest

from pipelines.storage.s3 import S3Copies
from tests.aws.test_permissions import denied

pytestmark = pytest.mark.aws


def test_the_operator_alone_takes_data_back(cloud, tmp_path):
    picture = b"a picture of somebody" * 99
    for name, data in (("a.png", picture), ("b.png", b"another")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "labels.csv").write_text("path,label\na.png,0\nb.png,1\n")
    assert cloud.command("operator", "data", "add", str(tmp_path)).exit_code == 0
    cloud.drop(tmp_path, "again")
    (card,) = [info.key for info in cloud.data.list("catalogue/2") if info.key.endswith(".json")]
    batch = card.removeprefix("catalogue/").removesuffix(".json")
    facts, page = ("facts/1/p/facts.parquet", "mlflow/1/report.html")
    sha256 = hashlib.sha256(picture).hexdigest()
    pd.DataFrame({"id": [sha256], "thumb": [picture]}).to_parquet(tmp_path / "facts.parquet")
    cloud.data.upload(tmp_path / "facts.parquet", facts)
    cloud.artifacts.put(page, b'<img data-screenshot="' + sha256.encode() + b'" src="data:' + picture + b'">')
    who = ("--by", "Ada", "--reason", "asked for")
    done = cloud.command("operator", "data", "erase", sha256, *who)
    assert done.exit_code == 0, done.output
    client = cloud.client("s3")
    for bucket in (cloud.environment.data_bucket, cloud.environment.artifact_bucket):
        for copy in (place := S3Copies(client, bucket, [""])).all():
            assert picture not in place.read(copy), copy
    assert f"Erased       {sha256} ({batch}), by Ada" in done.output
    done = cloud.command("operator", "data", "withdraw", batch, *who)
    assert done.exit_code == 0, done.output
    assert "no labelled data are left" in done.output
    place = {"Bucket": cloud.environment.data_bucket}
    (left,) = S3Copies(client, cloud.environment.data_bucket, [f"labelled/{batch}/b.png"]).all()
    for duty in ("starter", "approver", "publisher", "recorder", "data", "training", "judge", "pipeline"):
        assert denied(cloud, duty, "delete_object", **place, Key=left.key, VersionId=left.version), duty
        assert denied(cloud, duty, "put_object", **place, Key="withdrawn/images/x.json", Body=b"", IfNoneMatch="*"), (
            duty
        )
    record = f"withdrawn/images/{sha256}.json"
    assert denied(cloud, "operator", "put_object", **place, Key=record, Body=b"forged")
    assert denied(cloud, "operator", "delete_object", **place, Key=record)

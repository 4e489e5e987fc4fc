"""Labelled rows as Ground Truth writes them, with eight columns more, and the listing of their files."""

import hashlib
import json

import pandas as pd


def listing(count):
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    paths = [f"images/{number % 100:02}/{name[:20]}.png" for number, name in enumerate(ids)]
    return pd.DataFrame({"path": paths, "sha256": ids, "bytes": 100_000})


def records(files):
    """Yield a record a file of the listing; every other source is an S3 URI."""
    for number, pair in enumerate(zip(files["path"], files["sha256"], strict=True)):
        yield _record(number, *pair)


def write_manifest(path, lines):
    with path.open("w") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)


def _record(number, path, sha256):
    name = "positive" if number % 2 else "negative"
    metadata = {"class-name": name, "confidence": 0.93, "type": "groundtruth/image-classification", "job-name": "job"}
    return {
        "source-ref": f"s3://bucket/labelling/{path}" if number % 2 else path,
        "kind": number % 2,
        "kind-metadata": {**metadata, "human-annotated": "yes", "creation-date": "2026-11-23T21:48:33"},
        "app": f"app-{number % 700}",
        "device": "Pixel 9",
        "locale": "de-DE",
        "captured-at": "2026-11-23T21:48:33Z",
        "sha256": sha256,
        "width": 1080,
        "height": 2400,
        "worker": f"w-{number % 7}",
    }

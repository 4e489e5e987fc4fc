"""Compile the definition to JSON: the same bytes every time, with no credentials and no network."""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from pipelines.code_digest import program_digest
from pipelines.definition.requests import all_steps
from pipelines.definition.settings import Settings
from steps.core.common.files import write_text

# What the SDK would look up, simulate or send at import and compile time, and the values that keep it offline.
_OFFLINE = {
    "AWS_ACCESS_KEY_ID": "offline",
    "AWS_SECRET_ACCESS_KEY": "offline",
    "AWS_SESSION_TOKEN": None,
    "AWS_PROFILE": None,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "SAGEMAKER_VALIDATE_ROLE": "false",
}


@contextmanager
def variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables, or remove those with None, and put all back at the end."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _silence() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def compile_pipeline(settings: Settings) -> str:
    """Return the pipeline-definition JSON, keys sorted, ending in a newline; takes some seconds of SDK imports."""
    region = {"AWS_DEFAULT_REGION": settings.region, "AWS_REGION": settings.region}
    with variables(_OFFLINE | region), _silence():
        import boto3
        from sagemaker.core.local.local_session import LocalSagemakerClient
        from sagemaker.core.telemetry import telemetry_logging
        from sagemaker.core.workflow.pipeline_context import PipelineSession
        from sagemaker.mlops.workflow import steps

        # The SDK reports each call to its makers over the network; a compiler has no business doing so.
        telemetry_logging._send_telemetry_request = lambda *_args, **_kwargs: None  # noqa: SLF001
        # Each ProcessingStep would open clients of AWS to learn the name of a method: the class has it as well.
        steps.LocalSagemakerClient = lambda: LocalSagemakerClient
        from pipelines.definition.dag import build_pipeline

        session = PipelineSession(
            boto_session=boto3.Session(region_name=settings.region),
            default_bucket=settings.bucket,
            sagemaker_config={},
        )
        # Otherwise the session lists or creates the bucket, although it is told its name.
        session._default_bucket = settings.bucket  # noqa: SLF001
        definition: Any = json.loads(build_pipeline(settings, session).definition())
    _name_itself(definition)
    return json.dumps(definition, indent=1, sort_keys=True) + "\n"


def _name_itself(definition: Any) -> None:
    """Let a registered version tell which definition made it: the sha256 of its JSON, without what is written here."""
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    for step in all_steps(definition):
        if step["Type"] == "RegisterModel":
            step["Arguments"]["CustomerMetadataProperties"]["definition"] = digest


def compile_cached(settings: Settings, folder: Path) -> str:
    """Return what `compile_pipeline` would, from `folder` if this very definition was compiled before."""
    key = hashlib.sha256(repr((astuple(settings), program_digest(__name__))).encode())
    path = folder / f"{key.hexdigest()[:32]}.json"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    text = compile_pipeline(settings)
    write_text(path, text)
    return text

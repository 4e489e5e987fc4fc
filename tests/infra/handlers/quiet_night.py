"""A night over folders and a service that is a file; run as a program, it tells what the night has imported."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import infra.handlers.starter  # noqa: F401 (what the function has loaded before it is called)
from pipelines.environment import Environment
from pipelines.nightly.decide import Rules
from pipelines.nightly.night import hold_night
from pipelines.nightly.site_aws import CloudSite
from pipelines.storage.folder import FolderObjects

ENVIRONMENT = Environment("dev", "123456789012", "eu-west-1")


class Service:
    """SageMaker as far as a night asks it; whatever is started has succeeded by the next night."""

    def __init__(self, root):
        self._root, self._started = root, root / "executions.json"

    @property
    def _summaries(self):
        return json.loads(self._started.read_text()) if self._started.exists() else []

    def describe_pipeline(self, **_):
        return {"PipelineDefinition": (self._root / "definition.json").read_text()}

    def start_pipeline_execution(self, *, PipelineExecutionDisplayName, **_):  # noqa: N803 (as the service spells it)
        arn = f"{ENVIRONMENT.pipeline_arn}/execution/e1"
        told = {"PipelineExecutionArn": arn, "PipelineExecutionDisplayName": PipelineExecutionDisplayName}
        self._started.write_text(json.dumps([*self._summaries, told | {"PipelineExecutionStatus": "Succeeded"}]))
        return told

    def describe_pipeline_execution(self, *, PipelineExecutionArn):  # noqa: N803
        told = next(told for told in self._summaries if told["PipelineExecutionArn"] == PipelineExecutionArn)
        return told | {"CreationTime": datetime.now(UTC)}

    def get_paginator(self, operation):
        listed = {"PipelineExecutionSummaries": self._summaries, "PipelineExecutionSteps": []}
        return type(operation, (), {"paginate": lambda *_, **__: [listed]})()


class NoModels:
    """A registry without a champion."""

    def load_champion(self, _group):
        return None


def hold(root):
    site = CloudSite(
        ENVIRONMENT,
        client=Service(root),
        data=FolderObjects(root / "data", ENVIRONMENT.data_bucket),
        artifacts=FolderObjects(root / "artifacts", ENVIRONMENT.artifact_bucket),
        registry=NoModels,
        chosen={},
    )
    return hold_night(site, Rules()).line


if __name__ == "__main__":
    print(json.dumps({"line": hold(Path(sys.argv[1])), "modules": sorted(sys.modules)}))

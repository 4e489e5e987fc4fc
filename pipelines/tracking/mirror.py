"""Records a finished SageMaker execution in MLflow, once, from what the service and the bucket tell of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.executor.events import ExecutionStarted
from pipelines.storage.protocol import ObjectStore
from pipelines.tracking import tags
from pipelines.tracking.contents import is_worth_a_look
from pipelines.tracking.experiment import open_experiment
from pipelines.tracking.runs import RUNNING, Runs
from pipelines.tracking.service import execution_events
from pipelines.tracking.writer import Writer
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch

if TYPE_CHECKING:
    from mlflow import MlflowClient


def mirror_execution(client: Any, buckets: Sequence[ObjectStore], mlflow: "MlflowClient", arn: str) -> tuple[str, bool]:
    """Record the execution with this ARN; return its MLflow run and whether that was made now.

    `client` is boto3's for SageMaker, `buckets` hold the steps' outputs. Whatever is recorded whole stays as it is;
    what a kill has left half-recorded is made anew. Two at once may both record: let one at a time call it. Raises
    UserError if the execution has not ended.
    """
    with scratch("mirror") as folder:
        (at, started), *events = execution_events(client, arn, folder / "run")
        if not isinstance(started, ExecutionStarted):
            raise UserError(f"{arn} does not begin with its start")
        runs = Runs(mlflow, open_experiment(mlflow, started.pipeline_name))
        earlier = runs.find(execution_id=started.execution_id)
        for run in earlier:
            if tags.PARENT not in run.data.tags and run.info.status != RUNNING:
                return str(run.info.run_id), False
        for run in earlier:
            mlflow.delete_run(run.info.run_id)
        writer = Writer(runs, started, at, _Outputs(buckets, folder / "outputs"))
        for moment, event in events:
            writer.write(event, moment)
        writer.flush()
        return writer.parent, True


class _Outputs:
    """Brings what of an output is worth a look from its bucket into a folder, when the writer asks for it."""

    def __init__(self, buckets: Sequence[ObjectStore], folder: Path) -> None:
        self._buckets, self._folder = buckets, folder
        self._brought: dict[str, Path] = {}

    def __call__(self, uri: str) -> Path:
        if uri not in self._brought:
            self._brought[uri] = self._folder / str(len(self._brought))
            self._bring(uri, self._brought[uri])
        return self._brought[uri]

    def _bring(self, uri: str, folder: Path) -> None:
        for bucket in self._buckets:
            prefix = bucket.uri().rstrip("/") + "/"
            if uri.startswith(prefix):
                key = uri.removeprefix(prefix).rstrip("/") + "/"
                for info in bucket.list(key):
                    if not is_worth_a_look(info.key, info.size):
                        continue
                    path = folder / info.key.removeprefix(key)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    bucket.download(info.key, path)

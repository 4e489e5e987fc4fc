"""The tree of MLflow runs of one experiment: made, found again, filled and closed by explicit run ids."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.tracking import tags
from pipelines.tracking.contents import dataset_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

FINISHED, FAILED, KILLED, RUNNING = "FINISHED", "FAILED", "KILLED", "RUNNING"
_METRICS = 500
_PAGE = 1000
_PROFILE = ("accepted", "groups", "classes", "splits", "quarantined")


class Runs:
    """Writes into one experiment. Times are Unix milliseconds: the writer may lag behind what it records."""

    def __init__(self, client: "MlflowClient", experiment_id: str) -> None:
        self._client = client
        self.experiment_id = experiment_id
        self._pending: dict[str, list[Any]] = {}

    def create(self, name: str, at: int, *, parent: str | None, labels: Mapping[str, str]) -> str:
        own = {tags.SOURCE_NAME: "tilegate", **labels}
        if parent:
            own[tags.PARENT] = parent
        run = self._client.create_run(self.experiment_id, start_time=at, run_name=name, tags=own)
        return str(run.info.run_id)

    def find(self, execution: str) -> list[Any]:
        """Return the runs of an execution, oldest first."""
        return self._search(f"tags.`{tags.EXECUTION_ID}` = '{execution}'")

    def reopen(self, run_id: str) -> None:
        self._client.update_run(run_id, status=RUNNING)

    def close(self, run_id: str, at: int, status: str) -> None:
        self.flush()
        self._client.set_terminated(run_id, status=status, end_time=at)

    def close_dead(self, is_executing: Callable[[str], bool], closed_by: str) -> None:
        """Close as KILLED what crashed executions left running; `closed_by` itself may be one that is resumed.

        Nobody knows when such a run died: it ends with its execution's last sign of life, not with today's date.
        """
        lost: dict[str, list[Any]] = {}
        for run in self._search("attributes.status = 'RUNNING'"):
            execution = run.data.tags.get(tags.EXECUTION_ID)
            if execution:
                lost.setdefault(execution, []).append(run)
        for execution, running in lost.items():
            if execution != closed_by and is_executing(execution):
                continue
            last = max(_last_sign(run) for run in self.find(execution))
            for run in running:
                self.label(run.info.run_id, {tags.CLOSED_BY: closed_by})
                self._client.set_terminated(run.info.run_id, status=KILLED, end_time=last)

    def label(self, run_id: str, labels: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        given = {key: str(value) for key, value in labels.items() if value is not None and value != ""}
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in given.items()])

    def parameters(self, run_id: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        entries = [Param(key, str(value)) for key, value in values.items()]
        self._client.log_batch(run_id, params=entries)

    def metric(self, run_id: str, name: str, value: float, at: int, index: int = 0) -> None:
        """Note one value of a metric; `flush` writes many at once, since each write is a transaction."""
        from mlflow.entities import Metric

        pending = self._pending.setdefault(run_id, [])
        # MLflow takes no colon, and puts what begins alike before a slash side by side.
        pending.append(Metric(name.replace(":", "/"), float(value), at, index))
        if len(pending) >= _METRICS:
            self.flush()

    def flush(self) -> None:
        pending, self._pending = self._pending, {}
        for run_id, metrics in pending.items():
            self._client.log_batch(run_id, metrics=metrics)

    def dataset(self, run_id: str, uri: str, name: str, validation: Mapping[str, Any]) -> None:
        """Note what was learned from, with what the validation counted; a store keeps the first profile of a digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = json.dumps({key: validation[key] for key in _PROFILE if key in validation}) if validation else None
        entry = Dataset(
            name=(name or uri.removesuffix("/").rpartition("/")[2] or uri)[:500],
            digest=dataset_digest(uri),
            source_type="s3" if uri.startswith("s3://") else "local",
            source=json.dumps({"uri": uri}),
            profile=profile,
        )
        context = [InputTag("mlflow.data.context", "training and test")]
        self._client.log_inputs(run_id, datasets=[DatasetInput(entry, tags=context)])

    def put(self, run_id: str, place: str, path: Path) -> None:
        """Log a file in the folder of the path `place`."""
        parent = Path(place).parent.as_posix()
        self._client.log_artifact(run_id, str(path), None if parent == "." else parent)

    def _search(self, clause: str) -> list[Any]:
        from mlflow.utils import get_results_from_paginated_fn

        order = ["attributes.start_time ASC"]
        found: list[Any] = get_results_from_paginated_fn(
            lambda most, token: self._client.search_runs(
                [self.experiment_id], clause, max_results=most, order_by=order, page_token=token
            ),
            _PAGE,
        )
        return found


def _last_sign(run: Any) -> int:
    return max(int(run.info.start_time), int(run.info.end_time or 0))

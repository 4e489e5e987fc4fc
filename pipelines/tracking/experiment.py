"""The experiment of a pipeline in MLflow, its list of executions, and the addresses of their pages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's pages for language models have no place for what we record.
MODE = "workflowType=machine_learning"
VIEW = "executions"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_COLUMNS = (
    *("tags.`verdict`", "tags.`model_version`", "tags.`dataset`", "params.`MaxFpr`"),
    *("metrics.`tflite/fpr_upper`", "metrics.`tflite/tpr`", "metrics.`test/fpr_upper`", "metrics.`test/tpr`"),
    *("metrics.`validation/pauc`", "metrics.`data/screenshots`"),
)


def open_experiment(client: "MlflowClient", name: str, location: str | None = None) -> str:
    """Return the id of the experiment, made with its artefacts at `location`, restored or brought up to date."""
    wanted = {"mlflow.experimentKind": "custom_model_development", VIEW_TAG: _view()}
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=location, tags=wanted))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    for key, value in wanted.items():
        if found.tags.get(key) != value:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _view() -> str:
    """Return a saved view as MLflow's own pages write one: it has a name, and every field of their state."""
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": _COLUMNS,
        "columnOrder": _COLUMNS,
        "columnWidths": {"tags.`dataset`": 280, "metrics.`tflite/fpr_upper`": 130, "metrics.`test/fpr_upper`": 130},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    return json.dumps({"name": "Executions", "createdAt": 0, "state": json.dumps(state)})


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of a run's pages in MLflow, as they open from any of its pages."""

    experiment_id: str
    run_id: str

    @property
    def run(self) -> str:
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}?{MODE}"

    def file(self, place: str) -> str:
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}/artifacts/{place}?{MODE}"

    def compared(self, run_ids: Sequence[str]) -> str:
        asked = {"runs": json.dumps(run_ids), "experiments": json.dumps([self.experiment_id])}
        return f"#/compare-runs?{urlencode(asked)}&{MODE}"

    def version(self, group: str, version: str) -> str:
        return f"#/models/{group}/versions/{version}?{MODE}"

"""The names under which a run says what it is; searched by, so they are a contract."""

EXECUTION_ID = "tilegate.execution_id"
DEFINITION_DIGEST = "tilegate.definition_digest"
STEP = "tilegate.step"
TRIAL = "tilegate.trial"
STOPPED_EARLY = "tilegate.stopped_early"
REASON = "tilegate.reason"
REUSED_FROM = "tilegate.reused_from"
FAILURE = "tilegate.failure"
EXIT_CODE = "tilegate.exit_code"
RETRIED = "tilegate.retried"
OUTCOME = "tilegate.outcome"
BEST_TRIAL = "tilegate.best_trial"
MODEL_PACKAGE = "tilegate.model_package"
CLOSED_BY = "tilegate.closed_by"
SKIPPED_PREFIX = "tilegate.skipped."

# The columns of the list of executions.
VERDICT = "verdict"
DATASET = "dataset"
MODEL_VERSION = "model_version"

# MLflow's own: the tree of runs, the text under a run's title, and what made it.
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
SOURCE_NAME = "mlflow.source.name"

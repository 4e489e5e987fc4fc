"""The two ways in which a local run goes wrong: the definition cannot be run, or a step of it failed."""

from collections.abc import Iterator
from contextlib import contextmanager

ALGORITHM_ERROR = "AlgorithmError"
INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"


class DefinitionError(ValueError):
    """The definition, a parameter or an S3 URI in it is wrong; says what was seen, what is wanted and what to do."""


class StepFailed(Exception):  # noqa: N818 (a public name: it says what happened, as SageMaker does)
    """A step ended without its result. `kind` is the exception type that a step's RetryPolicies select on.

    `uris` are the outputs that it left nevertheless, by name: those with the upload mode Continuous.
    """

    def __init__(self, step: str, reason: str, *, exit_code: int | None = None, kind: str = ALGORITHM_ERROR) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason
        self.exit_code = exit_code
        self.kind = kind
        self.uris: dict[str, str] = {}


@contextmanager
def failures_of(step: str) -> Iterator[None]:
    """Turn what the definition or this machine does wrong into the failure of a step."""
    try:
        yield
    except DefinitionError as error:
        raise StepFailed(step, str(error)) from error
    except OSError as error:
        raise StepFailed(step, f"this machine failed: {error}", kind=INTERNAL_ERROR) from error


class RunStopped(Exception):  # noqa: N818 (not an error: somebody asked the run to stop)
    """The run was asked to stop while a job of it was running."""

"""The environment variables of a function: one that is missing or odd is named, and deploying mends it."""

import os

from pipelines.aws.session import Deployment, open_environment
from steps.core.common.errors import UserError

_PERCENT = range(101)


def text_of(name: str, wanted: str) -> str:
    """Return a variable that has to be there; raises UserError that names it and what is `wanted`."""
    if value := os.environ.get(name):
        return value
    raise UserError(f"the function's environment variable {name} is not set: {wanted} is wanted; deploy it again")


def percent_of(name: str) -> int:
    """Return a variable that is a share of the phones in percent; raises UserError for anything else."""
    value = text_of(name, wanted := "a whole number from 0 to 100")
    if value.isdecimal() and int(value) in _PERCENT:
        return int(value)
    raise UserError(f"the function's environment variable {name} is {value!r}: {wanted} is wanted; deploy it again")


def open_deployment() -> Deployment:
    """Open the environment that the function belongs to; raises UserError if it was not told which."""
    return open_environment(text_of("TILEGATE_ENV", "dev or prod"), text_of("AWS_REGION", "the name of a region"))

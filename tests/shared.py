"""What the tests of a process share because making it takes long: compiled definitions, botocore's service models."""

import functools

import botocore.session
import pytest

from pipelines.definition import compiler

# Each takes a second, the first one the SDK's imports as well.
compiled = functools.cache(compiler.compile_pipeline)


@pytest.fixture(scope="session", autouse=True)
def compiled_once():
    """Commands and runs compile each definition once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "compile_pipeline", compiled)
        yield


@pytest.fixture(scope="session", autouse=True)
def models_read_once():
    """Every session of boto3 would read the services' models anew: some tenths of a second for each client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield

"""Functions that were not told what they need say which variable it is, before they touch anything."""

import pytest

from infra.handlers import publisher, recorder, starter
from steps.core.common.errors import UserError

EVENT = {"detail": {"pipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/p/execution/e"}}


@pytest.mark.parametrize("function", [publisher, recorder, starter])
@pytest.mark.parametrize("missing", ["TILEGATE_ENV", "AWS_REGION"])
def test_a_function_that_was_not_told_where_it_is_names_the_variable(monkeypatch, function, missing):
    for name, value in {"TILEGATE_ENV": "dev", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    with pytest.raises(UserError, match=rf"variable {missing} is not set: .* is wanted; deploy it again"):
        function.handler(EVENT, None)

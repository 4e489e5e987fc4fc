"""Lambda, in this process: a function is the handler that its image would run, with its variables and its role."""

import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from unittest import mock

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.logs.models import logs_backends
from moto.sqs.models import sqs_backends
from moto.sts.models import sts_backends

Handler = Callable[[Mapping[str, Any], Any], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """`error` is that of a call that raised one; `told` are the lines of its log."""

    function: str
    event: Mapping[str, Any]
    answer: Any
    error: Exception | None
    told: tuple[str, ...]


@dataclass
class Functions:
    """Every call that was made. A handler in `stand_ins`, by the function's name, runs instead of the real one."""

    calls: list[Call] = field(default_factory=list)
    stand_ins: dict[str, Handler] = field(default_factory=dict)

    def of(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.function == name]

    def deliver(self, arn: str, event: Mapping[str, Any]) -> None:
        """Call as a service does: tried again as configured, then the event goes to the failure destination."""
        function = _found(arn)
        how = function.event_invoke_config[-1].config
        for _ in range(1 + int(how["MaximumRetryAttempts"])):
            call = self.run(function, event)
            if call.error is None:
                return
        letter = {"requestPayload": event, "responsePayload": {"errorMessage": str(call.error)}}
        send(how["DestinationConfig"]["OnFailure"]["Destination"], letter)

    def run(self, function: LambdaFunction, event: Mapping[str, Any]) -> Call:
        """Call once. Its log lines of the embedded metric format become metrics."""
        log, answer, failure = io.StringIO(), None, None
        handler = self.stand_ins.get(function.function_name) or _handler(function.image_config.cmd[0])
        with mock.patch.dict(os.environ, _variables(function)), contextlib.redirect_stdout(log):
            try:
                # What travels is JSON, there and back.
                answer = json.loads(json.dumps(handler(json.loads(json.dumps(event, default=str)), _Context(function))))
            except Exception as error:  # noqa: BLE001 (as Lambda does, whatever it is)
                failure = error
        call = Call(function.function_name, event, answer, failure, tuple(log.getvalue().splitlines()))
        self.calls.append(call)
        _log(call, function)
        _count(call, function)
        return call

    def invoked(self, function: LambdaFunction, body: Any, response_headers: dict[str, str]) -> bytes:
        """Answer a request of a person: stands for moto's, which wants Docker."""
        call = self.run(function, json.loads(body or "{}"))
        if call.error is None:
            return json.dumps(call.answer).encode()
        response_headers["x-amz-function-error"] = "Unhandled"
        return json.dumps({"errorMessage": str(call.error), "errorType": type(call.error).__name__}).encode()


class _Context:
    def __init__(self, function: LambdaFunction) -> None:
        self.function_name = function.function_name
        self._milliseconds = int(function.timeout) * 1000

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


def send(queue_arn: str, body: Any) -> None:
    _, _, _, region, account, name = queue_arn.split(":")
    sqs_backends[account][region].send_message(name, json.dumps(body, default=str))


def credentials_of(role_arn: str, session: str, region: str) -> dict[str, str]:
    """Return the environment variables of somebody who has taken on a role."""
    sts = sts_backends[role_arn.split(":")[4]]["aws"]
    taken = sts.assume_role(region, session, role_arn, policy=None, duration=3600, external_id=None)
    return {
        "AWS_ACCESS_KEY_ID": taken.access_key_id,
        "AWS_SECRET_ACCESS_KEY": taken.secret_access_key,
        "AWS_SESSION_TOKEN": taken.session_token,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def _variables(function: LambdaFunction) -> dict[str, str]:
    known = credentials_of(function.role, function.function_name, function.region)
    return {**function.environment_vars, **known, "AWS_LAMBDA_FUNCTION_NAME": function.function_name}


def _found(arn: str) -> LambdaFunction:
    _, _, _, region, account, _, name = arn.split(":")
    return lambda_backends[account][region].get_function(name)


def _handler(command: str) -> Handler:
    module, _, name = command.rpartition(".")
    return getattr(import_module(module), name)


def _log(call: Call, function: LambdaFunction) -> None:
    """Write what a call has told where a deployed function's log is."""
    backend, group = logs_backends[function.account_id][function.region], f"/aws/lambda/{function.function_name}"
    if call.told and group in backend.groups:
        stream, now = f"call-{len(backend.groups[group].streams)}", int(time.time() * 1000)
        backend.create_log_stream(group, stream)
        backend.put_log_events(group, stream, [{"timestamp": now, "message": line} for line in call.told])


def _count(call: Call, function: LambdaFunction) -> None:
    backend = cloudwatch_backends[function.account_id][function.region]
    told = [json.loads(line) for line in call.told if '"_aws"' in line]
    for line in told:
        for how in line["_aws"]["CloudWatchMetrics"]:
            assert how["Dimensions"] == [[]], "a metric with dimensions is another than the alarm's"
            for metric in how["Metrics"]:
                backend.put_metric_data(how["Namespace"], [_datum(metric["Name"], line[metric["Name"]])])
    errors = _datum("Errors", int(call.error is not None), FunctionName=function.function_name)
    backend.put_metric_data("AWS/Lambda", [errors])


def _datum(name: str, value: float, **dimensions: str) -> dict[str, Any]:
    named = [{"Name": key, "Value": text} for key, text in dimensions.items()]
    return {"MetricName": name, "Value": value, "Dimensions": named}


@contextmanager
def taught_functions() -> Iterator[Functions]:
    """Let functions of moto run here."""
    functions = Functions()

    def invoke(function, body, request_headers, response_headers):
        return functions.invoked(function, body, response_headers)

    with mock.patch.object(LambdaFunction, "invoke", invoke):
        yield functions

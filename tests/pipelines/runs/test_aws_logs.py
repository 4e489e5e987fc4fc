"""The logs of jobs, out of CloudWatch as moto has it."""

from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws

from pipelines.runs.aws_logs import JobLog, follow_logs
from pipelines.runs.executions import Job

NOBODY = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "testing")
PROCESSING, TRAINING = "/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"
START = 1_800_000_000_000


@pytest.fixture
def logs(monkeypatch):
    with mock_aws():
        client = boto3.client("logs", "eu-west-1", **NOBODY)
        for group in (PROCESSING, TRAINING):
            client.create_log_group(logGroupName=group)
        # CloudWatch takes no events that are far from the present.
        now = datetime.fromtimestamp(START / 1000, UTC).replace(tzinfo=None)
        monkeypatch.setattr("moto.logs.models.utcnow", lambda: now)
        yield client


def write(client, group, stream, *lines):
    """Write lines, each (seconds, text)."""
    streams = client.describe_log_streams(logGroupName=group)["logStreams"]
    if stream not in [found["logStreamName"] for found in streams]:
        client.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": START + 1000 * second, "message": text} for second, text in lines]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def read_logs(client, jobs):
    return list(follow_logs(client, lambda: (jobs, False)))


def test_the_lines_of_several_jobs_come_in_the_order_of_time(logs):
    write(logs, PROCESSING, "judge/algo-1", (1, "reading"), (3, "done"))
    write(logs, TRAINING, "train/algo-1", (2, "epoch 1"))
    lines = read_logs(logs, [Job("ProcessingJob", "judge"), Job("TrainingJob", "train")])
    assert [(line.stream, line.text) for line in lines] == [
        ("judge/algo-1", "reading"),
        ("train/algo-1", "epoch 1"),
        ("judge/algo-1", "done"),
    ]


def test_a_job_that_has_not_written_yet_and_a_group_that_is_not_there_are_no_errors(logs):
    assert read_logs(logs, [Job("ProcessingJob", "judge")]) == []
    logs.delete_log_group(logGroupName=TRAINING)
    assert read_logs(logs, [Job("TrainingJob", "train")]) == []


def test_what_would_move_a_terminals_cursor_is_not_shown(logs):
    write(logs, PROCESSING, "judge/algo-1", (1, "\x1b[31mred\x1b[0m\ttab\n"))
    assert read_logs(logs, [Job("ProcessingJob", "judge")])[0].text == " [31mred [0m\ttab"


def test_following_gives_each_line_once_also_late_ones_until_the_end(logs):
    job, looks = Job("TrainingJob", "train"), []

    def look():
        looks.append(None)
        second = len(looks)
        # The second host is late by a second.
        if second == 2:
            write(logs, TRAINING, "train/algo-2", (0, "late"))
        write(logs, TRAINING, "train/algo-1", (second, f"epoch {second}"))
        return [job], second < 3

    slept = []
    lines = [line.text for line in follow_logs(logs, look, slept.append)]
    assert lines == ["epoch 1", "late", "epoch 2", "epoch 3"]
    assert len(slept) == 2


def test_reading_on_remembers_only_what_it_may_meet_again(logs):
    log = JobLog(logs, Job("TrainingJob", "train"))
    write(logs, TRAINING, "train/algo-1", (0, "a"), (1, "b"))
    assert [line.text for line in log.read()] == ["a", "b"]
    write(logs, TRAINING, "train/algo-1", (200, "c"))
    assert [line.text for line in log.read()] == ["c"]
    assert len(log._seen) == 1
    assert list(log.read()) == []

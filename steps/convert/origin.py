"""The run that a job belongs to, as the platform describes the job to its program.

SageMaker and the executor write the request of a processing job, outputs included, to
`/opt/ml/config/processingjobconfig.json`. What is written of it is for people: it is no part of a step cache's key.
"""

import datetime as dt
import re
from pathlib import Path

from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.evaluate.report.model import Origin

# Buckets as `pipelines.environment` and `pipelines.definition.settings` name them.
_OUTPUT = re.compile(r"s3://tilegate-(?P<place>local|(?:dev|prod)(?=-artifacts-))[^/]*/runs/(?P<run>[\w.-]+)/")


def read_origin(description: Path, output: str = "bundle") -> Origin:
    """Return whose job a description is of, by where that output of it goes; what it does not say is not known."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    try:
        outputs = read_json(description)["ProcessingOutputConfig"]["Outputs"]
        uri = next(str(one["S3Output"]["S3Uri"]) for one in outputs if one["OutputName"] == output)
    except (UserError, KeyError, TypeError, StopIteration):
        return Origin(date=today)
    found = _OUTPUT.match(uri)
    return Origin(found["run"], found["place"], today) if found else Origin(date=today)

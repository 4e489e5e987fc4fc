"""The options of a deployment besides its environment: its images, and what a team may choose.

They stand in the deployed stack's own template, and stay until others are given.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.environment import Environment
from pipelines.release.verify import VerificationError, pem_of, read_keys
from steps.core.common.errors import UserError

_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_PRINCIPAL = re.compile(r"arn:[^:]+:(iam|sts)::\d{12}:[^*\s]+")
_PREFIX_LIST = re.compile(r"pl-[0-9a-f]{8,17}")


@dataclass(frozen=True, slots=True)
class Images:
    """URIs of the three images, each with its digest: a tag may mean other code tomorrow. Raises UserError."""

    data: str
    model: str
    control: str

    def __post_init__(self) -> None:
        for field in fields(self):
            uri = getattr(self, field.name)
            if not _PINNED.fullmatch(uri):
                raise UserError(
                    f"{field.name} image {uri!r}: a URI that ends in @sha256:<64 hexadecimal digits> is wanted"
                )


@dataclass(frozen=True, slots=True)
class Options:
    """`s3_prefix_list` is the id of the region's managed prefix list of S3, as a deployment asks for it.

    `approvers` and `operators` are ARNs of users or roles that may take on these roles, with MFA; without any,
    everybody of the account may whom IAM lets. `schedule` has the six fields of EventBridge Scheduler, in `timezone`;
    it is on in prod and off in dev unless `scheduled` says otherwise. `mlflow` is the serverless app or a server that
    costs the same day and night. `parameters` are those of the nights' runs that have another value than their default,
    NAME=VALUE each. `trusted_keys` are public keys that releases were signed with before, in base64 of their DER.
    `warm_start_parents` and all after it are `Settings` of the pipeline.
    """

    s3_prefix_list: str
    alert_emails: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    monthly_budget_usd: int = 500
    schedule: str = "cron(0 2 * * ? *)"
    timezone: str = "UTC"
    scheduled: bool | None = None
    mlflow: Literal["app", "server"] = "app"
    min_new_labels: int = 1
    max_age_days: int = 7
    parameters: tuple[str, ...] = ()
    channel: str = "stable"
    rollout_percent: int = 100
    trusted_keys: tuple[str, ...] = ()
    warm_start_parents: int = 0
    weights: str = "sample"
    spot: bool = False
    warm_pool_seconds: int = 0
    training_volume_key: bool = True

    def __post_init__(self) -> None:
        if not _PREFIX_LIST.fullmatch(self.s3_prefix_list):
            raise UserError(f"prefix list {self.s3_prefix_list!r}: the id of the region's list of S3 is wanted, pl-…")
        for arn in (*self.approvers, *self.operators):
            if not _PRINCIPAL.fullmatch(arn):
                raise UserError(f"principal {arn!r}: the ARN of a user or role is wanted, without a wildcard")
        cron = re.fullmatch(r"cron\((.+)\)", self.schedule)
        if not cron or len(cron[1].split()) != 6:  # noqa: PLR2004
            raise UserError(f"schedule {self.schedule!r}: cron(…) with six fields is wanted, such as cron(0 2 * * ? *)")
        self.of_runs()
        try:
            read_keys(pem_of(key) for key in self.trusted_keys)
        except VerificationError as error:
            raise UserError(
                f"trusted keys: {error}; give the base64 of each PEM file, without its first and last line"
            ) from None
        if self.spot and self.warm_pool_seconds:
            raise UserError("spot training with a warm pool: SageMaker keeps no spot instances, choose one of the two")

    def of_runs(self) -> dict[str, str | int | float]:
        """Return the run parameters by name, as what they are. Raises UserError for one that there is not."""
        kinds = {parameter.name: parameter.kind for parameter in pipeline_parameters(Settings())}
        values: dict[str, str | int | float] = {}
        for text in self.parameters:
            name, equals, value = text.partition("=")
            if not equals or name not in kinds:
                raise UserError(f"parameter {text!r}: NAME=VALUE is wanted, with one of {', '.join(sorted(kinds))}")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise UserError(f"parameter {text!r}: {value!r} is not of its kind, {kinds[name].__name__}") from None
        return values

    def of_training(self) -> dict[str, Any]:
        """Return those that are settings of the pipeline, by their names there."""
        names = ("warm_start_parents", "weights", "spot", "warm_pool_seconds", "training_volume_key")
        return {name: getattr(self, name) for name in names}

    def is_scheduled(self, environment: Environment) -> bool:
        return environment.name == "prod" if self.scheduled is None else self.scheduled


@dataclass(frozen=True, slots=True)
class Choices:
    """What is deployed; `images` is None as long as none was ever named."""

    images: Images | None
    options: Options

    def to_dict(self) -> dict[str, Any]:
        return (asdict(self.images) if self.images else {}) | asdict(self.options)


def choose(given: Mapping[str, Any], earlier: Mapping[str, Any], s3_prefix_list: str) -> Choices:
    """Return what is deployed: what is given, else what was, else the defaults. Raises UserError for a contradiction.

    `given` and `earlier` hold images and options by their names; of `given`, None counts as not given.
    """
    chosen = {**earlier, **{name: value for name, value in given.items() if value is not None}}
    images, options = ({f.name: chosen[f.name] for f in fields(kind) if f.name in chosen} for kind in (Images, Options))
    missing = [f"--{field.name}-image" for field in fields(Images) if field.name not in images]
    if images and missing:
        raise UserError(f"one image is not enough: give {', '.join(missing)} as well, the three belong together")
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    return Choices(
        Images(**images) if images else None, Options(**{**options, **lists, "s3_prefix_list": s3_prefix_list})
    )


def check_people(options: Options, environment: Environment) -> None:
    """Raise UserError if a role that makes or releases versions is named as a person who decides on them."""
    ours = f"role/{environment.project}-"
    for arn in (*options.approvers, *options.operators):
        if ours in arn:
            raise UserError(f"{arn} is a role of this deployment: people approve and operate, roles of jobs do not")

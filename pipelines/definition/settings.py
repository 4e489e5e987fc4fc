"""Where a pipeline lives: names, buckets, roles, network and images. What a run may vary is a pipeline parameter."""

from dataclasses import dataclass

PIPELINE_NAME = "tilegate"
# Prefixes in the bucket: champions by the digest of their bundle, ledgers as single runs see them, all looks, and
# checkpoints by plan.
CHAMPIONS, LEDGERS, LEDGER, CHECKPOINTS, NONE = "champions", "ledgers", "ledger", "checkpoints", "none"

# As SageMaker allows.
MOST_WARM_POOL_SECONDS = 21_600


@dataclass(frozen=True, slots=True)
class Settings:
    """Baked into the definition at compile time; the defaults are those of a run on one machine.

    `bucket` holds the data, `artifact_bucket` what runs leave behind; on one machine both are one. The ARN of a job's
    role is `job_role_prefix` and its kind; without a prefix all run under `role_arn`. `data_image` holds the step
    programs without TensorFlow, `model_image` with it; the entry point of the latter is the training program, because
    a tuning job can name no other. With `is_isolated` jobs have no way into any network but their own, and encrypt what
    their hosts send each other. With `spot` training runs on spare capacity and goes on from its checkpoints when it
    was interrupted. For `warm_pool_seconds` the instances of a trial wait for the next one, or for TrainModel, which
    then start at once. `warm_start_parents` is how many earlier tuning jobs the tuning learns from (0 to 5): their
    names are parameters of a start, their number is part of the definition. `weights` is the folder under `weights/`
    that a start takes if it names none. Without `training_volume_key` the volumes of training are encrypted by their
    hardware alone: instances with disks of their own refuse a key.
    """

    name: str = PIPELINE_NAME
    region: str = "us-east-1"
    bucket: str = "tilegate-local"
    artifact_bucket: str = ""
    role_arn: str = "arn:aws:iam::000000000000:role/tilegate-local"
    job_role_prefix: str = ""
    data_image: str = "tilegate-data:local"
    model_image: str = "tilegate-model:local"
    model_package_group: str = "tilegate-screenshots"
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key_arn: str = ""
    is_isolated: bool = False
    spot: bool = False
    warm_pool_seconds: int = 0
    warm_start_parents: int = 0
    weights: str = "sample"
    training_volume_key: bool = True

    def image(self, name: str) -> str:
        """Return the URI of an image: data or model."""
        return self.data_image if name == "data" else self.model_image

    def role(self, name: str) -> str:
        """Return the ARN of a role of the jobs: data, training or judge."""
        return f"{self.job_role_prefix}{name}" if self.job_role_prefix else self.role_arn

    def uri(self, *parts: str) -> str:
        """Return where something lies among the data."""
        return "/".join([f"s3://{self.bucket}", *parts])

    def artifact_uri(self, *parts: str) -> str:
        """Return where something lies among what runs leave behind."""
        return "/".join([f"s3://{self.artifact_bucket or self.bucket}", *parts])

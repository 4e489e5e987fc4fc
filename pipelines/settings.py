"""Where a pipeline lives: names, bucket, role and images. Everything that a run may vary is a pipeline parameter."""

from dataclasses import dataclass

PIPELINE_NAME = "tilegate"


@dataclass(frozen=True, slots=True)
class Settings:
    """Baked into the definition at compile time; the defaults are those of a run on one machine.

    `data_image` holds the step programs without TensorFlow, `model_image` with it; the entry point of the latter is
    the training program, because a tuning job can name no other. `warm_start_parents` is how many earlier tuning jobs
    the tuning learns from (0 to 5): their names are parameters of a start, their number is part of the definition.
    """

    name: str = PIPELINE_NAME
    region: str = "us-east-1"
    bucket: str = "tilegate-local"
    role_arn: str = "arn:aws:iam::000000000000:role/tilegate-local"
    data_image: str = "tilegate-data:local"
    model_image: str = "tilegate-model:local"
    model_package_group: str = "tilegate-screenshots"
    volume_gb: int = 50
    max_runtime_seconds: int = 6 * 3600
    warm_start_parents: int = 0

    def uri(self, *parts: str) -> str:
        return "/".join([f"s3://{self.bucket}", *parts])

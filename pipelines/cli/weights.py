"""The option that names a pretrained backbone."""

from pathlib import Path
from typing import Any

import click

# As in `pipelines.runs.imagenet`, whose import costs more than this command needs to say its help.
_IMAGENET = "imagenet"


class WeightsPath(click.Path):
    """A file or folder that exists, or the word that stands for Keras's published ImageNet weights."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Path(value) if str(value) == _IMAGENET else super().convert(value, param, ctx)


weights_option = click.option(
    "--weights",
    type=WeightsPath(exists=True, path_type=Path),
    metavar="FILE|FOLDER|imagenet",
    help="Pretrained backbone: a Keras *.weights.h5, a folder of them, or the ImageNet weights that Keras publishes, "
    "fetched once. Without it, a small one that knows the sample.",
)

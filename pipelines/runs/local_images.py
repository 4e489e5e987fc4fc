"""What stands for the container images on one machine: this very installation of the step programs."""

import itertools

from pipelines.code_digest import program_digest
from pipelines.definition.settings import Settings
from pipelines.executor.errors import DefinitionError
from pipelines.executor.job import Image

_ENTRYPOINT = ("python3", "-m", "steps.train")


class LocalImages:
    """Resolves the images that the settings name; others are refused."""

    def __init__(self, settings: Settings) -> None:
        self._known = {settings.data_image, settings.model_image}

    def __call__(self, uri: str, command: tuple[str, ...]) -> Image:
        if uri not in self._known:
            raise DefinitionError(f"image {uri} is not one of this installation's: {', '.join(sorted(self._known))}")
        started = command or _ENTRYPOINT
        modules = [after for word, after in itertools.pairwise(started) if word == "-m"]
        return Image(_ENTRYPOINT, program_digest(modules[0] if modules else _ENTRYPOINT[-1]))

"""A container image as the executor knows it: how to start it, and what identifies the code inside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Image:
    """What `docker inspect` would tell of a training or processing image.

    `digest` identifies the code inside and is part of every cache key; `environment` is the image's ENV.
    """

    entrypoint: tuple[str, ...]
    digest: str
    environment: Mapping[str, str] = field(default_factory=dict)


ImageResolver = Callable[[str, tuple[str, ...]], Image]
"""Given an image URI and the explicit command (may be empty; the digest may depend on it), return the image."""

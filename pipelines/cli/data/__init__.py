"""`tilegate data`: the labelled data that a machine holds."""

from pipelines.cli.command import group

_NAMES = ("add", "decide", "diff", "erase", "gc", "quarantine", "readmit", "show", "status", "validate", "withdraw")


@group(places={name: f"pipelines.cli.data.{name}:{name}" for name in _NAMES})
def data() -> None:
    """Add labelled screenshots, look at what is there, and mend what is wrong with them."""

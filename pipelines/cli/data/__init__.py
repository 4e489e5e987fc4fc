"""`tilegate data`: the labelled data that a machine holds."""

from pipelines.cli.command import group

_MODULES = {
    "review": ("decide", "readmit"),
    "removal": ("erase", "withdraw"),
    "store": ("gc", "status"),
    "validation": ("quarantine", "validate"),
    **{name: (name,) for name in ("add", "diff", "show")},
}


@group(places={name: f"{__name__}.{module}:{name}" for module, names in _MODULES.items() for name in names})
def data() -> None:
    """Add labelled screenshots, look at what is there, and mend what is wrong with them."""

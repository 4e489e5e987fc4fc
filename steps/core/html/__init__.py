"""Common parts of all pages: appearance, strangers' texts, and pictures and drawings inside the file."""

from typing import Any

import jinja2

from steps.core.html import text


def environment(package: str, **names: Any) -> jinja2.Environment:
    """Return the templates of a package beside the shared ones, with `names` in all of them.

    Whatever a template prints is cleaned and escaped; a name that is missing is an error, not an empty text.
    """
    loaders = [jinja2.PackageLoader(package), jinja2.PackageLoader(__name__)]
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=text.clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"short": text.short, "count": text.count, "number": text.number, "percent": text.percent}
    made.globals |= {"share": text.share, **names}
    return made

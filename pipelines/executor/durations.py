"""ISO 8601 durations, as CacheConfig.ExpireAfter has them."""

import re

from pipelines.executor.errors import DefinitionError

_DURATION = re.compile(
    r"P?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.IGNORECASE,
)
_SECONDS = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


def seconds_of(text: str) -> int:
    """Return the seconds of a duration such as P30D, PT12H or P1DT30M; raises DefinitionError.

    As in SageMaker the P may be missing and the letters small: 30dT5h. Years and months have no fixed length and are
    refused.
    """
    match = _DURATION.fullmatch(str(text))
    parts = {unit: int(count) for unit, count in match.groupdict().items() if count} if match else {}
    if not parts:
        raise DefinitionError(f"the duration {text!r} is not readable: write days, hours or minutes as P30D or PT12H")
    return sum(_SECONDS[unit] * count for unit, count in parts.items())

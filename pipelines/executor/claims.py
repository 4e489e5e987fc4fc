"""Claims on output places: within one execution none may lie under, above or at the place of another."""

import threading

from pipelines.executor.errors import StepFailed


class Claims:
    """The places of one execution's outputs. Publishing replaces what lies at a place, so places must not overlap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[str, tuple[str, str]] = {}

    def take(self, step: str, output: str, uri: str) -> None:
        """Claim `uri` for an output of a step; raises StepFailed if another output lies there."""
        place = uri.rstrip("/") + "/"
        with self._lock:
            for other, owner in self._owners.items():
                if owner != (step, output) and (place.startswith(other) or other.startswith(place)):
                    raise StepFailed(
                        step,
                        f"its output {output!r} ({uri}) overlaps with {owner[1]!r} of {owner[0]} ({other}): "
                        "give each output a place of its own",
                    )
            self._owners[place] = (step, output)

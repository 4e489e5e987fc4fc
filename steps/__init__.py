"""The step programs: what runs inside a container, one thin program a step over the pure domain in `steps.core`."""

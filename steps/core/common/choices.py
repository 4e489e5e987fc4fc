"""The names that a run may choose from, spelled once for the steps, the definition and the command line."""

from collections.abc import Sequence

from steps.core.common.errors import UserError

BACKBONES = ("small", "large", "small-minimalistic", "large-minimalistic")
# Forms of the TFLite model.
FLOAT32, INT8 = "float32", "weight-int8"
VARIANTS = (FLOAT32, "float16", INT8)
ALL_THERE_IS = "all"
NO, YES = "no", "yes"
# A margin to the champion that follows the limit: AWS takes no empty number, and a start gives the limit alone.
HALF_OF_LIMIT = -1.0


def several(given: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Read names separated by commas, each once and in the order of `known`; raises UserError for an unknown one."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"{what} {unknown[0]!r}: names of {', '.join(known)}, separated by commas, are wanted")
    return tuple(name for name in known if name in names)


def wanted_variants(given: str) -> tuple[str, ...]:
    """Read which variants are wanted: none named for `ALL_THERE_IS`; raises UserError for an unknown one, or none."""
    if given.strip() == ALL_THERE_IS:
        return ()
    names = several(given, VARIANTS, "variant")
    if not names:
        raise UserError(f"no variant is wanted: name some of {', '.join(VARIANTS)}, or {ALL_THERE_IS}")
    return names

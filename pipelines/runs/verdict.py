"""What a verdict says to a person: the figures of an `evaluation.json`, wherever it lies."""

from collections.abc import Iterator, Mapping
from typing import Any


def figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of threshold, FPR, TPR and size, as far as the verdict has them."""
    gate, subject = evaluation["gate"], evaluation["subject"]
    confidence = f"{gate['confidence']:.0%}"
    if point := gate["operating_point"]:
        yield "Threshold", f"{point['threshold']:.6f}, from {point['calibration']} calibration negatives"
    if fpr := gate["fpr"]:
        yield (
            "FPR",
            (
                f"{fpr['value']:.2%} ({fpr['count']} of {fpr['trials']} negatives), at most {fpr['upper']:.2%} at "
                f"{confidence}; limit {gate['max_fpr']:.2%}"
            ),
        )
    if tpr := gate["tpr"]:
        counted = f"({tpr['count']} of {tpr['trials']} positives)"
        yield "TPR", f"{tpr['value']:.1%} {counted}, at least {tpr['lower']:.1%} at {confidence}"
    if "bytes" in subject:
        yield "Size", f"{subject['bytes'] / 1e6:.2f} MB, TFLite {subject['quantization']}"

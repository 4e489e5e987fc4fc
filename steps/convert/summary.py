"""ConvertToTFLite's summary for the registry: strings of a version, which a definition asks for by name.

`archive_sha256` is that of `model.tar.gz`, `evaluation_digest` that of the bundle's `evaluation.json`, written as
SageMaker writes content digests, `sha256:<hex>`; the rest is what the gate measured on the very bytes that ship.
"""

SUMMARY_FILE = "summary.json"
SUMMARY = (
    *("archive_sha256", "evaluation_digest", "tflite_sha256", "tflite_bytes", "variant", "flipped_decisions"),
    *("threshold", "failed_checks", "fpr", "fpr_upper", "max_fpr", "tpr", "tpr_lower", "min_tpr"),
    *("test_negatives", "test_positives"),
)

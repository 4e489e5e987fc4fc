"""Starting TensorFlow inside a job: quiet, with the legacy Keras that the models are built with, on the job's CPUs."""

import os

from steps.core.common.program import granted_cpus


def start_tensorflow() -> None:
    """Import and configure TensorFlow; call it before any module that imports it at its top.

    Seconds of imports are spent only here, so that `--help` and mistakes in arguments answer at once.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(granted_cpus())

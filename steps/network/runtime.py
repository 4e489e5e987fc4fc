"""Starting TensorFlow inside a job: quiet, with the models' legacy Keras, on the job's CPUs, and with its other hosts.

Seconds of imports are spent only when it is started, so that `--help` and mistakes in arguments answer at once.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.common.program import granted_cpus

_PORT = 45_017
_TIMEOUT_SECONDS = 900.0


def start_tensorflow() -> None:
    """Import and configure TensorFlow; call it before any module that imports it at its top."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(granted_cpus())


def strategy_of(config: Path) -> tuple[Any, bool]:
    """Join the hosts of this job, as its resourceconfig.json names them, or use the GPUs of the only one.

    Returns the `tf.distribute.Strategy`, and whether this host is the first one, which alone writes anything. To be
    called before TensorFlow has computed anything; waits for the other hosts.
    """
    import tensorflow as tf

    given = read_json(config) if config.is_file() else {"hosts": ["this"], "current_host": "this"}
    hosts = sorted(given["hosts"])
    if len(hosts) > 1:
        worker = hosts.index(given["current_host"])
        addresses = [host if ":" in host else f"{host}:{_PORT}" for host in hosts]
        task = {"type": "worker", "index": worker}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_TIMEOUT_SECONDS)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options), worker == 0
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy(), True
    return tf.distribute.get_strategy(), True


@contextmanager
def lost_hosts() -> Iterator[None]:
    """Turn what TensorFlow says of a host that is gone, or does not answer, into a UserError."""
    from tensorflow import errors

    try:
        yield
    except (
        errors.UnavailableError,
        errors.DeadlineExceededError,
        errors.AbortedError,
        errors.CancelledError,
    ) as error:
        raise UserError(
            f"another host of this training ended or did not answer within {_TIMEOUT_SECONDS / 60:g} minutes "
            f"({type(error).__name__}): its log says why; start the training again, and it goes on after its last epoch"
        ) from error

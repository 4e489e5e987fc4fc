"""Training on several GPUs and hosts: who takes which share of a batch, and how the shares are brought together.

Every replica holds the whole model as plain variables and takes the same step: only sums of gradients and of evidence
travel. The first host is the chief: what it has decided and read holds for all, and nobody else writes anything.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.core.common.errors import UserError
from steps.core.common.files import read_json

_PORT = 45_017
# How long the others wait for a host that does not answer; the slowest of what they wait for is an epoch's judging.
_TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True, slots=True, eq=False)
class Replicas:
    """`devices` replicas on each of `workers` hosts, of which this one is number `worker`; alone where not told."""

    strategy: Any = None
    worker: int = 0
    workers: int = 1
    devices: int = 1

    @property
    def count(self) -> int:
        return self.workers * self.devices

    @property
    def here(self) -> tuple[int, ...]:
        """The numbers of the replicas on this host."""
        return tuple(range(self.worker * self.devices, (self.worker + 1) * self.devices))

    @property
    def is_chief(self) -> bool:
        return self.worker == 0

    def on_each(self, values: Sequence[Any]) -> Any:
        """Hand each replica of this host its value, in the order of `here`."""
        if self.strategy is None:
            return values[0]
        first = self.here[0]
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group - first]
        )

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on every replica of this host, and return what the first one returned."""
        if self.strategy is None:
            return function(*arguments)
        results = self.strategy.run(function, args=arguments)
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0],
            results,
            expand_composites=False,
        )

    def summed(self, values: Any) -> Any:
        """Sum tensors over all replicas; to be called on a replica."""
        if self.strategy is None:
            return values
        # A collective goes where its tensors are, and an argument of a graph is nowhere yet.
        placed = tf.nest.map_structure(tf.identity, values)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)

    def total(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sum an array over the hosts, in float32 or whole numbers that fit into it."""
        if self.workers == 1:
            return values
        once = np.zeros_like(values, np.float32)
        shares = [tf.constant(values.astype(np.float32) if number == self.here[0] else once) for number in self.here]
        add = tf.function(lambda given: self.run(self.summed, given), autograph=False)
        return np.asarray(add(self.on_each(shares)).numpy(), values.dtype)

    def as_chief(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the chief's array on every host; all of them give one of its shape and type."""
        return self.total(values if self.is_chief else np.zeros_like(values))


ALONE = Replicas()
_LOST = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError, tf.errors.CancelledError)


@contextmanager
def lost_hosts(replicas: Replicas) -> Iterator[None]:
    """Turn what TensorFlow says of a host that is gone, or does not answer, into a UserError."""
    try:
        yield
    except _LOST as error:
        if replicas.workers == 1:
            raise
        raise UserError(
            f"another host of this training ended or did not answer within {_TIMEOUT_SECONDS / 60:g} minutes "
            f"({type(error).__name__}): its log says why; start the training again, and it goes on from its checkpoint"
        ) from error


def start_replicas(config: Path) -> Replicas:
    """Join the hosts of this job, as its resourceconfig.json tells them, or use the GPUs of the only one.

    To be called before TensorFlow has computed anything. Waits for the other hosts.
    """
    told = read_json(config) if config.is_file() else {"hosts": ["this"], "current_host": "this"}
    hosts, devices = sorted(told["hosts"]), max(1, len(tf.config.list_physical_devices("GPU")))
    if len(hosts) > 1:
        worker = hosts.index(told["current_host"])
        addresses = [host if ":" in host else f"{host}:{_PORT}" for host in hosts]
        task = {"type": "worker", "index": worker}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_TIMEOUT_SECONDS)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        return Replicas(strategy, worker, len(hosts), devices)
    if devices > 1:
        return Replicas(tf.distribute.MirroredStrategy(), devices=devices)
    return ALONE

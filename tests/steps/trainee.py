"""TrainModel as a process of its own, on a tiny model with a dropout; run by the tests of interruptions and of hosts.

Words before `--` are ours: `kill=<epoch>` ends the process by SIGKILL when that epoch has been told, `term=<epoch>` by
SIGTERM; `devices=<n>` makes this machine's CPU n devices.
"""

import os
import signal
import sys
from typing import Any

sys.path[:0] = [os.environ["TILEGATE_SOURCES"]]


def main() -> int:
    ours = dict(word.split("=") for word in sys.argv[1 : sys.argv.index("--")])
    from steps.network.runtime import start_tensorflow

    start_tensorflow()
    import tensorflow as tf
    import tf_keras as keras

    from steps.network import distributed
    from steps.network.backbone import DROPOUT, EVIDENCE, FEATURES
    from steps.train import __main__ as train
    from steps.train import early_stopping, step

    if devices := int(ours.get("devices", 0)):
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
        names = [f"CPU:{number}" for number in range(devices)]
        distributed.start_replicas = lambda _: distributed.Replicas(
            tf.distribute.MirroredStrategy(names), devices=devices
        )

    def build(_backbone: str, size: int, *, columns: int, **_: Any) -> Any:
        layers = keras.layers
        inputs = layers.Input((size, size, 3), name="tile")
        x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
        x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="Conv_1")(x)
        x = layers.BatchNormalization(momentum=0.5, name="Conv_1/BatchNorm")(x)
        x = layers.GlobalAveragePooling2D(name=FEATURES)(layers.ReLU(name="Conv_1/act")(x))
        outputs = layers.Dense(columns, name=EVIDENCE)(layers.Dropout(0.2, name=DROPOUT)(x))
        return keras.Model(inputs, outputs, name="tiny")

    step.build_model = build
    line = early_stopping.metrics_line

    def told(row: Any) -> str:
        for word, number in (("kill", signal.SIGKILL), ("term", signal.SIGTERM)):
            if row["phase"] == "fine-tune" and row["epoch"] == int(ours.get(word, -1)):
                os.kill(os.getpid(), number)
        return line(row)

    early_stopping.metrics_line = told
    return train.main(sys.argv[sys.argv.index("--") + 1 :])


if __name__ == "__main__":
    sys.exit(main())

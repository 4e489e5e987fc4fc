"""TrainModel as a process of its own, which `kill=<epoch>` before `--` ends by SIGKILL after that epoch's backup."""

import os
import signal
import sys

sys.path[:0] = [os.environ["TILEGATE_SOURCES"]]


def main() -> int:
    ours = dict(word.split("=") for word in sys.argv[1 : sys.argv.index("--")])
    from steps.train import __main__ as train
    from steps.train import step

    show = step._print

    def shown(row):
        show(row)
        if row["phase"] == "fine-tune" and row["epoch"] == int(ours.get("kill", -1)):
            os.kill(os.getpid(), signal.SIGKILL)

    step._print = shown
    return train.main(sys.argv[sys.argv.index("--") + 1 :])


if __name__ == "__main__":
    sys.exit(main())

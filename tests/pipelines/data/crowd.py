"""Processes that write to a store at the same time, or are killed while they do."""

import json
import os
import signal
import time


class Killed(BaseException):
    """Nothing may catch it."""


class Mortal:
    """Objects of a bucket whose user dies at a write, after `lives` others."""

    def __init__(self, objects, lives, die=None):
        self._objects, self.lives, self._die = objects, lives, die or self._raise

    def __getattr__(self, name):
        work = getattr(self._objects, name)
        if name not in {"put", "upload", "copy", "delete"}:
            return work

        def once(*args, **options):
            self.lives -= 1
            if self.lives < 0:
                self._die()
            return work(*args, **options)

        return once

    @staticmethod
    def _raise():
        raise Killed


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def in_processes(*tasks):
    """Run each task in a process of its own, all at once; return what each returned, None for one that was killed."""
    start, readers = time.time() + 0.05, []
    for task in tasks:
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            status = 1
            try:
                time.sleep(max(start - time.time(), 0))
                os.write(writer, json.dumps(task()).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        readers.append((child, reader))
    results = []
    for child, reader in readers:
        with os.fdopen(reader) as stream:
            told = stream.read()
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0
        results.append(json.loads(told) if told else None)
    return results

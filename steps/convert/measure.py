"""Measurements of a TFLite file: its sizes, its operators, and how long a phone's screenshot takes."""

import statistics
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from steps.core.common.worker_pool import die_with_parent
from steps.device.flatbuffer import read_model
from steps.device.runtime import LiteModel

# A usual phone, upright: three squares and the overview.
_HEIGHT, _WIDTH = 2400, 1080
_REPEATS = 15
_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def deflated_size(path: Path) -> int:
    """Return how many bytes an APK, a zip archive, needs for the file."""
    return len(zlib.compress(path.read_bytes(), 9))


def operators(path: Path) -> dict[str, int]:
    """Count a file's operators by name."""
    model = read_model(path)
    names = [_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    counts = Counter(names[op.opcodeIndex] for graph in model.subgraphs for op in graph.operators or [])
    return dict(sorted(counts.items()))


def latencies(paths: Mapping[str, Path], repeats: int = _REPEATS) -> dict[str, float]:
    """Return the median milliseconds that each file needs for a screenshot of 1080 x 2400 pixels, on one core.

    In a process of their own, by one thread, in turns: whatever else the machine does hits all of them alike. A file
    that does not run has no entry.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=die_with_parent) as pool:
        try:
            return pool.submit(_latencies, dict(paths), repeats).result()
        except BrokenProcessPool:
            return {}


def _latencies(paths: Mapping[str, Path], repeats: int) -> dict[str, float]:
    pixels = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    models = {name: LiteModel(path, 1) for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    for repeat in range(repeats + 1):
        for name, model in models.items():
            started = time.perf_counter()
            model.screenshot(pixels)
            # The first time a graph sees this size it plans its memory.
            if repeat:
                times[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}

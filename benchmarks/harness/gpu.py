# SPDX-License-Identifier: Apache-2.0
"""Timing on a GPU: moments on its stream, and inputs in turn from several places, so that none is in a cache.

For workers whose library is ``<name>-cuda``. On the emulated GPU of the tests the figures mean nothing.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.testing.timing import Roofs

_ROTATED_BYTES = 256 << 20  # several times the last cache of any GPU
_MOST_COPIES = 16
_COPY_FLOATS = 64 << 20


def copies(sizes: Sequence[int]) -> int:
    """How many sets of inputs of so many bytes to go through in turn."""
    return max(1, min(_MOST_COPIES, -(-_ROTATED_BYTES // max(1, sum(sizes)))))


def is_emulated() -> bool:
    """Whether the GPU is the tests' own, which takes seconds for what a GPU does in microseconds."""
    return hasattr(importlib.import_module("cupy"), "emulated")


def rotation(arrays: Sequence[np.ndarray[Any, Any]]) -> Callable[[], Sequence[Any]]:
    """Gives the arrays, in the GPU's memory, from another place each time."""
    cupy = importlib.import_module("cupy")
    number = 1 if is_emulated() else copies([array.nbytes for array in arrays])
    sets = itertools.cycle([[cupy.asarray(array) for array in arrays] for _ in range(number)])
    return lambda: next(sets)


def timer(call: Callable[[], object]) -> Callable[[int], float]:
    """Seconds per call of so many calls, between two moments of the stream."""
    cuda = importlib.import_module("cupy").cuda
    first, last = cuda.Event(), cuda.Event()

    def seconds(calls: int) -> float:
        first.record()
        for _ in range(calls):
            call()
        last.record()
        last.synchronize()
        return float(cuda.get_elapsed_time(first, last)) * 1e-3 / calls

    return seconds


def roofs() -> Roofs:
    """Nominal multiply-add peak of float32, measured copy bandwidth; zeros on an emulated GPU."""
    cupy = importlib.import_module("cupy")
    if is_emulated():
        return Roofs(0.0, 0.0, "not measured")
    device = cupy.cuda.Device()
    lanes = 64 if device.compute_capability in ("75", "80") else 128  # of float32 in a multiprocessor
    attributes = device.attributes
    peak = 2e-6 * lanes * attributes["MultiProcessorCount"] * attributes["ClockRate"]  # the clock in kHz
    source = cupy.ones(_COPY_FLOATS, cupy.float32)
    target = cupy.empty_like(source)
    seconds = timer(lambda: cupy.copyto(target, source))
    seconds(3)
    return Roofs(peak, 2e-9 * source.nbytes / min(seconds(5) for _ in range(5)), "nominal, copy")

# SPDX-License-Identifier: Apache-2.0
"""Timing of single calls, and the roofs of the machine that a time is compared with.

Used by ``tests/`` and by the worker processes of ``benchmarks/``. A worker that holds another library loads
this file by its path, without the package around it, so it imports the standard library and NumPy alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

Clock = Callable[[], float]

_SHORTEST_SAMPLE = 50e-6  # seconds; below it the clock's own cost and resolution would show
_PROBE_ROUNDS = 5
_PROBE_FLOATS = 16 << 20  # 64 MB each for source and target
_PROBE_SIDE = 1024


@dataclass(frozen=True)
class Summary:
    """Order statistics of repeated timings, in seconds.

    Attributes
    ----------
    minimum, p10, median, p90
        The fastest time, the 10 %, 50 % and 90 % quantiles.
    samples
        How many times went in.
    """

    minimum: float
    p10: float
    median: float
    p90: float
    samples: int


@dataclass(frozen=True)
class Roofs:
    """What the machine can do at most with a number of threads.

    Attributes
    ----------
    gflops
        Multiply-adds of float32, in 10^9 operations a second (one multiply-add counts two).
    gbytes
        Bytes read plus bytes written by a copy, in 10^9 a second.
    source
        How the figures were measured.
    """

    gflops: float
    gbytes: float
    source: str


def summarize(seconds: Sequence[float]) -> Summary:
    """Reduce a list of times to its order statistics.

    Parameters
    ----------
    seconds
        At least one time.

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        If the list is empty.

    Examples
    --------
    >>> from fastcnn.testing.timing import summarize
    >>> summarize([3.0, 1.0, 2.0]).median
    2.0
    """
    if not seconds:
        raise ValueError("summarize: seconds: got no times, wanted at least one")
    p10, median, p90 = (float(q) for q in np.quantile(np.asarray(seconds), (0.1, 0.5, 0.9)))
    return Summary(min(seconds), p10, median, p90, len(seconds))


def calls_per_sample(call: Callable[[], object]) -> int:
    """How many calls one sample must hold so that it is long enough to time.

    Examples
    --------
    >>> from fastcnn.testing.timing import calls_per_sample
    >>> calls_per_sample(lambda: None) > 1
    True
    """
    fastest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
        if fastest > _SHORTEST_SAMPLE:
            break
    return max(1, round(_SHORTEST_SAMPLE / max(fastest, 1e-8)))


def time_calls(
    call: Callable[[], object],
    seconds: float,
    calls: int = 1,
    least: int = 3,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Time a function again and again.

    Parameters
    ----------
    call
        The function.
    seconds
        For how long to go on.
    calls
        How many calls make one sample (see `calls_per_sample`).
    least
        How many samples to take even if that lasts longer.
    clock
        Seconds since some moment. `time.process_time`, with one thread, stays right on a machine that is
        busy.

    Returns
    -------
    list of float
        Seconds per call, one figure a sample.

    Examples
    --------
    >>> from fastcnn.testing.timing import time_calls
    >>> len(time_calls(lambda: None, seconds=0.0, least=4))
    4
    """
    samples: list[float] = []
    end = clock() + seconds
    while len(samples) < least or clock() < end:
        start = clock()
        for _ in range(calls):
            call()
        samples.append((clock() - start) / calls)
    return samples


def measure(call: Callable[[], object], seconds: float = 0.2, warmups: int = 10) -> Summary:
    """Warm a function up and time it.

    Parameters
    ----------
    call
        The function.
    seconds
        For how long to time it.
    warmups
        Untimed calls before.

    Returns
    -------
    Summary
        Seconds per call.

    Examples
    --------
    >>> from fastcnn.testing.timing import measure
    >>> measure(lambda: sum(range(100)), seconds=0.01).median < 1.0
    True
    """
    for _ in range(warmups):
        call()
    return summarize(time_calls(call, seconds, calls_per_sample(call)))


def measured_roofs(threads: int, native: ModuleType | None = None) -> Roofs:
    """Measure the multiply-add peak and the copy bandwidth of this process.

    Parameters
    ----------
    threads
        How many threads work at once.
    native
        The extension ``fastcnn._native``, whose probes are used if it has them. Without them NumPy's matrix
        product and copy stand in; they may stay well below the machine's peak, and ``source`` says so.

    Returns
    -------
    Roofs

    Examples
    --------
    >>> from fastcnn.testing.timing import measured_roofs
    >>> measured_roofs(1).gflops > 0
    True
    """
    if native is not None and hasattr(native, "fma_peak") and hasattr(native, "copy_bandwidth"):
        return Roofs(float(native.fma_peak(threads)), float(native.copy_bandwidth(threads)), "probe")
    return Roofs(_product_rate(), _copy_rate(threads), "NumPy")


def _product_rate() -> float:
    a = np.ones((_PROBE_SIDE, _PROBE_SIDE), np.float32)
    out = np.empty_like(a)
    fastest = min(time_calls(lambda: np.matmul(a, a, out=out), 0.0, least=_PROBE_ROUNDS))
    return 2e-9 * _PROBE_SIDE**3 / fastest


def _copy_rate(threads: int) -> float:
    source = np.ones(_PROBE_FLOATS, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))

    def copy() -> None:
        # NumPy lets go of the interpreter lock while it copies, so plain threads copy at once.
        team = [threading.Thread(target=np.copyto, args=part) for part in parts]
        for member in team:
            member.start()
        for member in team:
            member.join()

    return 2e-9 * source.nbytes / min(time_calls(copy, 0.0, least=_PROBE_ROUNDS))

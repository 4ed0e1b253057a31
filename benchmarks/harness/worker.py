# SPDX-License-Identifier: Apache-2.0
"""A process that holds one library and times it: `python -m harness.worker LIBRARY THREADS CLOCK TIMING FD`.

Requests arrive over the connection FD as (method, arguments); answers go back as (True, result) or (False,
traceback). The parent process drives several of these in turn, so that only one computes at a time.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .library import Job, Library
from .tasks import Task

_GPU_SAMPLE, _MOST_CALLS = 500e-6, 200  # seconds between two moments of a stream, which resolves half of one
_WAKE_SECONDS = 0.005  # untimed calls at the start of a slice: threads wake up, caches fill


class Server:
    """The methods a request can name."""

    def __init__(
        self, library: Library, threads: int, clock: Callable[[], float], timing: ModuleType
    ) -> None:
        self._library = library
        self._threads = threads
        self._clock = clock
        self._timing = timing
        self._jobs: dict[str, tuple[Task, Job, int]] = {}

    def version(self) -> str:
        return self._library.version()

    def roofs(self) -> tuple[float, float, str]:
        elsewhere = self._library.roofs(self._threads)
        if elsewhere is not None:
            return elsewhere
        roofs = self._timing.measured_roofs(self._threads, self._library.native)
        return roofs.gflops, roofs.gbytes, roofs.source

    def prepare(self, task: Task, setting: str) -> None:
        """Build the task in a setting, and warm it up."""
        with self._library.context(task):
            job = self._library.build(task, setting)
            for _ in range(job.warmups):
                job.run()
            calls = self._calls(job)
        self._jobs[setting] = (task, job, calls)

    def _calls(self, job: Job) -> int:
        if job.seconds is None:
            return int(self._timing.calls_per_sample(job.run))
        return max(1, min(_MOST_CALLS, round(_GPU_SAMPLE / max(job.seconds(1), 1e-9))))

    def sample(self, setting: str, indices: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Elements of the answer by flat index, or all of it."""
        task, job, _ = self._jobs[setting]
        with self._library.context(task):
            answer = job.answer().ravel()
        return answer if indices is None else answer[indices]

    def time(self, setting: str, seconds: float) -> list[float]:
        """Seconds per call of the prepared task, again and again for a while."""
        task, job, calls = self._jobs[setting]
        if job.seconds is not None:
            return self._time_on_gpu(job.seconds, seconds, calls)
        with self._library.context(task):
            self._timing.time_calls(job.run, min(_WAKE_SECONDS, seconds), least=1)
            samples: list[float] = self._timing.time_calls(
                job.run, seconds, calls, least=1, clock=self._clock
            )
        return samples

    def _time_on_gpu(self, sample: Callable[[int], float], seconds: float, calls: int) -> list[float]:
        sample(calls)
        end = time.perf_counter() + seconds
        samples = [sample(calls)]
        while time.perf_counter() < end:
            samples.append(sample(calls))
        return samples

    def release(self) -> None:
        self._jobs.clear()
        self._library.release()


def serve(server: Server, connection: Connection) -> None:
    """Answer requests until the other end closes."""
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send((True, getattr(server, method)(*arguments)))
        except Exception:
            connection.send((False, traceback.format_exc()))


def _timing_module(path: str) -> ModuleType:
    """`fastcnn.testing.timing` without fastcnn, whose kernels and threads stay out of a peer's process."""
    spec = importlib.util.spec_from_file_location("timing", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no Python module at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["timing"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    name, threads, clock, timing, descriptor = sys.argv[1:]
    module, _, device = name.partition("-")
    load = importlib.import_module(f".library_{module}", __package__).load
    library: Library = load(int(threads), device) if device == "cuda" else load(int(threads))
    server = Server(library, int(threads), getattr(time, clock), _timing_module(timing))
    serve(server, Connection(int(descriptor)))


if __name__ == "__main__":
    main()

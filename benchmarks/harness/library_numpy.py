# SPDX-License-Identifier: Apache-2.0
"""NumPy as a peer: matrix products through the OpenBLAS inside it, as a call and with `out=`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np

from .library import Job
from .tasks import GemmTask, Task


class NumpyLibrary:
    native = None

    def version(self) -> str:
        return f"NumPy {np.__version__}"

    def roofs(self, threads: int) -> None:
        return None

    def build(self, task: Task, setting: str) -> Job:
        if not isinstance(task, GemmTask):
            raise TypeError(f"NumPy has no fast kernel for {task.label}")
        a = task.a().T if task.transpose_a else task.a()
        b = task.b().T if task.transpose_b else task.b()
        out = np.empty((task.m, task.n), np.float32)
        if setting == "out":
            return Job(lambda: np.matmul(a, b, out=out), lambda: out)
        return Job(lambda: np.matmul(a, b), lambda: np.matmul(a, b))

    def context(self, task: Task) -> AbstractContextManager[None]:
        return nullcontext()

    def release(self) -> None:
        pass


def load(threads: int) -> NumpyLibrary:
    """OpenBLAS reads its thread count from the environment, so there is nothing left to set."""
    return NumpyLibrary()

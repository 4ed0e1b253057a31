# SPDX-License-Identifier: Apache-2.0
"""What a worker process asks of the library that it holds. One module per library implements `Library`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .tasks import Task

LOSSES = 10  # how many first losses of training are compared


@dataclass(frozen=True)
class Job:
    """A task made ready in one setting of a library.

    `run` is what is timed. `answer` gives the result as users of fastcnn would see it: channels last, kernels
    [R,S,C,K], of training the first losses. `seconds`, on a GPU, says what so many calls took there, each.
    """

    run: Callable[[], object]
    answer: Callable[[], NDArray[np.float32]]
    warmups: int = 10
    seconds: Callable[[int], float] | None = None


class Library(Protocol):
    """A library's side of the worker."""

    native: ModuleType | None  # with probes of the machine's roofs, if any

    def version(self) -> str:
        """Name and version for the report."""
        ...

    def roofs(self, threads: int) -> tuple[float, float, str] | None:
        """Of the device it works on, if that is not the processor."""
        ...

    def build(self, task: Task, setting: str) -> Job:
        """Allocate the inputs, in the layout of the setting, and bind the call."""
        ...

    def context(self, task: Task) -> AbstractContextManager[Any]:
        """Entered around warm-up and timing."""
        ...

    def release(self) -> None:
        """Forget what was built and compiled."""
        ...

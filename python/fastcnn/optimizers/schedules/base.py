# SPDX-License-Identifier: Apache-2.0
"""What all schedules share: rates of single steps, and of a run of them at once."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn._arguments import real
from fastcnn._config import Configurable
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Real = NDArray[np.float64]


class LearningRateSchedule(Configurable):
    """Base of all schedules: write ``__call__(step)``, which takes a number of steps and returns a rate.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> class Harmonic(optimizers.schedules.LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1)
    >>> optimizers.SGD(Harmonic()).learning_rate
    0.1
    """

    def __call__(self, step: Any) -> Any:
        """The rate of the update that follows ``step`` steps."""
        raise NotImplementedError(f"{type(self).__name__}: write __call__(self, step)")

    def rates(self, begin: int, count: int) -> Real:
        """Rates of the steps ``begin, begin + 1, ..., begin + count - 1``."""
        return np.array([float(self(step)) for step in range(begin, begin + count)], np.float64)


class Formula(LearningRateSchedule):
    """One that is computed for many steps at once."""

    name: str

    @abc.abstractmethod
    def _rates(self, step: Real) -> Real:
        """Of an array of steps."""

    def __call__(self, step: ArrayLike) -> Any:
        """A float, or for an array of steps one of rates."""
        steps = np.asarray(step, np.float64)
        rates = self._rates(np.atleast_1d(steps))
        return rates.reshape(steps.shape) if steps.ndim else float(rates[0])

    def rates(self, begin: int, count: int) -> Real:
        return self._rates(begin + np.arange(count, dtype=np.float64))

    def _where(self, argument: str) -> str:
        return f"{type(self).__name__}: {argument}"

    def _rate(self, value: object, argument: str) -> float:
        return real(value, self._where(argument), least=0)

    def _steps(self, value: object, argument: str) -> float:
        """Above 0; whole or not, as in Keras."""
        number = real(value, self._where(argument), least=0)
        if number == 0:
            raise ArgumentError(f"{self._where(argument)}: 0 came, wanted a number above 0")
        return number

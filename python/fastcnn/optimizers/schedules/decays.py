# SPDX-License-Identifier: Apache-2.0
"""Rates that fall by a power, a fraction, a polynomial or in stairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fastcnn._arguments import flag, listed, real
from fastcnn.errors import ArgumentError
from fastcnn.optimizers.schedules.base import Formula

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]


class ExponentialDecay(Formula):
    """``initial_learning_rate * decay_rate^(step / decay_steps)``; ``staircase`` rounds the exponent down.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.ExponentialDecay(1.0, decay_steps=10, decay_rate=0.25)(5)
    0.5
    """

    _fields = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = self._rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = self._steps(decay_steps, "decay_steps")
        self.decay_rate = real(decay_rate, self._where("decay_rate"), least=0)
        self.staircase = flag(staircase, self._where("staircase"))
        self.name = name

    def _rates(self, step: Real) -> Real:
        exponent = step / self.decay_steps
        rates: Real = self.initial_learning_rate * self.decay_rate ** (
            np.floor(exponent) if self.staircase else exponent
        )
        return rates


class InverseTimeDecay(Formula):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    ``staircase`` rounds ``step / decay_steps`` down.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.InverseTimeDecay(1.0, decay_steps=10, decay_rate=3.0)(10)
    0.25
    """

    _fields = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = self._rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = self._steps(decay_steps, "decay_steps")
        self.decay_rate = real(decay_rate, self._where("decay_rate"), least=0)
        self.staircase = flag(staircase, self._where("staircase"))
        self.name = name

    def _rates(self, step: Real) -> Real:
        periods = step / self.decay_steps
        return self.initial_learning_rate / (
            1.0 + self.decay_rate * (np.floor(periods) if self.staircase else periods)
        )


class PiecewiseConstantDecay(Formula):
    """``values[0]`` to step ``boundaries[0]`` and with it, ``values[1]`` to ``boundaries[1]``, and so on.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.PiecewiseConstantDecay([2, 4], [1.0, 0.5, 0.1])([0, 2, 3, 5]).tolist()
    [1.0, 1.0, 0.5, 0.1]
    """

    _fields = ("boundaries", "values", "name")

    def __init__(
        self, boundaries: Iterable[float], values: Iterable[float], name: str = "PiecewiseConstant"
    ) -> None:
        where = self._where("boundaries")
        self.boundaries = [real(each, where) for each in listed(boundaries, where, "numbers")]
        where = self._where("values")
        self.values = [real(each, where, least=0) for each in listed(values, where, "numbers")]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1:
            raise ArgumentError(
                f"{where}: {len(self.values)} came, wanted one more than {len(self.boundaries)} boundaries"
            )
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ArgumentError(
                f"{self._where('boundaries')}: {self.boundaries} came, wanted them to increase"
            )

    def _rates(self, step: Real) -> Real:
        return np.array(self.values)[np.searchsorted(self.boundaries, step, side="left")]


class PolynomialDecay(Formula):
    """From ``initial_learning_rate`` to ``end_learning_rate`` in ``decay_steps``.

    ``(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps)^power + end_learning_rate``, and
    ``end_learning_rate`` after; with ``cycle`` the steps are those of the first multiple of ``decay_steps``
    that is not below ``step``.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.PolynomialDecay(1.0, 100, end_learning_rate=0.0, power=2.0)(50)
    0.25
    """

    _fields = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = self._rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = self._steps(decay_steps, "decay_steps")
        self.end_learning_rate = self._rate(end_learning_rate, "end_learning_rate")
        self.power = real(power, self._where("power"), least=0)
        self.cycle = flag(cycle, self._where("cycle"))
        self.name = name

    def _rates(self, step: Real) -> Real:
        done = step / self.decay_steps
        share = done / np.maximum(1.0, np.ceil(done)) if self.cycle else np.minimum(1.0, done)
        left: Real = (1.0 - share) ** self.power
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate

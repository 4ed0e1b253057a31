# SPDX-License-Identifier: Apache-2.0
"""Learning rates that follow the number of steps made, ``step = 0, 1, ...``; Keras 3's, and OneCycle.

A schedule takes the place of the number in ``SGD(learning_rate=...)``. It is evaluated here for a run of
steps at once, in float64, so one of your own costs no native code.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn._arguments import choose, flag, integer, listed, real
from fastcnn._config import Configurable, deserialize, named
from fastcnn.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Real = NDArray[np.float64]

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "get",
]


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


class _Formula(LearningRateSchedule):
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


class ExponentialDecay(_Formula):
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


class InverseTimeDecay(_Formula):
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


class PiecewiseConstantDecay(_Formula):
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


class PolynomialDecay(_Formula):
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


class CosineDecay(_Formula):
    """Half a cosine from ``peak`` to ``alpha * peak`` (I. Loshchilov, F. Hutter, ICLR 2017), after a warm-up.

    The peak is ``initial_learning_rate``. Given a ``warmup_target``, the rate first goes in a line from
    ``initial_learning_rate`` to it in ``warmup_steps``, and it is the peak. Then, ``d`` steps later, ``peak *
    ((1 - alpha) * (1 + cos(pi d / decay_steps)) / 2 + alpha)``, and ``alpha * peak`` after ``decay_steps``.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4)([0, 2, 4, 14, 99]).tolist()
    [0.0, 0.5, 1.0, 0.0, 0.0]
    """

    _fields = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = self._rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = self._steps(decay_steps, "decay_steps")
        self.alpha = self._rate(alpha, "alpha")
        self.name = name
        self.warmup_target = None if warmup_target is None else self._rate(warmup_target, "warmup_target")
        self.warmup_steps = real(warmup_steps, self._where("warmup_steps"), least=0)

    def _rates(self, step: Real) -> Real:
        start, peak = self.initial_learning_rate, self.warmup_target
        warmup = 0.0 if peak is None else self.warmup_steps
        top = start if peak is None else peak
        done = np.clip((step - warmup) / self.decay_steps, 0.0, 1.0)
        decayed: Real = top * ((1.0 - self.alpha) * 0.5 * (1.0 + np.cos(np.pi * done)) + self.alpha)
        if warmup == 0:
            return decayed
        return np.where(step < warmup, start + (top - start) * (step / warmup), decayed)


class CosineDecayRestarts(_Formula):
    """Half cosines from the initial rate down, again and again (I. Loshchilov, F. Hutter, ICLR 2017).

    The first takes ``first_decay_steps``, each other ``t_mul`` times as long as the one before and begins at
    ``m_mul`` times its rate. At the share ``c`` of period ``i = 0, 1, ...`` the rate is
    ``initial_learning_rate * ((1 - alpha) * m_mul^i * (1 + cos(pi c)) / 2 + alpha)``.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.CosineDecayRestarts(1.0, 4, m_mul=0.5)([0, 2, 4, 8]).round(12).tolist()
    [1.0, 0.5, 0.5, 0.25]
    """

    _fields = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = self._rate(initial_learning_rate, "initial_learning_rate")
        self.first_decay_steps = self._steps(first_decay_steps, "first_decay_steps")
        self.t_mul = real(t_mul, self._where("t_mul"), least=1)
        self.m_mul = real(m_mul, self._where("m_mul"), least=0)
        self.alpha = self._rate(alpha, "alpha")
        self.name = name

    def _rates(self, step: Real) -> Real:
        done = step / self.first_decay_steps
        if self.t_mul == 1.0:
            period = np.floor(done)
            share = done - period
        else:
            period = np.floor(np.log1p(done * (self.t_mul - 1.0)) / np.log(self.t_mul))
            # The logarithm may round across the start of a period.
            period += self._start(period + 1.0) <= done
            period -= self._start(period) > done
            share = (done - self._start(period)) / self.t_mul**period
        cosine: Real = 0.5 * self.m_mul**period * (1.0 + np.cos(np.pi * share))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def _start(self, period: Real) -> Real:
        """Where a period begins, in lengths of the first."""
        start: Real = (self.t_mul**period - 1.0) / (self.t_mul - 1.0)
        return start


class OneCycle(_Formula):
    """Up to ``max_learning_rate`` and down to almost nothing (L. Smith, N. Topin, 2017), PyTorch's formula.

    From ``max_learning_rate / div_factor`` to ``max_learning_rate`` at step ``pct_start * total_steps - 1``,
    then to ``max_learning_rate / div_factor / final_div_factor`` at step ``total_steps - 1``; with
    ``three_phase`` back to where it began at step ``2 * pct_start * total_steps - 2`` first. Each way is
    half a cosine or a line. Steps after the last keep its rate.

    Parameters
    ----------
    max_learning_rate
        0 or more.
    total_steps
        1 or more.
    pct_start
        In [0, 1].
    anneal_strategy
        "cos" or "linear".
    div_factor, final_div_factor
        Above 0.
    three_phase
        See above.

    Examples
    --------
    >>> from fastcnn.optimizers import schedules
    >>> schedules.OneCycle(1.0, 101, pct_start=0.5, anneal_strategy="linear")([0, 49.5]).tolist()
    [0.04, 1.0]
    """

    _fields = (
        "max_learning_rate", "total_steps", "pct_start", "anneal_strategy", "div_factor", "final_div_factor",
        "three_phase", "name",
    )  # fmt: skip

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = self._rate(max_learning_rate, "max_learning_rate")
        self.total_steps = integer(total_steps, self._where("total_steps"), least=1)
        self.pct_start = real(pct_start, self._where("pct_start"), least=0)
        strategies = {"cos": "cos", "linear": "linear"}
        self.anneal_strategy = choose(anneal_strategy, strategies, self._where("anneal_strategy"))
        self.div_factor = self._steps(div_factor, "div_factor")
        self.final_div_factor = self._steps(final_div_factor, "final_div_factor")
        self.three_phase = flag(three_phase, self._where("three_phase"))
        self.name = name
        if self.pct_start > 1:
            raise ArgumentError(f"{self._where('pct_start')}: {pct_start} came, wanted 0 to 1")

    def _rates(self, step: Real) -> Real:
        first, top = self.max_learning_rate / self.div_factor, self.max_learning_rate
        up, last = self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        # (end, from, to) of each phase; a step belongs to the first that ends at it or later.
        phases = [(up, first, top)]
        if self.three_phase:
            phases.append((2.0 * self.pct_start * self.total_steps - 2.0, top, first))
        phases.append((last, phases[-1][2], first / self.final_div_factor))
        step = np.minimum(step, last)
        rates = np.empty_like(step)
        left = np.ones(step.shape, bool)
        begin = 0.0
        for number, (end, start, stop) in enumerate(phases):
            here = left & (step <= end) if number < len(phases) - 1 else left
            share = (step[here] - begin) / (end - begin) if end != begin else np.ones(int(here.sum()))
            if self.anneal_strategy == "cos":
                rates[here] = stop + (start - stop) / 2.0 * (1.0 + np.cos(np.pi * share))
            else:
                rates[here] = start + (stop - start) * share
            left &= ~here
            begin = end
        return rates


_CLASSES: dict[str, type[LearningRateSchedule]] = named(
    ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay,
    CosineDecayRestarts, OneCycle,
)  # fmt: skip


def get(schedule: object) -> LearningRateSchedule:
    """A schedule from its description or itself.

    Raises
    ------
    ArgumentError, DTypeError
        It is no schedule of this module.
    """
    if isinstance(schedule, LearningRateSchedule):
        return schedule
    if isinstance(schedule, Mapping):
        return deserialize(schedule, _CLASSES, "learning_rate")
    raise DTypeError(f"learning_rate: {schedule!r} came, wanted a number or a schedule")

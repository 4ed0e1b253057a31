# SPDX-License-Identifier: Apache-2.0
"""Rates along a cosine: down once, down again and again, up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastcnn._arguments import choose, flag, integer, real
from fastcnn.errors import ArgumentError
from fastcnn.optimizers.schedules.base import Formula

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]


class CosineDecay(Formula):
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


class CosineDecayRestarts(Formula):
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


class OneCycle(Formula):
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

# SPDX-License-Identifier: Apache-2.0
"""Schedules of the learning rate, against their formulas written anew for one step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fastcnn import ops, optimizers
from fastcnn.optimizers import schedules
from fastcnn.optimizers.schedules import LearningRateSchedule


def one_cycle(step: int, total: int = 20, three: bool = False) -> float:
    first, top, last = 1.0 / 25.0, 1.0, 1.0 / 25.0 / 1e4
    ends = [(0.3 * total - 1, first, top), (total - 1, top, last)]
    if three:
        ends = [ends[0], (0.6 * total - 2, top, first), (total - 1, first, last)]
    begin = 0.0
    for end, start, stop in ends:
        if step <= end:
            return stop + (start - stop) * (1 + math.cos(math.pi * (step - begin) / (end - begin))) / 2
        begin = end
    return last


def restarts(step: int, first: int, t_mul: float, m_mul: float) -> float:
    begin, length, period = 0.0, float(first), 0
    while step >= begin + length:
        begin, length, period = begin + length, length * t_mul, period + 1
    cosine = m_mul**period * (1 + math.cos(math.pi * (step - begin) / length)) / 2
    return 0.9 * cosine + 0.1


def polynomial(step: int, cycle: bool) -> float:
    steps = 7 * max(1, math.ceil(step / 7)) if cycle else 7
    return 0.75 * (1 - min(step, steps) / steps) ** 2 + 0.25


def cosine(step: int, warmup: int) -> float:
    if step < warmup:
        return 0.25 + 0.75 * step / warmup
    done = min(step - warmup, 10) / 10
    return 0.8 * (1 + math.cos(math.pi * done)) / 2 + 0.2


FORMULAS: list[tuple[LearningRateSchedule, Callable[[int], float]]] = [
    (schedules.ExponentialDecay(0.5, 6, 0.3), lambda s: 0.5 * 0.3 ** (s / 6)),
    (schedules.ExponentialDecay(0.5, 6, 0.3, staircase=True), lambda s: 0.5 * 0.3 ** (s // 6)),
    (schedules.InverseTimeDecay(0.5, 6, 0.3), lambda s: 0.5 / (1 + 0.3 * s / 6)),
    (schedules.InverseTimeDecay(0.5, 6, 0.3, staircase=True), lambda s: 0.5 / (1 + 0.3 * (s // 6))),
    (
        schedules.PiecewiseConstantDecay([3, 9], [0.5, 0.25, 0.1]),
        lambda s: 0.5 if s <= 3 else 0.25 if s <= 9 else 0.1,
    ),
    (schedules.PolynomialDecay(1.0, 7, 0.25, power=2.0), lambda s: polynomial(s, False)),
    (schedules.PolynomialDecay(1.0, 7, 0.25, power=2.0, cycle=True), lambda s: polynomial(s, True)),
    (schedules.CosineDecay(1.0, 10, alpha=0.2), lambda s: cosine(s, 0)),
    (schedules.CosineDecay(0.25, 10, 0.2, warmup_target=1.0, warmup_steps=5), lambda s: cosine(s, 5)),
    (schedules.CosineDecayRestarts(1.0, 3, m_mul=0.5, alpha=0.1), lambda s: restarts(s, 3, 2.0, 0.5)),
    (schedules.CosineDecayRestarts(1.0, 4, 1.0, 0.5, 0.1), lambda s: restarts(s, 4, 1.0, 0.5)),
    (schedules.CosineDecayRestarts(1.0, 1, 3.0, 1.0, 0.1), lambda s: restarts(s, 1, 3.0, 1.0)),
    (schedules.OneCycle(1.0, 20), one_cycle),
    (schedules.OneCycle(1.0, 20, three_phase=True), lambda s: one_cycle(s, three=True)),
]


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS, ids=[type(s).__name__ for s, _ in FORMULAS])
def test_schedule_is_its_formula(schedule: LearningRateSchedule, formula: Callable[[int], float]) -> None:
    steps = range(60)
    wanted = np.array([formula(step) for step in steps])
    got = schedule.rates(0, 60)
    # A few roundings of each of the numbers in it, all of which are at most 1.
    assert np.abs(got - wanted).max() <= 64 * 2.0**-53
    assert got.tolist() == schedule(np.arange(60)).tolist() == [schedule(step) for step in steps]
    assert schedule.rates(17, 5).tolist() == got[17:22].tolist()
    assert np.isfinite(schedule.rates(10**15, 3)).all()
    again = schedules.get({"class_name": type(schedule).__name__, "config": schedule.get_config()})
    assert again.rates(0, 60).tolist() == got.tolist()


def test_a_schedule_of_ones_own_is_written_with_ops() -> None:
    class Warm(LearningRateSchedule):
        def __call__(self, step: int) -> float:
            share = ops.minimum(ops.cast(step, "float32") / 4.0, 1.0)
            rate: float = ops.multiply(0.5, share) + ops.subtract(ops.maximum(step, 3), ops.add(step, 3))
            return rate

    adam = optimizers.SGD(Warm())
    assert isinstance(adam.learning_rate, float)
    assert [float(Warm()(step)) for step in (0, 2, 4, 9)] == [0.0, 0.25 - 2.0, 0.5 - 3.0, 0.5 - 3.0]


def test_a_base_schedule_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="write __call__"):
        _ = optimizers.SGD(LearningRateSchedule()).learning_rate

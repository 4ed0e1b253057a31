# SPDX-License-Identifier: Apache-2.0
"""Learning rates that follow the number of steps made, ``step = 0, 1, ...``; Keras 3's, and OneCycle.

A schedule takes the place of the number in ``SGD(learning_rate=...)``. It is evaluated here for a run of
steps at once, in float64, so one of your own costs no native code.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastcnn._config import deserialize as _deserialize
from fastcnn._config import named, reading, serialize
from fastcnn.errors import DTypeError
from fastcnn.optimizers.schedules.base import LearningRateSchedule
from fastcnn.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts, OneCycle
from fastcnn.optimizers.schedules.decays import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "get",
    "serialize",
]

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
        return _deserialize(schedule, _CLASSES, "learning_rate")
    raise DTypeError(f"learning_rate: {schedule!r} came, wanted a number or a schedule")


deserialize = reading(get)

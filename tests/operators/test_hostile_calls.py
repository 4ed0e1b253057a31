# SPDX-License-Identifier: Apache-2.0
"""Hostile calls of operators at random return or raise: nothing ends the process."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_bad_input import CONVOLUTIONS, HUGE, POOLS, endless, good, ones

from fastcnn import ops
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError

# Numbers are small or absurd; between the two lies what a machine could really try to allocate.
NUMBERS: list[Any] = [
    0,
    1,
    2,
    3,
    -1,
    2**31,
    2**31 - 1,
    2**32,
    2**62,
    HUGE,
    -(2**63),
    1.5,
    float("nan"),
    True,
    None,
    "1",
]
ARRAYS: list[Callable[[], Any]] = [
    lambda: ones(1, 1, 1, 1),
    lambda: ones(2, 5, 6, 4)[:, ::-1],
    lambda: ones(4, 4),
    lambda: ones(7),
    lambda: ones(2, 0, 3, 4),
    lambda: np.float32(3),
    lambda: ones(1, 2, 3, 4).astype("f8"),
    lambda: endless(2**30, 2**20, 3, 3),
    lambda: endless(2**50, 1),
    lambda: None,
    lambda: [1.0],
    lambda: ones(2, 3, 4, 6).T,
]


def hostile(op: str, dice: random.Random) -> dict[str, Any]:
    arguments = good(op)
    if op in (*CONVOLUTIONS, *POOLS):
        arguments |= {"strides": 1, "padding": "valid", "data_format": "channels_last"}
    if op in CONVOLUTIONS:
        arguments |= {"dilation_rate": 1, "groups": 1}
    for name in dice.sample(sorted(arguments), dice.randint(1, min(3, len(arguments)))):
        if isinstance(arguments[name], np.ndarray):
            arguments[name] = dice.choice(ARRAYS)()
        elif dice.random() < 0.5:
            arguments[name] = dice.choice(NUMBERS)
        else:
            arguments[name] = tuple(dice.choice(NUMBERS) for _ in range(dice.choice((0, 1, 2, 2, 2, 4))))
    return arguments


@pytest.mark.parametrize("op", ops.__all__)
def test_hostile_calls_return_or_raise(op: str) -> None:
    dice = random.Random(op)
    messages = []
    for _ in range(300):
        arguments = hostile(op, dice)
        try:
            y = getattr(ops, op)(**arguments)
        except (ShapeError, ArgumentError, DTypeError, OutOfMemoryError) as error:
            messages.append(str(error))
        else:
            assert (y[0] if isinstance(y, tuple) else y).dtype == np.float32
    assert len(messages) > 100, "these calls are not hostile"
    assert [text for text in messages if not text.startswith(f"{op}: ")] == []

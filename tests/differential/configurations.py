# SPDX-License-Identifier: Apache-2.0
"""Random configurations of the operators, a third of them spoiled on purpose.

A configuration follows from its number alone, so the number of a failing test is its reproducer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from fastcnn.testing.cases import ConvCase, GemmCase, PoolCase, RowsCase

COUNT = 2000
SPOILED = 0.35

EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)


@dataclass(frozen=True)
class Configuration:
    """One call: `kind` names it, `spoiled` says what is wrong with it, if anything is."""

    kind: str
    case: ConvCase | PoolCase | GemmCase | RowsCase
    spoiled: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.case} {self.spoiled}".strip()


def configuration(number: int) -> Configuration:
    dice = random.Random(number)
    kinds: dict[str, Callable[[random.Random], ConvCase | PoolCase | GemmCase | RowsCase]] = {
        "conv2d": _convolution,
        "conv2d_dgrad": _convolution,
        "conv2d_wgrad": _convolution,
        "max_pool2d": _pool,
        "average_pool2d": _pool,
        "sum_pool2d": _pool,
        "gemm": _gemm,
        "crossentropy": _rows,
        "mean_squared_error": _rows,
    }
    kind = dice.choices(list(kinds), weights=(5, 5, 5, 3, 2, 1, 3, 1, 1))[0]
    sound = Configuration(kind, kinds[kind](dice))
    return _spoil(sound, dice) if dice.random() < SPOILED else sound


def _convolution(dice: random.Random) -> ConvCase:
    """A valid one; the kernel reaches the size of the padded input now and then."""
    c, k = dice.choice(EDGES), dice.choice(EDGES)
    groups = dice.choice((1, 1, math.gcd(c, k), c))
    if groups == c:
        k = c * dice.choice((1, 1, 2))
    r, s = dice.randint(1, 5), dice.randint(1, 5)
    dilation = (dice.choice((1, 1, 2, 3)), dice.choice((1, 1, 2, 3)))
    padding = dice.choice(
        ("valid", "same", dice.randint(0, 3), (dice.randint(0, 3), dice.randint(0, 3)),
         ((dice.randint(0, 3), dice.randint(0, 3)), (dice.randint(0, 3), dice.randint(0, 3))))
    )  # fmt: skip
    extent = (dilation[0] * (r - 1) + 1, dilation[1] * (s - 1) + 1)
    h, w = (size + dice.choice((0, 0, 1, dice.randint(0, 14))) for size in extent)
    strides = (dice.choice((1, 1, 2, 3, 4)), dice.choice((1, 1, 2, 3, 4)))
    return ConvCase(dice.choice((1, 2, 3, 7)), h, w, c, k, r, s, strides, padding, dilation, groups)


def _pool(dice: random.Random) -> PoolCase:
    """A valid one; PyTorch pads by half a window at most."""
    window = (dice.randint(1, 5), dice.randint(1, 5))
    padding = (dice.randint(0, window[0] // 2), dice.randint(0, window[1] // 2))
    h, w = (size + dice.choice((0, 1, dice.randint(0, 14))) for size in window)
    strides = dice.choice((None, (dice.randint(1, 5), dice.randint(1, 5))))
    ceil_mode = dice.random() < 0.5
    return PoolCase(dice.choice((1, 2, 3)), h, w, dice.choice(EDGES), window, strides, padding, ceil_mode)


def _gemm(dice: random.Random) -> GemmCase:
    m, n, k = (dice.choice((*EDGES, 100, 257)) for _ in range(3))
    return GemmCase(m, n, k, dice.random() < 0.5, dice.random() < 0.5)


def _rows(dice: random.Random) -> RowsCase:
    return RowsCase(dice.choice((1, 2, 3, 16, 33)), dice.choice(EDGES))


def _spoil(sound: Configuration, dice: random.Random) -> Configuration:
    case = sound.case
    if isinstance(case, ConvCase):
        # PyTorch knows "same" without strides alone.
        case = replace(case, padding="valid") if case.padding == "same" else case
        ways: dict[str, ConvCase | PoolCase | GemmCase] = {
            "stride 0": replace(case, strides=(case.strides[0], 0)),
            "stride negative": replace(case, strides=(-1, case.strides[1])),
            "dilation 0": replace(case, dilation_rate=(0, 1)),
            "dilation negative": replace(case, dilation_rate=(1, -2)),
            "padding negative": replace(case, padding=(-1, 0)),
            "groups 0": replace(case, groups=0),
            "groups not dividing": replace(case, c=7, k=9, groups=2),
            "window too large": replace(case, padding="valid", h=2, r=3, dilation_rate=(2, 1)),
            "no channels": replace(case, c=0, groups=1),
        }
    elif isinstance(case, PoolCase):
        ways = {
            "stride 0": replace(case, strides=(0, 1)),
            "stride negative": replace(case, strides=(1, -1)),
            "window 0": replace(case, pool_size=(0, 1), padding=0),
            "padding negative": replace(case, padding=(-1, 0)),
            "padding as large as the window": replace(case, padding=case.pool_size),
            # PyTorch takes one such window with ceil_mode, clipped.
            "window too large": replace(case, pool_size=(case.h + 1, 1), padding=0, ceil_mode=False),
        }
    elif isinstance(case, GemmCase):
        ways = {"inner sizes differ": case, "bias too long": case, "vector for a matrix": case}
    else:
        return replace(sound, spoiled=dice.choice(("batch differs", "classes differ")))
    spoiled = dice.choice(list(ways))
    return Configuration(sound.kind, ways[spoiled], spoiled)

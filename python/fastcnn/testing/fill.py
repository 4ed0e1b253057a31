# SPDX-License-Identifier: Apache-2.0
"""Arrays to compute with: whole numbers whose sums are exact in float32, and reals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

EXACT = 2**24  # float32 holds every whole number up to here


def integers(rng: np.random.Generator, shape: tuple[int, ...], terms: int = 1) -> F32:
    """Whole numbers in [-m, m], zero left out, as float32.

    m (at most 8) is so small that a sum of `terms` products of two such numbers is exact in float32 in any
    order.
    """
    largest = min(8, math.isqrt(EXACT // terms))
    if largest < 1:
        raise ValueError(f"a sum of {terms} products cannot be exact in float32")
    magnitude = rng.integers(1, largest, shape, endpoint=True)
    values: F32 = (magnitude * rng.choice((-1, 1), shape)).astype(np.float32)
    return values


def reals(rng: np.random.Generator, shape: tuple[int, ...]) -> F32:
    """Normal deviates, as float32."""
    return rng.standard_normal(shape).astype(np.float32)


def bfloat16(x: F32) -> F32:
    """The nearest bfloat16 of each number, ties to even; those below the least normal one become zeros."""
    bits = x.view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    values = nearest.astype(np.uint32).view(np.float32)
    return np.where(np.abs(x) < 2.0**-126, np.copysign(np.float32(0), x), values).astype(np.float32)


def poisoned(shape: tuple[int, ...]) -> F32:
    """NaN everywhere: what a kernel leaves unwritten shows."""
    return np.full(shape, np.nan, np.float32)

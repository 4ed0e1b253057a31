# SPDX-License-Identifier: Apache-2.0
"""What bfloat16 makes of numbers, for tests of plans that multiply in it or store in it."""

from __future__ import annotations

import numpy as np
from plan_networks import Node
from plan_reference import Array
from test_reals import Bounded

from fastcnn.testing.fill import F32


def signs(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> F32:
    """Some +-1, else zeros."""
    return (rng.choice((-1.0, 1.0), shape) * (rng.random(shape) < share)).astype(np.float32)


def nearest(x: Array) -> Array:
    """The nearest bfloat16, ties to even, of numbers that it has."""
    fraction, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(fraction, 8)), exponent - 8)


def rounded(x: Array, error: Array) -> tuple[Array, Array]:
    """What stands in place of x, and how far off it is: not at all, or by steps of bfloat16."""
    value = nearest(x)
    return value, np.maximum(np.abs(nearest(x + error) - value), np.abs(nearest(x - error) - value))


class RoundedKernels(Bounded):
    """The reference with each kernel rounded, its bounds those of float32 sums."""

    def __init__(self, nodes: list[Node], weights: list[Array]) -> None:
        super().__init__(nodes, weights)
        self.kernels = {i: (nearest(w.astype(np.float64)), bias) for i, (w, bias) in self.kernels.items()}

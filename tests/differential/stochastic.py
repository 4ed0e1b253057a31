# SPDX-License-Identifier: Apache-2.0
"""What rounding may do to a result, measured on PyTorch's side by stochastic arithmetic.

D. S. Parker, Monte Carlo arithmetic, 1997: each value of a float64 computation is disturbed by the relative
error that a float32 kernel with as many terms may make, forward and, through the same factors, backward. What
that does to the results, at worst over some samples, is what rounding may do to ours, up to a factor for the
samples not drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fastcnn.testing.compare import UNIT

SAMPLES = 16
# A normal variable passes the largest of 16 absolute samples more than fourfold once in 10^10 draws.
UNSEEN = 4.0


def generators() -> list[Any]:
    return [torch.Generator().manual_seed(seed) for seed in range(SAMPLES)]


def relative_error(terms: int) -> float:
    """Of a sum of as many terms, (4 + 6 sqrt(terms)) u; of what else there is, a few roundings."""
    return float(4 + 6 * np.sqrt(terms)) * UNIT


def disturbed(value: Any, terms: int, noise: Any) -> Any:
    """A tensor, each element disturbed by at most that; as it is without noise."""
    if noise is None:
        return value
    uniform = 2 * torch.rand(value.shape, generator=noise, dtype=torch.float64) - 1
    return value * (1 + relative_error(terms) * uniform)


def bound(wanted: Any, drawn: list[Any]) -> Any:
    """How far a float32 result may lie from `wanted`, of which `drawn` are disturbed samples."""
    moved = max((np.abs(each - wanted).max() for each in drawn if each.size), default=0.0)
    return UNSEEN * moved + 2 * UNIT * np.abs(wanted)

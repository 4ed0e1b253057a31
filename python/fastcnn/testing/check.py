# SPDX-License-Identifier: Apache-2.0
"""The two questions asked of every kernel: is it exact on whole numbers, is it within its bound on reals?

The output array is handed in full of NaN, so an element that is never written is found.
"""

from __future__ import annotations

import numpy as np

from fastcnn.testing.calls import Arrays, Call
from fastcnn.testing.compare import assert_exact, assert_within
from fastcnn.testing.fill import F32, poisoned, reals


def run_poisoned(call: Call, arrays: Arrays) -> F32:
    """Make the call into an array of NaN, which must be what it returns."""
    out = poisoned(call.out_shape)
    y = call.run(arrays, out)
    assert y is out, f"{call}: out= was not returned"
    return y


def check_exact(call: Call, rng: np.random.Generator) -> None:
    """Whole numbers in: not one bit may differ from the reference."""
    arrays = call.integers(rng)
    assert_exact(run_poisoned(call, arrays), call.reference(arrays), str(call))


def check_bound(call: Call, rng: np.random.Generator) -> None:
    """Reals in: no element may err by more than its bound."""
    arrays = call.reals(rng)
    wanted = call.reference(arrays)
    assert_within(run_poisoned(call, arrays), wanted, call.bound(arrays, wanted), str(call))


def check_far_from_zero(call: Call, rng: np.random.Generator) -> None:
    """Keep the bound of data about zero, nearly, for x of deviation 1 about 1e4."""
    arrays = call.reals(rng)
    arrays["x"] = reals(rng, call.shapes["x"])
    near = call.bound(arrays, call.reference(arrays))
    arrays["x"] += np.float32(1e4)
    wanted = call.reference(arrays)
    bound = call.bound(arrays, wanted)
    assert bound.max() <= 2.0 * near.max(), f"{call}: the bound grows with the mean"
    assert_within(run_poisoned(call, arrays), wanted, bound, str(call))

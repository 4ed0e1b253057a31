# SPDX-License-Identifier: Apache-2.0
"""Products of two arrays and the gradients."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import merge_calls

CALLS = [
    call for case in cases.MERGE for call in merge_calls(case) if call.op in ("multiply", "multiply_bwd")
]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_special_values() -> None:
    y = ops.multiply(np.float32([np.inf, np.inf, np.nan, -1]), np.float32([-2, 0, 0, 0]))
    assert np.array_equal(y, np.float32([-np.inf, np.nan, np.nan, 0]), equal_nan=True)
    assert np.signbit(y[3])


def test_gradient_is_adjoint(rng: np.random.Generator) -> None:
    """For a fixed x, y = x s is linear in s."""
    x, s, dy = (rng.integers(-4, 5, n).astype(np.float32) for n in ((3, 6, 7, 9), (3, 1, 1, 9), (3, 6, 7, 9)))
    y, ds = ops.multiply(x, s), ops.multiply_bwd(dy, x, s.shape)
    assert np.vdot(y.astype(np.float64), dy) == np.vdot(s.astype(np.float64), ds) != 0

# SPDX-License-Identifier: Apache-2.0
"""Differences of two arrays and the gradients."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import merge_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [
    call for case in cases.MERGE for call in merge_calls(case) if call.op in ("subtract", "subtract_bwd")
]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_special_values() -> None:
    y = ops.subtract(np.float32([np.inf, np.inf, 1]), np.float32([1, np.inf, np.nan]))
    assert np.array_equal(y, np.float32([np.inf, np.nan, np.nan]), equal_nan=True)


def test_the_second_gradient_is_minus_the_first(rng: np.random.Generator) -> None:
    dy = reals(rng, (3, 5, 4))
    assert_same_bits(ops.subtract_bwd(dy, (5, 1), 1), -ops.subtract_bwd(dy, (5, 1), 0), "x2")

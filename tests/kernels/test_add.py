# SPDX-License-Identifier: Apache-2.0
"""Sums of two arrays and the gradient."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import merge_calls

CALLS = [call for case in cases.MERGE for call in merge_calls(case) if call.op in ("add", "add_bwd")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_special_values() -> None:
    x1, x2 = np.float32([np.inf, np.inf, np.nan, -0.0]), np.float32([1, -np.inf, 1, -0.0])
    y = ops.add(x1, x2)
    assert np.array_equal(y, np.float32([np.inf, np.nan, np.nan, -0.0]), equal_nan=True)
    assert np.signbit(y[3])

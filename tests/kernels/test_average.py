# SPDX-License-Identifier: Apache-2.0
"""Averages of two arrays and the gradient."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import merge_calls

CALLS = [call for case in cases.MERGE for call in merge_calls(case) if call.op in ("average", "average_bwd")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_special_values() -> None:
    y = ops.average(np.float32([np.inf, np.inf, np.nan]), np.float32([1, -np.inf, 1]))
    assert np.array_equal(y, np.float32([np.inf, np.nan, np.nan]), equal_nan=True)

# SPDX-License-Identifier: Apache-2.0
"""The smaller of two arrays and the gradients."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import merge_calls

CALLS = [call for case in cases.MERGE for call in merge_calls(case) if call.op in ("minimum", "minimum_bwd")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_nan_wins_and_ties_go_to_the_first() -> None:
    x1 = np.float32([1, np.nan, 1, np.nan, 2, -np.inf])
    x2 = np.float32([np.nan, 1, 1, np.nan, 1, np.inf])
    y = ops.minimum(x1, x2)
    assert np.array_equal(y, np.float32([np.nan, np.nan, 1, np.nan, 1, -np.inf]), equal_nan=True)
    dy = np.arange(1, 7, dtype=np.float32)
    assert ops.minimum_bwd(dy, x1, x2, 0).tolist() == [0, 2, 3, 4, 0, 6]
    assert ops.minimum_bwd(dy, x1, x2, 1).tolist() == [1, 0, 0, 0, 5, 0]

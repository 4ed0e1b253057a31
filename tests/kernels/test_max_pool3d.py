# SPDX-License-Identifier: Apache-2.0
"""Max pooling of volumes and its gradient."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests, pool_channels_first_test

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import pool_nd_calls
from fastcnn.testing.compare import assert_same_bits

CASES = [case for case in (*cases.POOL_ND, *cases.POOL_ND_PARALLEL) if case.axes == 3]
CALLS = [call for case in CASES for call in pool_nd_calls(case) if call.op.startswith("max_")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)
test_channels_first = pool_channels_first_test("max_pool3d", (2, 5, 7, 6, 3))


def test_ties_go_to_the_first_in_row_major_order() -> None:
    x = np.zeros((1, 4, 4, 4, 5), np.float32)
    x[0, 1, 0, 1] = x[0, 0, 1, 1] = 3.0
    dx = ops.max_pool3d_bwd(np.ones((1, 2, 2, 2, 5), np.float32), x, 2)
    wanted = np.zeros_like(x)
    wanted[:, ::2, ::2, ::2] = 1.0
    wanted[0, 0, 0, 0] = 0.0
    wanted[0, 0, 1, 1] = 1.0
    assert_same_bits(dx, wanted, "max_pool3d_bwd")


def test_nan_wins_and_the_first_of_them() -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
    x[0, 1, 0, 1] = x[0, 1, 1, 0] = np.nan
    assert np.isnan(ops.max_pool3d(x, 2)).all()
    dx = ops.max_pool3d_bwd(np.ones((1, 1, 1, 1, 1), np.float32), x, 2)
    assert np.argwhere(dx).tolist() == [[0, 1, 0, 1, 0]]

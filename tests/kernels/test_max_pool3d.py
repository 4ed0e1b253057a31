# SPDX-License-Identifier: Apache-2.0
"""Max pooling of volumes and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, pool_nd_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = [case for case in (*cases.POOL_ND, *cases.POOL_ND_PARALLEL) if case.axes == 3]
CALLS = [call for case in CASES for call in pool_nd_calls(case) if call.op.startswith("max_")]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_channels_first(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (2, 5, 7, 6, 3)), reals(rng, (2, 3, 4, 3, 3))
    first, dy_first = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, dy))
    y = ops.max_pool3d(first, 3, 2, "same", data_format="channels_first")
    assert_same_bits(y, np.moveaxis(ops.max_pool3d(x, 3, 2, "same"), -1, 1), "max_pool3d")
    dx = ops.max_pool3d_bwd(dy_first, first, 3, 2, "same", data_format="channels_first")
    wanted = ops.max_pool3d_bwd(dy, x, 3, 2, "same")
    assert_same_bits(dx, np.moveaxis(wanted, -1, 1), "max_pool3d_bwd")


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

# SPDX-License-Identifier: Apache-2.0
"""Average pooling of volumes and its gradient."""

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
CALLS = [call for case in CASES for call in pool_nd_calls(case) if call.op.startswith("average_")]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_channels_first(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (2, 5, 7, 6, 3)), reals(rng, (2, 3, 4, 3, 3))
    first, dy_first = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, dy))
    y = ops.average_pool3d(first, 3, 2, "same", data_format="channels_first")
    assert_same_bits(y, np.moveaxis(ops.average_pool3d(x, 3, 2, "same"), -1, 1), "average_pool3d")
    dx = ops.average_pool3d_bwd(dy_first, first.shape, 3, 2, "same", data_format="channels_first")
    wanted = ops.average_pool3d_bwd(dy, x.shape, 3, 2, "same")
    assert_same_bits(dx, np.moveaxis(wanted, -1, 1), "average_pool3d_bwd")

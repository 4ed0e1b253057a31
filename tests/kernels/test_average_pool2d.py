# SPDX-License-Identifier: Apache-2.0
"""Average pooling and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests, pool_channels_first_test

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, pool_calls
from fastcnn.testing.check import check_bound

OP = "average_pool2d"
CASES = (*cases.POOL, *cases.POOL_PADDED, *cases.POOL_WIDE, *cases.POOL_PARALLEL)
CALLS = [call for case in CASES for call in pool_calls(case) if call.op.startswith(OP)]
LARGE = [call for case in cases.POOL_FULL for call in pool_calls(case) if call.op.startswith(OP)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.full
@pytest.mark.parametrize("call", LARGE, ids=str)
def test_reals_within_bound_large(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_padding_does_not_count() -> None:
    x = np.full((1, 5, 5, 3), 7.0, np.float32)
    assert (ops.average_pool2d(x, 2, padding="same") == 7.0).all()
    assert (ops.average_pool2d(x, 4, 2, padding=1) == 7.0).all()


def test_padding_counts_if_asked() -> None:
    x = np.full((1, 4, 4, 3), 4.0, np.float32)
    y = ops.average_pool2d(x, 2, padding=1, count_include_pad=True)
    assert y[0, :, :, 1].tolist() == [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]


def test_gradient_is_adjoint(rng: np.random.Generator) -> None:
    case = cases.PoolCase(2, 9, 8, 17, pool_size=(2, 4), strides=(1, 3))
    x, dy = (rng.integers(-4, 5, shape).astype(np.float32) for shape in (case.x_shape, case.y_shape))
    y = ops.average_pool2d(x, **case.options)
    dx = ops.average_pool2d_bwd(dy, case.x_shape, **case.options)
    assert np.vdot(y.astype(np.float64), dy) == np.vdot(x.astype(np.float64), dx) != 0


test_channels_first = pool_channels_first_test("average_pool2d", (2, 7, 9, 5))


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 16])
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 0), (2, 1)])
def test_infinities_stay_in_their_windows(channels: int, stride: int, padding: int) -> None:
    x = np.ones((2, 12, 13, channels), np.float32)
    x[1, 6, 6] = np.inf
    y = ops.average_pool2d(x, 3, stride, padding=padding)
    held = np.zeros(x.shape, np.float32)
    held[1, 6, 6] = 1
    inside = ops.max_pool2d(held, 3, stride, padding=padding) == 1
    assert (y[inside] == np.inf).all()
    assert (y[~inside] == 1).all()

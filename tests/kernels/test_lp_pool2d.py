# SPDX-License-Identifier: Apache-2.0
"""Lp pooling and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, lp_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [call for case in (*cases.LP_POOL, *cases.LP_POOL_PARALLEL) for call in lp_calls(case)]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    """With p = 1 nothing but additions of whole numbers."""
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def image(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 2, 2, 1)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 7.5])
def test_the_gradient_of_nothing_is_zero(p: float) -> None:
    x = np.zeros((1, 4, 4, 19), np.float32)
    y = ops.lp_pool2d(x, 2, p=p)
    assert not y.any()
    dx = ops.lp_pool2d_bwd(np.ones_like(y), x, y, 2, p=p)
    assert_same_bits(dx, x, "lp_pool2d_bwd")


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_nan_and_infinity(p: float) -> None:
    assert np.isnan(ops.lp_pool2d(image(1, np.nan, 2, 3), 2, p=p)).all()
    assert ops.lp_pool2d(image(1, -np.inf, 2, 3), 2, p=p).item() == np.inf
    x = image(1, np.nan, 2, 3)
    dx = ops.lp_pool2d_bwd(np.ones((1, 1, 1, 1), np.float32), x, ops.lp_pool2d(x, 2, p=p), 2, p=p)
    assert np.isnan(dx[0, 0, 1]).all()


def test_large_powers_do_not_overflow() -> None:
    x = image(1e30, -1e30, 1e20, 0)
    y = ops.lp_pool2d(x, 2, p=1000.0)
    assert 1e30 <= y.item() <= 1.001e30
    dx = ops.lp_pool2d_bwd(np.ones_like(y), x, y, 2, p=1000.0)
    assert np.isfinite(dx).all()
    assert np.sign(dx).ravel().tolist() == [1.0, -1.0, 0.0, 0.0]


@pytest.mark.parametrize("p", [3.0, 4.0])
@pytest.mark.parametrize("scale", [3e-45, 1e-40, 1e-30, 1.0, 1e30, 1.5e38])
def test_whole_powers_of_any_size(p: float, scale: float) -> None:
    x = image(1, -0.5, 2, 0) * np.float32(scale)
    wanted = (np.abs(x.astype(np.float64)) ** p).sum() ** (1 / p)
    got = ops.lp_pool2d(x, 2, p=p).item()
    assert abs(got - wanted) <= 1e-6 * wanted + 1.5e-45
    assert np.isnan(ops.lp_pool2d(image(np.nan, 0, 0, 0), 2, p=p)).all()


def test_channels_first(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (2, 7, 9, 5)), reals(rng, (2, 4, 5, 5))
    y = ops.lp_pool2d(x, 3, 2, "same")
    first, dy_first, y_first = (np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (x, dy, y))
    got = ops.lp_pool2d(first, 3, 2, "same", data_format="channels_first")
    assert_same_bits(got, y_first, "lp_pool2d")
    dx = ops.lp_pool2d_bwd(dy_first, first, y_first, 3, 2, "same", data_format="channels_first")
    wanted = ops.lp_pool2d_bwd(dy, x, y, 3, 2, "same")
    assert_same_bits(dx, wanted.transpose(0, 3, 1, 2), "lp_pool2d_bwd")

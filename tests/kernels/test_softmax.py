# SPDX-License-Identifier: Apache-2.0
"""Softmax, its logarithm, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, softmax_calls
from fastcnn.testing.check import check_bound
from fastcnn.testing.compare import assert_same_bits, gamma

CALLS = [call for case in cases.ROWS for call in softmax_calls(case)]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("cols", [1, 2, 10, 17, 1000])
def test_rows_sum_to_one(cols: int, rng: np.random.Generator) -> None:
    y = ops.softmax((rng.standard_normal((50, cols)) * 20.0).astype(np.float32))
    assert np.abs(y.sum(axis=-1, dtype=np.float64) - 1.0).max() <= gamma(cols + 4)


def test_large_logits_do_not_overflow() -> None:
    x = np.array([[1e4, -1e4, 1e4], [3e38, 3e38, -3e38], [-1e30, -1e30, -1e30]], np.float32)
    third = np.float32(1) / np.float32(3)
    wanted = [[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [third, third, third]]
    assert np.abs(ops.softmax(x) - wanted).max() <= gamma(3)


def test_nan_spoils_its_row_alone() -> None:
    x = np.zeros((3, 17), np.float32)
    x[1, 5] = np.nan
    y = ops.softmax(x)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


def test_last_axis_of_any_rank(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert_same_bits(ops.softmax(x), ops.softmax(x.reshape(24, 5)).reshape(x.shape), "softmax")


@pytest.mark.parametrize("cols", [1, 2, 10, 17, 1000])
def test_logarithm_agrees_with_softmax(cols: int, rng: np.random.Generator) -> None:
    x = (rng.standard_normal((50, cols)) * 20.0).astype(np.float32)
    total = np.exp(ops.log_softmax(x).astype(np.float64)).sum(axis=-1)
    distance = float(np.ptp(x, axis=-1).max())
    assert np.abs(total - 1.0).max() <= gamma(2 * distance + cols + 8)


def test_logarithm_at_the_ends() -> None:
    x = np.array([[3e38, 3e38], [0.0, -np.inf], [np.nan, 0.0]], np.float32)
    y = ops.log_softmax(x)
    assert np.abs(y[0] + np.log(2.0)).max() <= gamma(2)
    assert y[1].tolist() == [0.0, -np.inf]
    assert np.isnan(y[2]).all()
    # The gradient where a probability is 0 is that of dy alone.
    assert ops.log_softmax_bwd(np.array([[1, 2]], np.float32), y[1:2]).tolist() == [[-2.0, 2.0]]

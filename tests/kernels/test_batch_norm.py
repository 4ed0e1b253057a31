# SPDX-License-Identifier: Apache-2.0
"""Batch norm in training, in inference and frozen, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import channel_norm_calls
from fastcnn.testing.case import NormCase
from fastcnn.testing.check import check_far_from_zero
from fastcnn.testing.compare import assert_same_bits, assert_within
from fastcnn.testing.fill import reals
from fastcnn.testing.norm_bounds import TILE_ROWS, Norm, Spec

CASES = (*cases.CHANNEL_NORM, *cases.CHANNEL_NORM_PARALLEL)
CALLS = [call for case in CASES for call in channel_norm_calls(case) if call.op.startswith("batch_norm")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.parametrize("c", [1, 7, 64])
def test_data_far_from_zero(c: int, rng: np.random.Generator) -> None:
    for call in channel_norm_calls(NormCase((9, 30, 31, c), groups=c)):
        # The moving mean is as large as the data.
        if call.op.startswith("batch_norm") and not (call.op == "batch_norm_train" and call.part == (1, 3)):
            check_far_from_zero(call, rng)


def test_one_far_value_in_each_tile_does_not_cancel() -> None:
    """The pivot is a mean, not the first value: an outlier there costs nothing."""
    x = np.full((4096, 2), 1e4, np.float32)
    x[::2] += 1.0
    x[0] = 0.0
    _, _, variance = ops.batch_norm_train(x, momentum=0.0)
    values = x.astype(np.float64)
    norm = Norm(Spec(values, np.ones(()), (0,), (0,), 0.0, TILE_ROWS, TILE_ROWS))
    assert_within(variance, values.var(axis=0), norm.d_variance.ravel(), "variance")


def test_constant_channels_have_no_variance() -> None:
    """0.1 is no multiple of any power of two; still nothing is left of it."""
    x = np.full((1000, 3), 0.1, np.float32)
    y, mean, variance = ops.batch_norm_train(x, beta=np.full(3, 2, np.float32), momentum=0.0)
    assert (variance == 0.0).all()
    assert (mean == np.float32(0.1)).all()
    assert (y == 2.0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spoils_its_channel_alone(value: float, rng: np.random.Generator) -> None:
    x, dy = reals(rng, (5, 6, 7, 19)), reals(rng, (5, 6, 7, 19))
    x[2, 3, 4, 5] = value
    others = np.arange(19) != 5
    for result in (ops.batch_norm(x), *ops.batch_norm_bwd(dy, x)[:2], *ops.batch_norm_train(x)[1:]):
        assert np.isfinite(result[..., others]).all()
        assert not np.isfinite(result[..., 5]).any()


def test_frozen_gradient_does_not_see_x() -> None:
    x = np.array([[np.nan, np.inf]], np.float32)
    ones = np.ones(2, np.float32)
    dx, _, dbeta = ops.batch_norm_bwd(np.ones((1, 2), np.float32), x, None, ones, ones, 3.0)
    assert (dx == 0.5).all()
    assert (dbeta == 1.0).all()


def test_inference_is_what_training_converges_to() -> None:
    """With the statistics of the batch as given ones."""
    x = np.arange(64, dtype=np.float32).reshape(16, 4)
    y, mean, variance = ops.batch_norm_train(x, momentum=0.0)
    assert_same_bits(ops.batch_norm(x, mean=mean, variance=variance), y, "batch_norm")


def test_rank_does_not_matter(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 3, 4, 5, 6))
    assert_same_bits(ops.batch_norm(x), ops.batch_norm(x.reshape(120, 6)).reshape(x.shape), "batch_norm")


def test_outputs_given_and_not() -> None:
    x, dy = np.array([[1], [3]], np.float32), np.array([[1], [4]], np.float32)
    dx, dbeta = np.empty((2, 1), np.float32), np.empty(1, np.float32)
    results = ops.batch_norm_bwd(dy, x, out=(dx, None, dbeta))
    assert results[0] is dx
    assert results[2] is dbeta
    assert dbeta == 5.0

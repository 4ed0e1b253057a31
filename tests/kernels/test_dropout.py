# SPDX-License-Identifier: Apache-2.0
"""Dropout: the mask is the counter's, in training alone, and the same in the backward pass."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import assert_exact, assert_same_bits
from fastcnn.testing.fill import integers
from fastcnn.testing.network import Chain, dense

SEED = 2**41 + 12345
DROPOUT = {"op": "dropout", "rate": 0.5}


def dropped(chain: Chain, x: np.ndarray) -> np.ndarray:
    """What comes out of the dropout before the last dense layer, which is set to 0.

    Its prediction is 0 and its targets are such that the gradient of the output is the identity; then the
    gradient of its kernel holds its inputs, one column a sample.
    """
    rows = len(x)
    kernel = chain.weights[-1]
    chain.train(x, np.eye(rows, dtype=np.float32) * np.float32(-rows * rows / 2))
    return (kernel - chain.weights[-1]).T


@pytest.mark.parametrize("cols", [case.cols for case in cases.ROWS if case.rows == 3])
def test_mask_is_the_reference(cols: int, rng: np.random.Generator) -> None:
    rows = 4
    x = integers(rng, (rows, cols))
    chain = Chain((cols,), DROPOUT, dense(rows, use_bias=False))
    chain.weights = [np.zeros((cols, rows), np.float32)]
    chain.model.seed = SEED
    assert_exact(dropped(chain, x), ref.dropout(x, 0.5, ref.DropoutDraw(SEED)), "first step")
    # The step is part of the counter.
    chain.weights = [np.zeros((cols, rows), np.float32)]
    assert_exact(dropped(chain, x), ref.dropout(x, 0.5, ref.DropoutDraw(SEED, step=1)), "second step")


def test_each_dropout_of_a_network_has_its_own_mask(rng: np.random.Generator) -> None:
    x = integers(rng, (4, 64))
    chain = Chain((64,), DROPOUT, DROPOUT, dense(4, use_bias=False))
    chain.weights = [np.zeros((64, 4), np.float32)]
    chain.model.seed = SEED
    both = ref.dropout(ref.dropout(x, 0.5, ref.DropoutDraw(SEED, op=0)), 0.5, ref.DropoutDraw(SEED, op=1))
    assert_exact(dropped(chain, x), both, "two dropouts")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_share_of_zeros_and_scale(rate: float) -> None:
    rows, cols = 16, 4099
    x = np.ones((rows, cols), np.float32)
    chain = Chain((cols,), {"op": "dropout", "rate": rate}, dense(rows, use_bias=False))
    chain.weights = [np.zeros((cols, rows), np.float32)]
    chain.model.seed = SEED
    y = dropped(chain, x)
    assert np.array_equal(y != 0, ref.dropout_mask(x.size, rate, ref.DropoutDraw(SEED)).reshape(x.shape))
    kept = y[y != 0]
    assert np.all(np.abs(kept * (1.0 - rate) - 1.0) <= 4 * 2.0**-24)


def test_gradient_goes_through_the_same_mask(rng: np.random.Generator) -> None:
    """One sample: the gradient of the bias before the dropout is what came through it."""
    features = 37
    chain = Chain((1,), dense(features), DROPOUT, dense(2))
    w1, b1, w2, b2 = chain.weights = [integers(rng, w.shape) for w in chain.weights]
    chain.model.seed = SEED
    x, target = np.ones((1, 1), np.float32), np.zeros((1, 2), np.float32)
    draw = ref.DropoutDraw(SEED)
    h = ref.dropout(ref.dense(x, w1, b1), 0.5, draw)
    dy = ref.mean_squared_error_bwd(target, ref.dense(h, w2, b2))
    dh, _, _ = ref.dense_bwd(dy, h, w2)
    chain.train(x, target)
    assert_exact(b1 - chain.weights[1], ref.dropout_bwd(dh, 0.5, draw)[0], "db")


def test_prediction_and_evaluation_drop_nothing(rng: np.random.Generator) -> None:
    x = integers(rng, (5, 33))
    chain = Chain((33,), DROPOUT)
    assert_same_bits(chain.predict(x), x, "prediction")
    assert chain.evaluate(x, x) == 0.0

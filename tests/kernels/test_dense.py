# SPDX-License-Identifier: Apache-2.0
"""Dense layers inside a network: forward pass and all gradients, in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import assert_exact
from fastcnn.testing.fill import integers
from fastcnn.testing.network import Chain, dense

BATCH, UNITS = 8, 4  # their product is a power of two: the mean in the loss is exact


def check_two_layers(
    features: int, hidden: int, rng: np.random.Generator, *, batch: int = BATCH, units: int = UNITS
) -> None:
    chain = Chain((features,), dense(hidden), {"op": "relu"}, dense(units))
    w1, b1, w2, b2 = (integers(rng, w.shape, 2**20) for w in chain.weights)
    chain.weights = [w1, b1, w2, b2]
    x, dy = integers(rng, (batch, features), 2**20), integers(rng, (batch, units), 2**20)

    h = ref.dense(x, w1, b1, "relu")
    assert_exact(chain.predict(x), ref.dense(h, w2, b2), "prediction")
    dh, dw2, db2 = ref.dense_bwd(dy, h, w2)
    _, dw1, db1 = ref.dense_bwd(ref.relu_bwd(dh, h), x, w1)
    for got, wanted, name in zip(
        chain.gradients(x, dy), (dw1, db1, dw2, db2), ("dw1", "db1", "dw2", "db2"), strict=True
    ):
        # A hidden unit may be off for the whole batch.
        assert np.array_equal(got, wanted), f"{name} is not exact"


@pytest.mark.parametrize("features", cases.CHANNELS)
@pytest.mark.parametrize("hidden", [1, 3, 17, 64])
def test_two_layers_with_relu(features: int, hidden: int, rng: np.random.Generator) -> None:
    check_two_layers(features, hidden, rng)


@pytest.mark.parametrize("batch", [8, 32])
def test_mask_after_partial_sums(batch: int, rng: np.random.Generator) -> None:
    """The gradient of the hidden layer is a long sum of few numbers, split into parts."""
    check_two_layers(5, 6, rng, batch=batch, units=16384)


def test_without_bias(rng: np.random.Generator) -> None:
    chain = Chain((5,), dense(UNITS, use_bias=False))
    (w,) = chain.weights = [integers(rng, (5, UNITS), 5)]
    x, dy = integers(rng, (BATCH, 5), 5), integers(rng, (BATCH, UNITS), 5)
    assert_exact(chain.predict(x), ref.dense(x, w), "prediction")
    assert_exact(chain.gradients(x, dy)[0], ref.dense_bwd(dy, x, w)[1], "dw")


def test_acts_on_the_last_axis(rng: np.random.Generator) -> None:
    chain = Chain((2, 2, 5), dense(UNITS))
    w, b = chain.weights = [integers(rng, (5, UNITS), 64), integers(rng, (UNITS,), 64)]
    x, dy = integers(rng, (4, 2, 2, 5), 64), integers(rng, (4, 2, 2, UNITS), 64)
    rows, dy_rows = x.reshape(-1, 5), dy.reshape(-1, UNITS)
    assert_exact(chain.predict(x).reshape(-1, UNITS), ref.dense(rows, w, b), "prediction")
    _, dw, db = ref.dense_bwd(dy_rows, rows, w)
    for got, wanted, name in zip(chain.gradients(x, dy), (dw, db), ("dw", "db"), strict=True):
        assert_exact(got, wanted, name)


@pytest.mark.parametrize("batch", [1, 2, 3, 16, 17])
def test_short_batches_predict_the_same(batch: int, rng: np.random.Generator) -> None:
    chain = Chain((7,), dense(UNITS))
    w, b = chain.weights = [integers(rng, (7, UNITS), 7), integers(rng, (UNITS,), 7)]
    x = integers(rng, (17, 7), 7)
    assert_exact(chain.predict(x, batch_size=batch), ref.dense(x, w, b), "prediction")

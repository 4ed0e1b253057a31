# SPDX-License-Identifier: Apache-2.0
"""Flattening between a convolution and a dense layer: the order of elements, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import reference as ref
from fastcnn.testing.compare import assert_exact
from fastcnn.testing.fill import integers
from fastcnn.testing.network import Chain, conv2d, dense

BATCH, UNITS = 8, 2


@pytest.mark.parametrize(
    ("height", "width", "filters"), [(1, 1, 1), (3, 4, 5), (4, 3, 16), (2, 5, 17), (5, 1, 33)]
)
def test_between_convolution_and_dense(
    height: int, width: int, filters: int, rng: np.random.Generator
) -> None:
    chain = Chain((height, width, 2), conv2d(filters), {"op": "flatten"}, dense(UNITS))
    w1, b1, w2, b2 = chain.weights = [integers(rng, w.shape, 2**20) for w in chain.weights]
    x, dy = integers(rng, (BATCH, height, width, 2), 2**20), integers(rng, (BATCH, UNITS), 2**20)

    h = ref.conv2d(x, w1, b1, padding="same")
    assert_exact(chain.predict(x), ref.dense(ref.flatten(h), w2, b2), "prediction")
    dflat, dw2, db2 = ref.dense_bwd(dy, ref.flatten(h), w2)
    dh = ref.flatten_bwd(dflat, h.shape)
    dw1 = ref.conv2d_wgrad(x, dh, (3, 3), padding="same")
    wanted = (dw1, ref.conv2d_bias_bwd(dh), dw2, db2)
    for got, gradient, name in zip(chain.gradients(x, dy), wanted, ("dw1", "db1", "dw2", "db2"), strict=True):
        assert np.array_equal(got, gradient), f"{name} is not exact"

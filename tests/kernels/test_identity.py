# SPDX-License-Identifier: Apache-2.0
"""Identity in a network: another name for the same elements, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.cases import MoveCase
from fastcnn.testing.compare import assert_exact
from fastcnn.testing.fill import integers
from fastcnn.testing.network import Chain, dense


@pytest.mark.parametrize("case", cases.RESHAPE, ids=str)
def test_between_dense_layers(case: MoveCase, rng: np.random.Generator) -> None:
    shape = case.x_shape[1:]
    chain = Chain(shape, dense(3), {"op": "identity"}, dense(2))
    w1, b1, w2, b2 = chain.weights = [integers(rng, w.shape, 2**20) for w in chain.weights]
    x = integers(rng, case.x_shape, 2**20)
    rows = x.reshape(-1, shape[-1])
    h = ref.identity(ref.dense(rows, w1, b1))
    y = ref.dense(h, w2, b2)
    assert_exact(chain.predict(x), y.reshape(*case.x_shape[:-1], 2), "prediction")

    dy = integers(rng, y.shape, 2**20)
    dh, dw2, db2 = ref.dense_bwd(dy, h, w2)
    _, dw1, db1 = ref.dense_bwd(ref.identity_bwd(dh), rows, w1)
    gradients = chain.gradients(x, dy.reshape(*case.x_shape[:-1], 2))
    for got, wanted, name in zip(gradients, (dw1, db1, dw2, db2), ("w1", "b1", "w2", "b2"), strict=True):
        assert np.array_equal(got, wanted), f"{name} is not exact"

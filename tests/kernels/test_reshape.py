# SPDX-License-Identifier: Apache-2.0
"""Reshape in a network: another name for the same elements, forward and backward."""

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
    samples, *shape = case.x_shape
    node = {"op": "reshape", **case.options}
    chain = Chain(tuple(shape), dense(shape[-1]), node, dense(2))
    w1, b1, w2, b2 = chain.weights = [integers(rng, w.shape, 2**20) for w in chain.weights]
    x = integers(rng, case.x_shape, 2**20)
    h = ref.dense(x.reshape(-1, shape[-1]), w1, b1).reshape(case.x_shape)
    moved = ref.reshape(h, case.options["target_shape"])
    rows = moved.reshape(-1, moved.shape[-1])
    y = ref.dense(rows, w2, b2).reshape(*moved.shape[:-1], 2)
    assert_exact(chain.predict(x), y, "prediction")

    dy = integers(rng, y.shape, 2**20)
    drows, dw2, db2 = ref.dense_bwd(dy.reshape(-1, 2), rows, w2)
    dh = ref.reshape_bwd(drows, case.x_shape).reshape(-1, shape[-1])
    _, dw1, db1 = ref.dense_bwd(dh, x.reshape(-1, shape[-1]), w1)
    assert samples == len(y)
    for got, wanted, name in zip(
        chain.gradients(x, dy), (dw1, db1, dw2, db2), ("w1", "b1", "w2", "b2"), strict=True
    ):
        assert np.array_equal(got, wanted), f"{name} is not exact"

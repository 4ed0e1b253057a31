# SPDX-License-Identifier: Apache-2.0
"""Rescaling, first in a network (where it is part of the gather) and inside one."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import UNIT, assert_exact, assert_same_bits
from fastcnn.testing.fill import integers
from fastcnn.testing.network import Chain, dense

SCALE, OFFSET = 0.5, -3.0
RESCALING = {"op": "rescaling", "scale": SCALE, "offset": OFFSET}


@pytest.mark.parametrize("case", cases.ROWS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, np.int64])
def test_first(case: cases.RowsCase, dtype: type, rng: np.random.Generator) -> None:
    x = rng.integers(0, 200, (case.rows, case.cols)).astype(dtype)
    chain = Chain((case.cols,), RESCALING)
    assert_exact(chain.predict(x), ref.rescaling(x, SCALE, OFFSET), "prediction")


def test_division_by_255_is_a_product() -> None:
    """Two roundings at most: of the scale and of the product."""
    x = np.arange(256, dtype=np.uint8).reshape(-1, 1)
    y = Chain((1,), {"op": "rescaling", "scale": 1 / 255, "offset": 0.0}).predict(x)
    wanted = ref.rescaling(x, 1 / 255)
    assert np.all(np.abs(y - wanted) <= 2.5 * UNIT * wanted)


@pytest.mark.parametrize("features", cases.CHANNELS)
def test_inside(features: int, rng: np.random.Generator) -> None:
    chain = Chain((3,), dense(features), RESCALING, dense(2))
    w1, b1, w2, b2 = chain.weights = [integers(rng, w.shape, 2**20) for w in chain.weights]
    x, dy = integers(rng, (8, 3), 2**20), integers(rng, (8, 2), 2**20)
    before = ref.dense(x, w1, b1)
    h = ref.rescaling(before, SCALE, OFFSET)
    assert_exact(chain.predict(x), ref.dense(h, w2, b2), "prediction")
    dh, dw2, db2 = ref.dense_bwd(dy, h, w2)
    _, dw1, db1 = ref.dense_bwd(ref.rescaling_bwd(dh, SCALE), x, w1)
    for got, wanted in zip(chain.gradients(x, dy), (dw1, db1, dw2, db2), strict=True):
        assert np.array_equal(got, wanted)


def test_images_of_any_strides(rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (4, 6, 5, 3), np.uint8)
    chain = Chain((6, 5, 3), RESCALING)
    wanted = chain.predict(x)
    assert_exact(wanted, ref.rescaling(x, SCALE, OFFSET), "prediction")
    padded = np.zeros((8, 12, 5, 6), np.uint8)
    padded[::2, ::-2, :, ::2] = x
    assert_same_bits(chain.predict(padded[::2, ::-2, :, ::2]), wanted, "a strided view")

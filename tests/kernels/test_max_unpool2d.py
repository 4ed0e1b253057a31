# SPDX-License-Identifier: Apache-2.0
"""Max pooling that tells where, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, ShapeError, ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import Call, index_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import integers, reals

# Maxima that are found on lines: rows at once, side by side or not, with lines cut, and by several threads.
LINES = (
    cases.PoolCase(2, 20, 30, 3, pool_size=(7, 7), strides=(2, 2), padding=3),
    cases.PoolCase(3, 19, 40, 1, pool_size=(3, 3), strides=(2, 2), padding=1),
    cases.PoolCase(12, 28, 28, 4),
    cases.PoolCase(2, 21, 22, 6, pool_size=(3, 3), strides=(3, 1), padding=(1, 2)),
    cases.PoolCase(2, 18, 23, 12, pool_size=(5, 5), strides=(2, 2), padding=2, dilation_rate=(1, 2)),
    cases.PoolCase(1, 24, 9, 35, pool_size=(9, 7), strides=(1, 1), padding="same"),
    cases.PoolCase(1, 9, 1500, 2, pool_size=(3, 3), strides=(2, 2)),
)
CASES = (
    *cases.POOL[:16], *cases.POOL[-8:], *cases.POOL_DILATED, *cases.POOL_WIDE, cases.POOL_PARALLEL[1], *LINES
)  # fmt: skip
CALLS = [call for case in CASES for call in index_calls(case)]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_indices(case: cases.PoolCase, rng: np.random.Generator) -> None:
    """Small whole numbers are full of ties: the index must be that of the first."""
    x = integers(rng, case.x_shape, 2**24 // 4)
    y, index = ops.max_pool2d_with_index(x, **case.options)
    assert index.dtype == np.int32
    assert np.array_equal(index, reference.max_pool2d_with_index(x, **case.options)[1])
    assert_same_bits(y, ops.max_pool2d(x, **case.options), "values")


def test_unpooling_undoes_pooling(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 9, 8, 5))
    y, index = ops.max_pool2d_with_index(x, 3, 2)
    again = ops.max_unpool2d(y, index, x.shape)
    assert_same_bits(again[again != 0], x[again != 0], "what is not 0")
    assert len(np.unique(index[0, :, :, 0])) == np.count_nonzero(again[0, :, :, 0])


def test_nan_has_an_index() -> None:
    x = np.zeros((1, 2, 2, 1), np.float32)
    x[0, 1] = np.nan
    y, index = ops.max_pool2d_with_index(x, 2)
    assert np.isnan(y).all()
    assert index.item() == 2


@pytest.mark.parametrize("case", LINES, ids=str)
def test_nans_have_indices(case: cases.PoolCase, rng: np.random.Generator) -> None:
    x = integers(rng, case.x_shape, 2**24 // 4)
    x[rng.random(x.shape) < 0.01] = np.nan
    options = {**case.options, "dilation_rate": case.dilation_rate}
    y, index = ops.max_pool2d_with_index(x, **options)
    wanted, places = reference.max_pool2d_with_index(x, **options)
    assert np.array_equal(y, wanted, equal_nan=True)
    assert np.array_equal(index, places)


def test_the_last_of_several_stays() -> None:
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 2, 2, 1)
    index = np.full((1, 2, 2, 1), 3, np.int32)
    assert ops.max_unpool2d(x, index, (1, 2, 2, 1)).ravel().tolist() == [0.0, 0.0, 0.0, 4.0]


@pytest.mark.parametrize("place", [-1, 4, 2**31 - 1, -(2**31)])
def test_an_index_outside_raises(place: int) -> None:
    x, out = np.ones((1, 1, 1, 3), np.float32), np.full((1, 2, 2, 3), 7, np.float32)
    index = np.array([0, place, 1], np.int32).reshape(1, 1, 1, 3)
    with pytest.raises(ArgumentError, match=r"max_unpool2d: index holds .*from 0 to 3"):
        ops.max_unpool2d(x, index, (1, 2, 2, 3), out=out)
    assert (out == 7).all()
    with pytest.raises(ArgumentError, match=r"max_unpool2d_bwd: index holds .*from 0 to 3"):
        ops.max_unpool2d_bwd(np.ones((1, 2, 2, 3), np.float32), index)


X, INDEX = np.ones((2, 2, 2, 3), np.float32), np.zeros((2, 2, 2, 3), np.int32)
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"index": INDEX.astype(np.int64)}, DTypeError, "index has dtype int64, wanted int32"),
    ({"index": INDEX.astype(np.float32)}, DTypeError, "index has dtype float32"),
    ({"index": INDEX[:1]}, ShapeError, r"index has shape \[1, 2, 2, 3\]"),
    ({"index": INDEX[0]}, ShapeError, "index has shape"),
    ({"index": [0]}, DTypeError, "index is a list"),
    ({"output_shape": (2, 4, 4, 4)}, ShapeError, "output_shape"),
    ({"output_shape": (1, 4, 4, 3)}, ShapeError, "output_shape"),
    ({"output_shape": (2, 0, 4, 3)}, ShapeError, "output_shape"),
    ({"output_shape": (2, -1, 4, 3)}, ShapeError, "output_shape"),
    ({"output_shape": (2, 4, 4)}, ArgumentError, "output_shape has 3 entries"),
    ({"output_shape": (2, 2**20, 2**20, 3)}, ShapeError, "output_shape"),
    ({"output_shape": (2, 2**62, 4, 3)}, ShapeError, "output_shape"),
    ({"output_shape": 4}, DTypeError, "output_shape"),
    ({"x": X.astype(np.float64)}, DTypeError, "x has dtype float64"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD)
def test_bad_arguments(spoil: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"max_unpool2d: {message}"):
        ops.max_unpool2d(**{"x": X, "index": INDEX, "output_shape": (2, 4, 4, 3), **spoil})


def test_indices_of_any_strides(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 8, 8, 4))
    y, index = ops.max_pool2d_with_index(x, 2)
    wanted = ops.max_unpool2d(y, index, x.shape)
    strided = np.asfortranarray(index)
    assert_same_bits(ops.max_unpool2d(y, strided, x.shape), wanted, "max_unpool2d")
    assert_same_bits(ops.max_unpool2d_bwd(x, strided), ops.max_unpool2d_bwd(x, index), "max_unpool2d_bwd")

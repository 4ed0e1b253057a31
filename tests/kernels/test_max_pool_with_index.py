# SPDX-License-Identifier: Apache-2.0
"""The gradient of max pooling at places that are known, of images and volumes; and the places of volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ArgumentError, DTypeError, ShapeError, ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import index_calls
from fastcnn.testing.case import PoolCase
from fastcnn.testing.case_pool import PoolNdCase
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import integers

VOLUMES = [case for case in (*cases.POOL_ND, *cases.POOL_ND_PARALLEL) if case.axes == 3]
# Windows in whole vectors and one by one, across bands; planes that windows leave out.
OTHER = [
    PoolNdCase((2, 9, 5, 6, 35), 2, strides=(3, 2, 2)),
    PoolNdCase((1, 40, 7, 6, 17), (3, 2, 2), strides=(2, 1, 2), padding=(1, 0, 1)),
    PoolNdCase((1, 30, 5, 6, 16), (2, 2, 2), strides=1, dilation_rate=(3, 1, 2)),
    PoolNdCase((1, 50, 9, 8, 5), 3, strides=1, padding=1),
]
# Bands that no window reaches; several images at a time; bands of one channel; rows of many windows.
CUT = (
    PoolCase(1, 300, 60, 4, strides=(100, 2)),
    PoolCase(100, 9, 8, 3, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(2, 200, 100, 1, pool_size=(3, 3), strides=(2, 2)),
    PoolCase(2, 40, 200, 7, pool_size=(3, 3), strides=(2, 2)),
)
IMAGES = (*cases.POOL, *cases.POOL_DILATED, *cases.POOL_WIDE, *cases.POOL_PARALLEL, *CUT)
CALLS = [
    call
    for case in (*IMAGES, *VOLUMES, *OTHER)
    for call in index_calls(case)
    if call.op.endswith("index_bwd") or call.op.startswith("max_pool3d")
]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.parametrize("case", [*VOLUMES, *OTHER], ids=str)
def test_places_in_volumes(case: PoolNdCase, rng: np.random.Generator) -> None:
    """Small whole numbers are full of ties: the place must be that of the first."""
    x = integers(rng, case.x_shape, 2**24 // 4)
    options = {**case.options, "dilation_rate": case.dilation_rate}
    y, index = ops.max_pool3d_with_index(x, **options)
    assert index.dtype == np.int32
    assert np.array_equal(index, reference.max_pool3d_with_index(x, **options)[1])
    assert_same_bits(y, ops.max_pool3d(x, **options), "values")


@pytest.mark.parametrize("case", [*cases.POOL, *OTHER], ids=str)
def test_agrees_with_maxima_found_again(case: PoolCase | PoolNdCase, rng: np.random.Generator) -> None:
    axes = len(case.x_shape) - 2
    options = {**case.options, "dilation_rate": case.dilation_rate}
    x = integers(rng, case.x_shape, 2**24 // 4)
    index = getattr(ops, f"max_pool{axes}d_with_index")(x, **options)[1]
    dy = integers(rng, case.y_shape, case.windows.overlap)
    dx = getattr(ops, f"max_pool{axes}d_with_index_bwd")(dy, index, case.x_shape, **options)
    assert_same_bits(dx, getattr(ops, f"max_pool{axes}d_bwd")(dy, x, **options), str(case))


@pytest.mark.parametrize("channels", [1, 3, 35])
@pytest.mark.parametrize("place", [-1, 24, 2**31 - 1, -(2**31)])
def test_an_index_outside_raises(channels: int, place: int) -> None:
    index, out = np.zeros((1, 1, 2, channels), np.int32), np.full((1, 4, 6, channels), 7, np.float32)
    index[0, 0, 1, -1] = place
    dy = np.ones(index.shape, np.float32)
    with pytest.raises(ArgumentError, match=rf"max_pool2d_with_index_bwd: index holds {place}.*from 0 to 23"):
        ops.max_pool2d_with_index_bwd(dy, index, out.shape, (4, 3), out=out)
    assert (out == 7).all()
    out3 = out.reshape(1, 2, 2, 6, channels)
    with pytest.raises(ArgumentError, match=rf"max_pool3d_with_index_bwd: index holds {place}.*from 0 to 23"):
        ops.max_pool3d_with_index_bwd(dy[:, None], index[:, None], out3.shape, (2, 2, 3), out=out3)
    assert (out == 7).all()


@pytest.mark.parametrize("at", [0, 300_000, -1])
def test_many_are_looked_at_in_parts(at: int) -> None:
    index = np.zeros((2, 512, 512, 1), np.int32)
    index.reshape(-1)[at] = 2**20
    with pytest.raises(ArgumentError, match=r"index holds 1048576, wanted .*from 0 to 1048575"):
        ops.max_pool2d_with_index_bwd(np.ones(index.shape, np.float32), index, (2, 1024, 1024, 1), 2)


@pytest.mark.parametrize("channels", [1, 3, 35])
@pytest.mark.parametrize("strides", [1, 2])
def test_an_index_outside_its_window_is_survived(
    channels: int, strides: int, rng: np.random.Generator
) -> None:
    x = np.zeros((2, 300, 8, channels), np.float32)
    y, index = ops.max_pool2d_with_index(x, 2, strides)
    wild = rng.integers(0, 300 * 8, index.shape, np.int32)
    dx = ops.max_pool2d_with_index_bwd(np.ones_like(y), wild, x.shape, 2, strides)
    assert np.isfinite(dx).all()
    assert dx.sum() <= y.size


DY, INDEX = np.ones((2, 2, 2, 3), np.float32), np.zeros((2, 2, 2, 3), np.int32)
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"index": INDEX.astype(np.int64)}, DTypeError, "index has dtype int64, wanted int32"),
    ({"index": INDEX[:1]}, ShapeError, r"index has shape \[1, 2, 2, 3\]"),
    ({"index": INDEX[0]}, ShapeError, "index has shape"),
    ({"index": [0]}, DTypeError, "index is a list"),
    ({"dy": DY[:, :1]}, ShapeError, "dy has shape"),
    ({"dy": DY.astype(np.float64)}, DTypeError, "dy has dtype float64"),
    ({"input_shape": (2, 4, 4, 4)}, ShapeError, "dy has shape"),
    ({"input_shape": (2, 2**16, 2**16, 3)}, ShapeError, r"input_shape is .*2\*\*31 pixels"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD)
def test_bad_arguments(spoil: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"dy": DY, "index": INDEX, "input_shape": (2, 4, 4, 3), "pool_size": 2, **spoil}
    with pytest.raises(error, match=f"max_pool2d_with_index_bwd: {message}"):
        ops.max_pool2d_with_index_bwd(**arguments)


def test_indices_of_any_strides(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 8, 8, 4), np.float32)
    y, index = ops.max_pool2d_with_index(x, 3, 2)
    strided = np.asfortranarray(index)
    wanted = ops.max_pool2d_with_index_bwd(y, index, x.shape, 3, 2)
    assert_same_bits(ops.max_pool2d_with_index_bwd(y, strided, x.shape, 3, 2), wanted, "dx")

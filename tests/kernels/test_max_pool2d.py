# SPDX-License-Identifier: Apache-2.0
"""Max pooling and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import pool_channels_first_test

from fastcnn import ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import Call, pool_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits

OP = "max_pool2d"
CASES = (*cases.POOL, *cases.POOL_DILATED, *cases.POOL_WIDE, *cases.POOL_PARALLEL)
CALLS = [call for case in CASES for call in pool_calls(case) if call.op.startswith(OP)]
LARGE = [call for case in cases.POOL_FULL for call in pool_calls(case) if call.op.startswith(OP)]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    """Small whole numbers are full of ties: the gradient must go to the first."""
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.full
@pytest.mark.parametrize("call", LARGE, ids=str)
def test_reals_within_bound_large(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_ties_go_to_the_first() -> None:
    x = np.zeros((1, 4, 4, 17), np.float32)
    dx = ops.max_pool2d_bwd(np.ones((1, 2, 2, 17), np.float32), x, 2)
    wanted = np.zeros_like(x)
    wanted[:, ::2, ::2] = 1.0
    assert_same_bits(dx, wanted, "max_pool2d_bwd")


@pytest.mark.parametrize("channels", [1, 16, 19])
@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_wins(place: tuple[int, int], channels: int) -> None:
    x = np.arange(16 * channels, dtype=np.float32).reshape(1, 4, 4, channels)
    x[0, 2 + place[0], place[1]] = np.nan
    y = ops.max_pool2d(x, 2)
    assert np.argwhere(np.isnan(y).all(axis=-1)).tolist() == [[0, 1, 0]]
    dx = ops.max_pool2d_bwd(np.ones_like(y), x, 2)
    assert (dx[0, 2:, :2][place] == 1.0).all()
    assert dx[0, 2:, :2].sum() == channels


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 16, 40])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 1), (3, 2), (5, 1)])
def test_nan_stays_in_its_windows(size: int, stride: int, channels: int, rng: np.random.Generator) -> None:
    x = rng.integers(-9, 9, (2, 12, 13, channels)).astype(np.float32)
    expected = ops.max_pool2d(x, size, stride)
    held = np.zeros(x.shape, np.float32)
    held[1, 6, 6] = 1
    inside = ops.max_pool2d(held, size, stride) == 1
    x[1, 6, 6] = np.nan
    y = ops.max_pool2d(x, size, stride)
    assert np.isnan(y[inside]).all()
    assert inside.any()
    assert (y[~inside] == expected[~inside]).all()


def test_first_of_several_nans() -> None:
    x = np.full((1, 2, 2, 3), np.nan, np.float32)
    x[0, 0, 0] = 5.0
    dx = ops.max_pool2d_bwd(np.ones((1, 1, 1, 3), np.float32), x, 2)
    assert dx[0].sum(axis=-1).tolist() == [[0.0, 3.0], [0.0, 0.0]]


def test_minus_infinity_everywhere() -> None:
    x = np.full((1, 3, 3, 5), -np.inf, np.float32)
    y = ops.max_pool2d(x, 3, padding="same")
    assert (y == -np.inf).all()
    dx = ops.max_pool2d_bwd(np.ones_like(y), x, 3, padding="same")
    assert dx.sum() == y.size


@pytest.mark.parametrize("channels", [1, 3, 6, 9, 16, 33])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (5, 2), (7, 2), (8, 2), (8, 3)])
def test_gradient_beside_nans_and_infinities(
    size: int, stride: int, channels: int, rng: np.random.Generator
) -> None:
    """Rows of pixels without a NaN are searched another way than those with one."""
    width = 13 if size < 5 and channels > 8 else 97
    x = rng.integers(-3, 4, (2, 40, width, channels)).astype(np.float32)
    x[0, rng.integers(0, 40, 4), rng.integers(0, width, 4)] = np.nan
    x[1, 10:20], x[1, 30] = -np.inf, np.inf
    y = ops.max_pool2d(x, size, stride, padding="same")
    dy = rng.integers(-5, 6, y.shape).astype(np.float32)
    dx = ops.max_pool2d_bwd(dy, x, size, stride, padding="same")
    wanted = reference.max_pool2d_bwd(dy, x, size, stride, "same")
    assert_same_bits(dx, np.asarray(wanted, np.float32), "max_pool2d_bwd")


@pytest.mark.parametrize("channels", [1, 3, 8, 9])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(row, column) for row in (0, 3, 4, 8) for column in (0, 1, 47, 48)])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2)])
def test_gradient_beside_one_nan_or_infinity(
    size: int, stride: int, place: tuple[int, int], value: float, channels: int, rng: np.random.Generator
) -> None:
    """At the edges of an image without padding."""
    x = rng.integers(-3, 4, (1, 9, 49, channels)).astype(np.float32)
    x[0, place[0], place[1]] = value
    y = ops.max_pool2d(x, size, stride)
    dy = rng.integers(1, 6, y.shape).astype(np.float32)
    dx = ops.max_pool2d_bwd(dy, x, size, stride)
    wanted = reference.max_pool2d_bwd(dy, x, size, stride, "valid")
    assert_same_bits(dx, np.asarray(wanted, np.float32), "max_pool2d_bwd")


@pytest.mark.parametrize("channels", [1, 3, 8, 9])
@pytest.mark.parametrize(
    ("size", "stride"), [(2, 2), (3, 1), (3, 2), (4, 3), (5, 3), (7, 3), (6, 4), (9, 2), (2, 3)]
)
@pytest.mark.parametrize("shape", [(11, 13), (9, 50)])
def test_gradient_of_many_small_images(
    shape: tuple[int, int], size: int, stride: int, channels: int, rng: np.random.Generator
) -> None:
    """Some of them make a task; strides leave a part of a window or none. One image has a NaN."""
    x = rng.integers(-3, 4, (37, *shape, channels)).astype(np.float32)
    x[18, 4, 5], x[20, 3], x[20, 6] = np.nan, -np.inf, np.inf
    for padding in ("same", "valid"):
        y = ops.max_pool2d(x, size, stride, padding)
        dy = rng.integers(-5, 6, y.shape).astype(np.float32)
        dx = ops.max_pool2d_bwd(dy, x, size, stride, padding)
        wanted = reference.max_pool2d_bwd(dy, x, size, stride, padding)
        assert_same_bits(dx, np.asarray(wanted, np.float32), "max_pool2d_bwd")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rows", [4, 5, 7])
@pytest.mark.parametrize("cols", [4, 5, 6, 7])
def test_gradient_of_windows_of_even_and_odd_sizes(
    rows: int, cols: int, channels: int, rng: np.random.Generator
) -> None:
    """Rows and columns are searched two by two, and one is left or not."""
    x = rng.integers(-50, 51, (2, 25, 41, channels)).astype(np.float32)
    for padding in ("same", "valid"):
        y = ops.max_pool2d(x, (rows, cols), 2, padding)
        dy = rng.integers(-5, 6, y.shape).astype(np.float32)
        dx = ops.max_pool2d_bwd(dy, x, (rows, cols), 2, padding)
        wanted = reference.max_pool2d_bwd(dy, x, (rows, cols), 2, padding)
        assert_same_bits(dx, np.asarray(wanted, np.float32), "max_pool2d_bwd")


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8, 9, 16, 40])
@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((3, 3), (3, 3)),
        ((4, 4), (4, 4)),
        ((5, 5), (6, 5)),
        ((3, 2), (3, 2)),
        ((2, 7), (7, 7)),
        ((5, 3), (6, 6)),
    ],
)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_gradient_of_large_windows_apart(
    size: tuple[int, int], stride: tuple[int, int], channels: int, padding: str, rng: np.random.Generator
) -> None:
    """Vectors hold some windows or a part of one; those at borders and rows with a NaN go another way."""
    for width in (22, 29, 113):
        x = rng.integers(-2, 3, (2, 13, width, channels)).astype(np.float32)
        x[1, 3, 5] = np.nan
        y = ops.max_pool2d(x, size, stride, padding)
        dy = rng.integers(-5, 6, y.shape).astype(np.float32)
        dx = np.full(x.shape, np.nan, np.float32)
        ops.max_pool2d_bwd(dy, x, size, stride, padding, out=dx)
        wanted = reference.max_pool2d_bwd(dy, x, size, stride, padding)
        assert_same_bits(dx, np.asarray(wanted, np.float32), "max_pool2d_bwd")


@pytest.mark.parametrize("padding", [0, 1])
def test_gradient_past_the_caches(padding: int, rng: np.random.Generator) -> None:
    """A dx larger than they are is written another way, and has the bits of its images by themselves."""
    x = rng.integers(-3, 4, (4, 129, 130, 64)).astype(np.float32)
    x[2, 70, 60, 5] = np.nan
    y = ops.max_pool2d(x, 3, 2, padding)
    dy = rng.integers(-5, 6, y.shape).astype(np.float32)
    dx = ops.max_pool2d_bwd(dy, x, 3, 2, padding)
    alone = [ops.max_pool2d_bwd(dy[i : i + 1], x[i : i + 1], 3, 2, padding) for i in range(4)]
    assert_same_bits(dx, np.concatenate(alone), "max_pool2d_bwd")


test_channels_first = pool_channels_first_test("max_pool2d", (2, 7, 9, 5))

# SPDX-License-Identifier: Apache-2.0
"""Pooling of whole images and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import global_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [call for case in (*cases.GLOBAL_POOL, *cases.GLOBAL_POOL_PARALLEL) for call in global_calls(case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


# One part of an image, several, and more channels than a row of pixels holds.
SHAPES = [(2, 5, 7, 3), (1, 300, 250, 5), (2, 9, 9, 200)]


@pytest.mark.parametrize("shape", SHAPES)
def test_ties_go_to_the_first_pixel(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.integers(-1, 2, shape).astype(np.float32)
    dx = ops.global_max_pool_bwd(np.ones((shape[0], shape[3]), np.float32), x)
    flat = x.reshape(shape[0], -1, shape[3])
    wanted = np.zeros_like(flat)
    np.put_along_axis(wanted, flat.argmax(axis=1)[:, None], 1.0, axis=1)
    assert_same_bits(dx, wanted.reshape(shape), "global_max_pool_bwd")


@pytest.mark.parametrize("shape", SHAPES)
def test_nan_wins_and_the_first_of_them(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = reals(rng, shape)
    flat = x.reshape(shape[0], -1, shape[3])
    pixels = flat.shape[1]
    flat[:, pixels // 3] = flat[:, pixels - 1] = np.nan
    x[0, 0, 0, 0] = np.inf
    assert np.isnan(ops.global_max_pool(x)).all()
    assert np.isnan(ops.global_average_pool(x)).all()
    dx = ops.global_max_pool_bwd(np.ones((shape[0], shape[3]), np.float32), x)
    wanted = np.zeros_like(flat)
    wanted[:, pixels // 3] = 1.0
    assert_same_bits(dx, wanted.reshape(shape), "global_max_pool_bwd")


def test_minus_infinity_everywhere() -> None:
    x = np.full((1, 9, 9, 5), -np.inf, np.float32)
    assert (ops.global_max_pool(x) == -np.inf).all()
    dx = ops.global_max_pool_bwd(np.ones((1, 5), np.float32), x)
    assert np.argwhere(dx)[:, 1:3].tolist() == [[0, 0]] * 5


@pytest.mark.parametrize("kind", ["max", "average", "sum"])
def test_channels_first(kind: str, rng: np.random.Generator) -> None:
    pool, pool_bwd = (getattr(ops, f"global_{kind}_pool{way}") for way in ("", "_bwd"))
    x, dy = reals(rng, (2, 5, 7, 3)), reals(rng, (2, 1, 1, 3))
    first, dy_first = (np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (x, dy))
    options = {"keepdims": True, "data_format": "channels_first"}
    assert_same_bits(pool(first, **options), pool(x, keepdims=True).transpose(0, 3, 1, 2), kind)
    given, given_first = (x, first) if kind == "max" else (x.shape, first.shape)
    dx = pool_bwd(dy_first, given_first, **options)
    assert_same_bits(dx, pool_bwd(dy, given, keepdims=True).transpose(0, 3, 1, 2), f"{kind}_bwd")

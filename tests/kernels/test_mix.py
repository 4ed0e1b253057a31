# SPDX-License-Identifier: Apache-2.0
"""Samples mixed in pairs: weighted means, and boxes of one in the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers, poisoned, reals
from fastcnn.testing.guard import guarded

SHAPES = [(1, 1), (5, 3), (4, 17), (3, 4, 5, 1), (6, 3, 4, 3), (2, 5, 3, 16), (3, 2, 2, 33)]


@pytest.mark.parametrize("shape", SHAPES)
def test_means(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x, index, weight = reals(rng, shape), rng.permutation(shape[0]), rng.random(shape[0]).astype(np.float32)
    wanted = ref.mix(x, index, weight)
    bound = gamma(4) * ref.mix(np.abs(x), index, weight)
    assert_within(_native.mix(x, index, weight, None, poisoned(shape)), wanted, bound, str(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_means_in_whole_numbers(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x, index = integers(rng, shape), rng.permutation(shape[0])
    weight = (rng.integers(0, 5, shape[0]) / 4).astype(np.float32)
    assert np.array_equal(_native.mix(x, index, weight, None, None), ref.mix(x, index, weight))


def boxes(rng: np.random.Generator, n: int, h: int, w: int) -> np.ndarray:
    sides = [np.sort(rng.integers(0, size + 1, (n, 2)), axis=1) for size in (h, w)]
    return np.ascontiguousarray(np.concatenate(sides, axis=1))


@pytest.mark.parametrize("shape", SHAPES[3:])
@pytest.mark.parametrize("side", ["begin", "end"])
def test_boxes(shape: tuple[int, ...], side: Any, rng: np.random.Generator) -> None:
    x, index, box = integers(rng, shape), rng.permutation(shape[0]), boxes(rng, *shape[:3])
    y = _native.mix(guarded(x, side), guarded(index, side), None, guarded(box, side), poisoned(shape))
    assert np.array_equal(y, ref.cut(x, index, box))


@pytest.mark.usefixtures("keep_threads")
def test_same_bits_on_any_number_of_threads(rng: np.random.Generator) -> None:
    x, index, weight = reals(rng, (17, 90, 33)), rng.permutation(17), rng.random(17).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append(_native.mix(x, index, weight, None, None))
    for y in results[1:]:
        assert_same_bits(y, results[0], "mixed")


def test_refused() -> None:
    x, index, weight = np.zeros((2, 3, 3, 1), np.float32), np.arange(2), np.zeros(2, np.float32)
    box = np.zeros((2, 4), np.int64)
    for bad in (np.array([0, 2]), np.array([-1, 0])):
        with pytest.raises(ArgumentError, match="index holds"):
            _native.mix(x, bad, weight, None, None)
    with pytest.raises(ShapeError, match="index has shape"):
        _native.mix(x, np.arange(3), weight, None, None)
    with pytest.raises(ShapeError, match="dense int64"):
        _native.mix(x, index.astype(np.int32), weight, None, None)
    with pytest.raises(ShapeError, match="weight has shape"):
        _native.mix(x, index, weight[:1], None, None)
    with pytest.raises(ArgumentError, match="box holds 4, wanted 0 to 3"):
        _native.mix(x, index, None, box + 4, None)
    with pytest.raises(ShapeError, match="box has shape"):
        _native.mix(x, index, None, box[:, :3].copy(), None)
    with pytest.raises(ShapeError, match="wanted 4"):
        _native.mix(x[..., 0], index, None, box, None)

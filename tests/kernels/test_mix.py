# SPDX-License-Identifier: Apache-2.0
"""Samples mixed in pairs: what a batch draws, weighted means and boxes of one in the other, both ways."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from augment_calls import DRAW, SEED, STEP, nodes

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.testing import reference as ref
from fastcnn.testing.cases.augment import MIX, AugmentCase, mixing
from fastcnn.testing.compare import assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers, poisoned, reals
from fastcnn.testing.guard import guarded

SHAPES = [(1, 1), (5, 3), (4, 17), (3, 4, 5, 1), (6, 3, 4, 3), (2, 5, 3, 16), (3, 2, 2, 33)]
BOTH = pytest.mark.parametrize("way", ["fwd", "bwd"])


def drawn(case: AugmentCase) -> Any:
    return _native.mix_draw(nodes(case.node, case.shape[1:]), case.shape[0], SEED, STEP)


def run(way: str, x: np.ndarray, pairs: ref.Pairs, side: Any = None) -> np.ndarray:
    """One way; with a side given, between pages that may not be touched."""
    weight, box = pairs.weight.astype(np.float32), pairs.box
    operands = [x, pairs.partner, None if box is not None else weight, box, poisoned(x.shape)]
    if side is not None:
        operands = [None if each is None else guarded(each, side) for each in operands]
    result: np.ndarray = (_native.mix if way == "fwd" else _native.mix_bwd)(*operands)
    return result


def wanted(way: str, x: np.ndarray, pairs: ref.Pairs) -> np.ndarray:
    return (ref.mix if way == "fwd" else ref.mix_bwd)(x, pairs)


@pytest.mark.parametrize("case", MIX, ids=str)
def test_drawn(case: AugmentCase) -> None:
    index, weight, box = drawn(case)
    want = ref.mix_draw(case.shape, case.node, DRAW)
    assert np.array_equal(index, want.partner)
    assert sorted(index) == list(range(case.shape[0]))
    # Rounded to float32; the series of the variate leave 1e-13.
    assert_within(weight, want.weight, 2.0**-24 * np.abs(want.weight) + 1e-12, str(case))
    assert (box is None) == (want.box is None)
    if box is not None:
        assert np.array_equal(box, want.box)


@pytest.mark.parametrize("alpha", [1e-9, 0.05, 0.2, 1.0, 2.5, 40.0])
def test_weights_have_the_moments_of_a_beta_distribution(alpha: float) -> None:
    """To six standard deviations of the means over the samples."""
    samples = 1 << 16
    _, weight, _ = _native.mix_draw(nodes(mixing("up", alpha), (1, 1, 1)), samples, SEED, 0)
    centred = weight.astype(np.float64) - 0.5
    assert np.abs(centred).max() <= 0.5
    variance = 0.25 / (2 * max(alpha, 1e-6) + 1)
    assert abs(centred.mean()) <= 6 * math.sqrt(variance / samples)
    assert abs((centred**2).mean() - variance) <= 6 * math.sqrt(variance * 0.25 / samples)


def test_pairs_are_of_all_kinds() -> None:
    """Every order of three samples about as often: to six standard deviations."""
    draws, found = 6000, {}
    for step in range(draws):
        index, _, _ = _native.mix_draw(nodes(mixing("up", 1.0), (1, 1, 1)), 3, SEED, step)
        found[tuple(index)] = found.get(tuple(index), 0) + 1
    assert len(found) == math.factorial(3)
    assert max(abs(count - draws / 6) for count in found.values()) <= 6 * math.sqrt(draws * 5 / 36)


def pairs_for(rng: np.random.Generator, shape: tuple[int, ...], boxed: bool, whole: bool) -> ref.Pairs:
    """Of a batch; weights are quarters where everything is to be exact."""
    n = shape[0]
    weight = rng.integers(0, 5, n) / 4 if whole else rng.random(n).astype(np.float32).astype(np.float64)
    box = None
    if boxed:
        sides = [np.sort(rng.integers(0, size + 1, (n, 2)), axis=1) for size in shape[1:3]]
        box = np.ascontiguousarray(np.concatenate(sides, axis=1))
    return ref.Pairs(rng.permutation(n), weight, box)


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
def test_means(shape: tuple[int, ...], way: str, rng: np.random.Generator) -> None:
    x, pairs = reals(rng, shape), pairs_for(rng, shape, boxed=False, whole=False)
    bound = gamma(4) * wanted(way, np.abs(x), pairs)
    assert_within(run(way, x, pairs), wanted(way, x, pairs), bound, str(shape))


@BOTH
@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize("shape", SHAPES)
def test_means_in_whole_numbers(
    shape: tuple[int, ...], side: Any, way: str, rng: np.random.Generator
) -> None:
    x, pairs = integers(rng, shape), pairs_for(rng, shape, boxed=False, whole=True)
    assert np.array_equal(run(way, x, pairs, side), wanted(way, x, pairs))


@BOTH
@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize("shape", SHAPES[3:])
def test_boxes(shape: tuple[int, ...], side: Any, way: str, rng: np.random.Generator) -> None:
    x, pairs = integers(rng, shape), pairs_for(rng, shape, boxed=True, whole=True)
    assert np.array_equal(run(way, x, pairs, side), wanted(way, x, pairs))


@pytest.mark.parametrize("boxed", [False, True])
def test_gradients_are_adjoint(boxed: bool, rng: np.random.Generator) -> None:
    shape = (7, 4, 5, 3)
    x, dy = integers(rng, shape), integers(rng, shape)
    pairs = pairs_for(rng, shape, boxed, whole=True)
    forward, backward = run("fwd", x, pairs), run("bwd", dy, pairs)
    assert (forward.astype(np.float64) * dy).sum() == (x.astype(np.float64) * backward).sum()


@BOTH
@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("boxed", [False, True])
def test_same_bits_on_any_number_of_threads(boxed: bool, way: str, rng: np.random.Generator) -> None:
    shape = (17, 30, 33, 3)
    x, pairs, results = reals(rng, shape), pairs_for(rng, shape, boxed, whole=False), []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append(run(way, x, pairs))
    for y in results[1:]:
        assert_same_bits(y, results[0], "mixed")


@pytest.mark.usefixtures("keep_threads")
def test_large_batches_draw_the_same_on_any_number_of_threads() -> None:
    draws = []
    for threads in (1, 2, 3):
        fastcnn.set_num_threads(threads)
        draws.append(_native.mix_draw(nodes(mixing("cut", 1.0), (9, 9, 1)), 5000, SEED, STEP))
    for each in draws[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(each, draws[0], strict=True))


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
    with pytest.raises(ArgumentError, match="names a sample twice"):
        _native.mix_bwd(x, index * 0, weight, None, None)


@pytest.mark.parametrize(
    ("node", "samples", "message"),
    [
        (mixing("up", -1.0), 2, "alpha_low is -1"),
        (mixing("cut", 0.5, 0.2), 2, "alpha_high is 0.2"),
        (mixing("up", float("nan")), 2, "alpha_low is nan"),
        (mixing("across", 0.2), 2, "kind is 'across'"),
        (mixing("up", 0.2), 0, "n is 0"),
    ],
)
def test_what_cannot_be_drawn(node: dict[str, Any], samples: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        _native.mix_draw(nodes(node, (3, 3, 1)), samples, SEED, STEP)

# SPDX-License-Identifier: Apache-2.0
"""Brightness and contrast: exact in whole numbers, within the bound of a mean elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from augment_calls import DRAW, SEED, STEP, nodes, run, run_bwd

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError
from fastcnn.testing import reference as ref
from fastcnn.testing.cases.augment import ADJUST, AugmentCase, adjust
from fastcnn.testing.compare import SUBNORMAL, UNIT, assert_exact, assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers, reals


def bound(case: AugmentCase, x: np.ndarray) -> np.ndarray:
    """Of a mean of so many pixels, a difference, a product and a sum, with a factor below 2."""
    size = np.abs(x).max(axis=(1, 2), keepdims=True)
    pixels = x.shape[1] * x.shape[2]
    return np.asarray((gamma(pixels + 2) + 8 * UNIT) * 2 * (size + np.abs(x)) + SUBNORMAL)


@pytest.mark.parametrize("case", ADJUST, ids=str)
def test_forward(case: AugmentCase, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    wanted = ref.adjust(x, case.node, DRAW)
    assert_within(run(case.node, x), wanted, bound(case, x) + 4 * UNIT, str(case))
    if x[0].size > 50:
        assert {-2.0, 2.0} <= set(wanted.ravel()), "something is clipped"


@pytest.mark.parametrize("case", ADJUST, ids=str)
def test_backward(case: AugmentCase, rng: np.random.Generator) -> None:
    x, dy = reals(rng, case.shape), reals(rng, case.shape)
    wanted = ref.adjust_bwd(dy, x, case.node, DRAW)
    assert_within(run_bwd(case.node, dy, x), wanted, bound(case, dy), str(case))


@pytest.mark.parametrize("channels", [1, 3, 7, 8, 9, 20, 64])
def test_exact_in_whole_numbers(channels: int, rng: np.random.Generator) -> None:
    """64 pixels, whose mean is a multiple of 1/64, and factors that are multiples of 1/4."""
    x = integers(rng, (3, 8, 8, channels))
    for node in (adjust("contrast", 1.5, 1.5, -9, 9), adjust("brightness", 0.25, 0.25, -8, 8)):
        assert_exact(run(node, x), ref.adjust(x, node, DRAW), str(node["kind"]))
        dy = integers(rng, x.shape)
        assert_exact(run_bwd(node, dy, x), ref.adjust_bwd(dy, x, node, DRAW), str(node["kind"]))


@pytest.mark.parametrize("case", ADJUST[::2], ids=str)
@pytest.mark.parametrize("side", ["begin", "end"])
def test_nothing_outside_is_touched(case: AugmentCase, side: Any, rng: np.random.Generator) -> None:
    x, dy = reals(rng, case.shape), reals(rng, case.shape)
    assert_same_bits(run(case.node, x, side=side), run(case.node, x), "forward")
    assert_same_bits(run_bwd(case.node, dy, x, side), run_bwd(case.node, dy, x), "backward")


@pytest.mark.usefixtures("keep_threads")
def test_same_bits_on_any_number_of_threads(rng: np.random.Generator) -> None:
    x, node = reals(rng, (7, 60, 50, 5)), adjust("contrast", 0.3, 1.7, -2, 2)
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append((run(node, x), run_bwd(node, x, x)))
    for y, dx in results[1:]:
        assert_same_bits(y, results[0][0], "forward")
        assert_same_bits(dx, results[0][1], "backward")


def test_nan_stays() -> None:
    x = np.array([[[[np.nan], [1.0]]]], np.float32)
    assert np.isnan(run(adjust("brightness", 0.0, 0.0), x)).ravel().tolist() == [True, False]


BAD = [
    (adjust("brightness", -2.0, 0.0), "factor_low is -2"),
    (adjust("contrast", -0.5, 1.0), "factor_low is -0.5"),
    (adjust("contrast", 0.5, 1.0, 3.0, 1.0), r"value_range is \(3, 1\)"),
    (adjust("contrast", 0.5, 1.0, 0.0, float("inf")), "maximum is inf"),
    (adjust("hue", 0.5, 1.0), "kind"),
]


@pytest.mark.parametrize(("node", "message"), BAD)
def test_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        _native.augment(nodes(node, (3, 3, 1)), np.zeros((1, 3, 3, 1), np.float32), SEED, STEP, True, None)

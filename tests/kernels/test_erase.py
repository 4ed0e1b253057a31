# SPDX-License-Identifier: Apache-2.0
"""Erased rectangles: which pixels, and what they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from augment_calls import DRAW, SEED, STEP, nodes, run, run_bwd

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError
from fastcnn.testing import reference as ref
from fastcnn.testing.cases.augment import ERASE, AugmentCase, erase
from fastcnn.testing.compare import LOG_ULPS, assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers, reals

# Roundings of a deviate: half of the logarithm's, the root, two of the angle, sine or cosine, the product.
DEVIATE = LOG_ULPS + 1 + 2 + 3 + 1


@pytest.mark.parametrize("case", ERASE, ids=str)
def test_forward(case: AugmentCase, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    wanted = ref.erase(x, case.node, DRAW)
    noise = 0 if case.node["fills"] else gamma(DEVIATE + 4) * 8 * case.node["maximum"]
    painted = ref.erased(case.shape, case.node, DRAW)[..., None]
    assert_within(run(case.node, x), wanted, np.where(painted, noise, 0) + 1e-45, str(case))


@pytest.mark.parametrize("case", ERASE, ids=str)
def test_backward(case: AugmentCase, rng: np.random.Generator) -> None:
    x, dy = reals(rng, case.shape), reals(rng, case.shape)
    assert np.array_equal(run_bwd(case.node, dy, x), ref.erase_bwd(dy, case.node, DRAW))


def test_some_images_of_a_batch_have_a_rectangle(rng: np.random.Generator) -> None:
    x = integers(rng, (64, 12, 10, 2))
    node = erase(0.0, chance=(0.5, 0.5), scale=(0.1, 0.5))
    y = run(node, x)
    changed = (y != x).any(axis=(1, 2, 3))
    assert 16 < changed.sum() < 48
    for image in (y == 0).all(axis=-1)[changed]:
        rows, cols = np.nonzero(image)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(cols) + 1), "a rectangle"


@pytest.mark.parametrize("case", ERASE[::2], ids=str)
@pytest.mark.parametrize("side", ["begin", "end"])
def test_nothing_outside_is_touched(case: AugmentCase, side: Any, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    assert_same_bits(run(case.node, x, side=side), run(case.node, x), "forward")


@pytest.mark.usefixtures("keep_threads")
def test_same_bits_on_any_number_of_threads(rng: np.random.Generator) -> None:
    x, results = reals(rng, (9, 60, 50, 5)), []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append(run(erase(), x))
    for y in results[1:]:
        assert_same_bits(y, results[0], "noise")


BAD = [
    ({**erase(1.0), "factor_low": -0.1}, "factor_low is -0.1"),
    ({**erase(1.0), "scale_high": 1.5}, "scale_high is 1.5"),
    (erase(1.0, 2.0), "fill_value has 2 numbers"),
    (erase(float("nan")), "fill_0 is nan"),
]


@pytest.mark.parametrize(("node", "message"), BAD)
def test_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        _native.augment(nodes(node, (3, 3, 1)), np.zeros((1, 3, 3, 1), np.float32), SEED, STEP, True, None)

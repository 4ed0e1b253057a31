# SPDX-License-Identifier: Apache-2.0
"""Initializers: variances, seeds, constants."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastcnn import (
    DTypeError,
    Sequential,
    initializers,
    layers,
)

SHAPE = (3, 3, 16, 32)
FAN_IN, FAN_OUT = 9 * 16, 9 * 32


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT)),
        ("he_uniform", 2 / FAN_IN),
        ("he_normal", 2 / FAN_IN),
        ("lecun_uniform", 1 / FAN_IN),
        ("lecun_normal", 1 / FAN_IN),
        ("random_normal", 0.05**2),
        ("random_uniform", 0.05**2 / 3),
        ("truncated_normal", 0.05**2 * 0.87962566103423978**2),
    ],
)
def test_variance(name: str, variance: float, rng: np.random.Generator) -> None:
    weights = initializers.get(name)(SHAPE, rng=rng)
    assert weights.dtype == np.float32
    # Mean and variance of 4,608 draws, to six standard deviations; a normal's fourth moment is the largest.
    count = weights.size
    assert abs(weights.mean()) < 6 * math.sqrt(variance / count)
    assert abs(weights.var() / variance - 1) < 6 * math.sqrt(2 / count)


@pytest.mark.parametrize("name", ["truncated_normal", "glorot_normal", "he_normal"])
def test_a_cut_normal_is_cut(name: str, rng: np.random.Generator) -> None:
    weights = initializers.get(name)(SHAPE, rng=rng)
    assert np.abs(weights).max() <= 2.05 / 0.87 * weights.std()


def test_constants() -> None:
    assert not initializers.get("zeros")((2, 3)).any()
    assert (initializers.Ones()((2, 3)) == 1).all()
    assert (initializers.Constant(0.5)((4,)) == 0.5).all()
    assert initializers.Constant(np.log([1.0])).get_config() == {"value": 0.0}
    with pytest.raises(DTypeError, match="Constant: value"):
        initializers.Constant(np.ones(2))  # type: ignore[arg-type]


def test_an_initializer_with_a_seed_repeats_itself() -> None:
    fixed = initializers.HeNormal(seed=7)
    np.testing.assert_array_equal(fixed(SHAPE), initializers.HeNormal(seed=7)(SHAPE))
    free = initializers.HeNormal()
    assert (free(SHAPE) != free(SHAPE)).any()
    model = Sequential([layers.Dense(4, kernel_initializer=initializers.HeNormal(seed=7), input_shape=(9,))])
    np.testing.assert_array_equal(model.get_weights()[0], fixed((9, 4)))

# SPDX-License-Identifier: Apache-2.0
"""Convolution of sequences."""

from __future__ import annotations

import numpy as np
from conv_nd_checks import adjoint_test, conv_nd_tests, nan_stays_where_it_belongs

from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "conv1d"
)
test_gradients_are_adjoint = adjoint_test("conv1d")


def test_nan_and_infinity_stay_where_they_belong() -> None:
    nan_stays_where_it_belongs("conv1d", 1)


def test_it_is_conv2d_on_one_row(rng: np.random.Generator) -> None:
    x, w, b = reals(rng, (3, 30, 6)), reals(rng, (5, 3, 8)), reals(rng, (8,))
    y = ops.conv1d(x, w, b, strides=2, padding="same", groups=2, activation="relu")
    row = ops.conv2d(x[:, None], w[None], b, strides=(1, 2), padding="same", groups=2, activation="relu")
    assert_same_bits(y, row[:, 0], "conv1d")


def test_causal_sees_nothing_of_the_future(rng: np.random.Generator) -> None:
    x, w = reals(rng, (1, 20, 3)), reals(rng, (4, 3, 5))
    y = ops.conv1d(x, w, padding="causal", dilation_rate=2)
    later = x.copy()
    later[:, 11:] = np.nan
    assert y.shape == (1, 20, 5)
    assert_same_bits(ops.conv1d(later, w, padding="causal", dilation_rate=2)[:, :11], y[:, :11], "conv1d")

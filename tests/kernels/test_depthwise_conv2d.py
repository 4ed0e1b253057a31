# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution of images."""

from __future__ import annotations

import numpy as np
from conv_nd_checks import adjoint_test, conv_nd_tests

from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "depthwise_conv2d"
)
test_gradients_are_adjoint = adjoint_test("depthwise_conv2d")


def test_it_is_conv2d_of_as_many_groups(rng: np.random.Generator) -> None:
    x, w, b = reals(rng, (2, 7, 6, 5)), reals(rng, (3, 3, 5, 3)), reals(rng, (15,))
    y = ops.depthwise_conv2d(x, w, b, padding="same", activation="relu")
    grouped = ops.conv2d(x, w.reshape(3, 3, 1, 15), b, padding="same", groups=5, activation="relu")
    assert_same_bits(y, grouped, "depthwise_conv2d")

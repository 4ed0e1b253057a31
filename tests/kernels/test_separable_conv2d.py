# SPDX-License-Identifier: Apache-2.0
"""Separable convolution of images."""

from __future__ import annotations

import numpy as np
from conv_nd_checks import conv_nd_tests

from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "separable_conv2d"
)


def test_it_is_its_two_halves(rng: np.random.Generator) -> None:
    x, d, p = reals(rng, (2, 7, 6, 5)), reals(rng, (3, 3, 5, 2)), reals(rng, (1, 1, 10, 17))
    b, dy = reals(rng, (17,)), reals(rng, (2, 4, 3, 17))
    options = {"strides": 2, "padding": "same"}
    middle = ops.depthwise_conv2d(x, d, **options)
    y = ops.separable_conv2d(x, d, p, b, **options, activation="tanh")
    assert_same_bits(y, ops.conv2d(middle, p, b, activation="tanh"), "separable_conv2d")
    back = ops.conv2d_dgrad(dy, p, middle.shape)
    for got, wanted in (
        (ops.separable_conv2d_dgrad(dy, d, p, x.shape, **options),
         ops.depthwise_conv2d_dgrad(back, d, x.shape, **options)),
        (ops.separable_conv2d_depthwise_wgrad(x, dy, p, 3, **options),
         ops.depthwise_conv2d_wgrad(x, back, 3, **options)),
        (ops.separable_conv2d_pointwise_wgrad(x, dy, d, **options), ops.conv2d_wgrad(middle, dy, 1)),
    ):  # fmt: skip
        assert_same_bits(got, wanted, "a gradient of separable_conv2d")

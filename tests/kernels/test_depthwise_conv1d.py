# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution of sequences."""

from __future__ import annotations

from conv_nd_checks import adjoint_test, conv_nd_tests

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "depthwise_conv1d"
)
test_gradients_are_adjoint = adjoint_test("depthwise_conv1d")

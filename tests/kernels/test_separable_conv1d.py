# SPDX-License-Identifier: Apache-2.0
"""Separable convolution of sequences."""

from __future__ import annotations

from conv_nd_checks import conv_nd_tests

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "separable_conv1d"
)

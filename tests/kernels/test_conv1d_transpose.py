# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution of sequences."""

from __future__ import annotations

from conv_nd_checks import adjoint_test, conv_nd_tests, nan_stays_where_it_belongs

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "conv1d_transpose"
)
test_gradients_are_adjoint = adjoint_test("conv1d_transpose")


def test_nan_and_infinity_stay_where_they_belong() -> None:
    nan_stays_where_it_belongs("conv1d_transpose", 1)

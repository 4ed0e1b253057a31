# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution of images."""

from __future__ import annotations

import numpy as np
import pytest
from conv_nd_checks import adjoint_test, conv_nd_tests, nan_stays_where_it_belongs

from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "conv2d_transpose"
)
test_gradients_are_adjoint = adjoint_test("conv2d_transpose")


def test_nan_and_infinity_stay_where_they_belong() -> None:
    nan_stays_where_it_belongs("conv2d_transpose", 2)


def test_it_is_the_data_gradient_of_conv2d(rng: np.random.Generator) -> None:
    x, w = reals(rng, (2, 5, 6, 12)), reals(rng, (3, 3, 8, 12))
    y = ops.conv2d_transpose(x, w, strides=2, padding="same")
    assert_same_bits(y, ops.conv2d_dgrad(x, w, (2, 10, 12, 8), strides=2, padding="same"), "conv2d_transpose")


# Rows of Keras's documentation and code: size, window, stride, padding, output_padding, dilation to output.
KERAS = (
    (5, 3, 2, "valid", None, 1, 11),
    (5, 2, 3, "valid", None, 1, 15),
    (5, 3, 2, "same", None, 1, 10),
    (5, 4, 2, "same", None, 1, 10),
    (5, 3, 2, "same", 1, 1, 10),
    (5, 3, 2, "same", 0, 1, 9),
    (5, 4, 2, "same", 1, 1, 9),
    (5, 3, 2, "valid", 1, 1, 12),
    (5, 3, 1, "valid", None, 2, 9),
    (5, 3, 1, "same", None, 2, 5),
)


@pytest.mark.parametrize(("size", "window", "stride", "padding", "added", "dilation", "wanted"), KERAS)
def test_output_size_is_that_of_keras(
    size: int, window: int, stride: int, padding: str, added: int | None, dilation: int, wanted: int
) -> None:
    y = ops.conv2d_transpose(
        np.ones((1, size, 1, 1), np.float32), np.ones((window, 1, 1, 1), np.float32), strides=(stride, 1),
        padding=padding, output_padding=None if added is None else (added, 0), dilation_rate=(dilation, 1),
    )  # fmt: skip
    assert y.shape[1] == wanted

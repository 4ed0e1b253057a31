# SPDX-License-Identifier: Apache-2.0
"""Convolution of volumes."""

from __future__ import annotations

import os

import numpy as np
from conv_nd_checks import adjoint_test, conv_nd_tests, nan_stays_where_it_belongs

from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import integers, reals

test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first = conv_nd_tests(
    "conv3d"
)
test_gradients_are_adjoint = adjoint_test("conv3d")


def test_nan_and_infinity_stay_where_they_belong() -> None:
    nan_stays_where_it_belongs("conv3d", 3)


def test_it_is_the_sum_of_conv2d_over_frames(rng: np.random.Generator) -> None:
    """In whole numbers, whose sums have one value in any order."""
    x = rng.integers(-4, 5, (2, 5, 6, 7, 4)).astype(np.float32)
    w = rng.integers(-4, 5, (3, 3, 2, 4, 9)).astype(np.float32)
    y = ops.conv3d(x, w)
    for z in range(3):
        frames = sum(ops.conv2d(x[:, z + t], w[t]) for t in range(3))
        assert_same_bits(y[:, z], frames, f"frame {z}")


def test_frames_of_a_flat_kernel_are_images(rng: np.random.Generator) -> None:
    """On a GPU but for roundings: other kernels may add in another order."""
    fill = integers if os.environ.get("FASTCNN_TEST_DEVICE") == "cuda" else reals
    x, w = fill(rng, (2, 3, 6, 7, 4)), fill(rng, (1, 3, 3, 4, 9))
    y = ops.conv3d(x, w, padding="same")
    images = ops.conv2d(x.reshape(6, 6, 7, 4), w[0], padding="same")
    assert_same_bits(y.reshape(images.shape), images, "conv3d")

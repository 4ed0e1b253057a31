# SPDX-License-Identifier: Apache-2.0
"""References of the convolutions beyond conv2d: against that of conv2d, gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from test_reference import assert_gradient

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.case import ConvNdCase

SMALL = (
    ConvNdCase("conv1d", 2, (5,), 2, 3, (3,), (2,), "same"),
    ConvNdCase("conv1d", 1, (6,), 2, 2, (3,), padding="causal", dilation_rate=(2,)),
    ConvNdCase("conv3d", 1, (3, 2, 3), 2, 4, (2, 2, 2), (1, 2, 1), "same", groups=2),
    ConvNdCase("conv1d_transpose", 2, (3,), 2, 3, (3,), (2,), "same"),
    ConvNdCase("conv2d_transpose", 1, (2, 3), 4, 2, (3, 2), (2, 1), ((1, 0), (0, 1)), groups=2),
    ConvNdCase("conv2d_transpose", 1, (3, 2), 2, 3, (2, 2), (3, 2), output_padding=(2, 1)),
    ConvNdCase("conv3d_transpose", 1, (2, 2, 2), 2, 2, (2, 2, 1), (2, 1, 1), "same"),
    ConvNdCase("depthwise_conv1d", 2, (5,), 2, 4, (2,), (2,)),
    ConvNdCase("depthwise_conv2d", 1, (4, 3), 2, 6, (3, 2), padding="same"),
)
SEPARABLE = (
    ConvNdCase("separable_conv1d", 2, (5,), 2, 3, (3,), (2,), "same"),
    ConvNdCase("separable_conv2d", 1, (4, 3), 2, 3, (2, 2), multiplier=2),
)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.op}-{case}")
def test_gradients(case: ConvNdCase, rng: np.random.Generator) -> None:
    shapes = (case.x_shape, case.kernel_shape, case.y_shape)
    x, w, dy = (rng.standard_normal(shape) for shape in shapes)
    forward, options = getattr(ref, case.op), case.options
    dx = getattr(ref, f"{case.op}_dgrad")(dy, w, x.shape, **options)
    dw = getattr(ref, f"{case.op}_wgrad")(x, dy, case.window, **options)
    assert_gradient(lambda v: float((dy * forward(v, w, **options)).sum()), dx, x)
    assert_gradient(lambda v: float((dy * forward(x, v, **options)).sum()), dw, w)


@pytest.mark.parametrize("case", SEPARABLE, ids=lambda case: f"{case.op}-{case}")
def test_gradients_of_separable(case: ConvNdCase, rng: np.random.Generator) -> None:
    shapes = (case.x_shape, case.kernel_shape, case.pointwise_shape, case.y_shape)
    x, d, p, dy = (rng.standard_normal(shape) for shape in shapes)
    forward, options = getattr(ref, case.op), case.options
    dx = getattr(ref, f"{case.op}_dgrad")(dy, d, p, x.shape, **options)
    dd = getattr(ref, f"{case.op}_depthwise_wgrad")(x, dy, p, case.window, **options)
    dp = getattr(ref, f"{case.op}_pointwise_wgrad")(x, dy, d, **options)
    assert_gradient(lambda v: float((dy * forward(v, d, p, **options)).sum()), dx, x)
    assert_gradient(lambda v: float((dy * forward(x, v, p, **options)).sum()), dd, d)
    assert_gradient(lambda v: float((dy * forward(x, d, v, **options)).sum()), dp, p)


@pytest.mark.parametrize("case", cases.CONV[:38], ids=str)
def test_two_axes_are_conv2d(case: cases.ConvCase, rng: np.random.Generator) -> None:
    """The walk over any number of axes gives what the reference of conv2d, written apart, gives."""
    x, w, dy = (
        rng.integers(-4, 5, shape).astype(np.float64)
        for shape in (case.x_shape, case.kernel_shape, case.y_shape)
    )
    options = case.options
    assert np.array_equal(ref.conv1d(x, w, **options), ref.conv2d(x, w, **options))
    dx = ref.conv1d_dgrad(dy, w, case.x_shape, **options)
    assert np.array_equal(dx, ref.conv2d_dgrad(dy, w, case.x_shape, **options))
    dw = ref.conv1d_wgrad(x, dy, (case.r, case.s), **options)
    assert np.array_equal(dw, ref.conv2d_wgrad(x, dy, (case.r, case.s), **options))


def test_transposed_by_hand() -> None:
    x, w = np.array([[[1.0], [10.0]]]), np.array([[[1.0]], [[2.0]], [[3.0]]])
    options = {"strides": 2}
    assert ref.conv1d_transpose(x, w, **options)[0, :, 0].tolist() == [1, 2, 13, 20, 30]
    assert ref.conv1d_transpose(x, w, padding="same", **options)[0, :, 0].tolist() == [1, 2, 13, 20]
    cut = ref.conv1d_transpose(x, w, padding=1, output_padding=1, **options)
    assert cut[0, :, 0].tolist() == [2, 13, 20, 30]
    assert ref.conv1d_transpose(x, w[:1], strides=3)[0, :, 0].tolist() == [1, 0, 0, 10, 0, 0]

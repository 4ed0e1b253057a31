# SPDX-License-Identifier: Apache-2.0
"""The convolutions of `conv_nd` under the names and with the arguments of ``fastcnn.ops``.

The rank of the arrays says how many spatial axes there are, so the names of all ranks are one function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastcnn.testing.reference.conv_nd import (
    PaddingNd,
    Real,
    Sizes,
    Sum,
    finish,
    real,
    sizes,
    walk,
    walk_transposed,
)

Shape = tuple[int, ...]


def conv1d(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, *,
    strides: Sizes = 1, padding: PaddingNd = "valid", dilation_rate: Sizes = 1, groups: int = 1,
    activation: str | None = None,
) -> Real:  # fmt: skip
    """``y[n,p,k] = b[k] + sum_{r,c} x[n, p stride + r dilation - before, c] w[r,c,k]``, on each axis."""
    image, weight = real(x, kernel)
    sums = walk(image.shape[1:-1], weight.shape[:-2], strides, padding, dilation_rate, groups)
    return finish(sums.fprop(image, weight), bias, activation)


def conv1d_dgrad(
    dy: ArrayLike, kernel: ArrayLike, input_shape: Shape, *,
    strides: Sizes = 1, padding: PaddingNd = "valid", dilation_rate: Sizes = 1, groups: int = 1,
) -> Real:  # fmt: skip
    """Gradient with respect to x."""
    gradient, weight = real(dy, kernel)
    sums = walk(tuple(input_shape[1:-1]), weight.shape[:-2], strides, padding, dilation_rate, groups)
    return sums.dgrad(gradient, weight)


def conv1d_wgrad(
    x: ArrayLike, dy: ArrayLike, kernel_size: Sizes, *,
    strides: Sizes = 1, padding: PaddingNd = "valid", dilation_rate: Sizes = 1, groups: int = 1,
) -> Real:  # fmt: skip
    """Gradient with respect to the kernel."""
    image, gradient = real(x, dy)
    return walk(image.shape[1:-1], kernel_size, strides, padding, dilation_rate, groups).wgrad(
        image, gradient
    )


conv3d, conv3d_dgrad, conv3d_wgrad = conv1d, conv1d_dgrad, conv1d_wgrad


def conv1d_transpose(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, *, groups: int = 1,
    activation: str | None = None, **options: Any,
) -> Real:  # fmt: skip
    """``y[n, i stride + r dilation - before, k] += x[n,i,c] w[r,k,c]`` for all i, r and c; then the bias."""
    image, weight = real(x, kernel)
    return finish(
        _transposed(image.shape, weight.shape[:-2], groups, options).dgrad(image, weight), bias, activation
    )


def conv1d_transpose_dgrad(
    dy: ArrayLike, kernel: ArrayLike, input_shape: Shape, *, groups: int = 1, **options: Any
) -> Real:
    """Gradient with respect to x: what each input gave to its outputs, taken back."""
    gradient, weight = real(dy, kernel)
    return _transposed(input_shape, weight.shape[:-2], groups, options).fprop(gradient, weight)


def conv1d_transpose_wgrad(
    x: ArrayLike, dy: ArrayLike, kernel_size: Sizes, *, groups: int = 1, **options: Any
) -> Real:
    """Gradient with respect to the kernel; [...,filters/groups,channels]."""
    image, gradient = real(x, dy)
    return _transposed(image.shape, kernel_size, groups, options).wgrad(gradient, image)


def _transposed(shape: Shape, window: Sizes, groups: int, options: dict[str, Any]) -> Sum:
    defaults = {"strides": 1, "padding": "valid", "output_padding": None, "dilation_rate": 1}
    return walk_transposed(tuple(shape[1:-1]), window, {**defaults, **options}, groups)


conv2d_transpose = conv3d_transpose = conv1d_transpose
conv2d_transpose_dgrad = conv3d_transpose_dgrad = conv1d_transpose_dgrad
conv2d_transpose_wgrad = conv3d_transpose_wgrad = conv1d_transpose_wgrad


def depthwise_conv1d(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, *, activation: str | None = None,
    **options: Any,
) -> Real:  # fmt: skip
    """Output channel ``c M + m`` sees input channel c through ``kernel[...,c,m]``."""
    image, weight = real(x, kernel)
    return conv1d(image, _grouped(weight), bias, groups=image.shape[-1], activation=activation, **options)


def depthwise_conv1d_dgrad(dy: ArrayLike, kernel: ArrayLike, input_shape: Shape, **options: Any) -> Real:
    """Gradient with respect to x."""
    weight = np.asarray(kernel, np.float64)
    return conv1d_dgrad(dy, _grouped(weight), input_shape, groups=input_shape[-1], **options)


def depthwise_conv1d_wgrad(x: ArrayLike, dy: ArrayLike, kernel_size: Sizes, **options: Any) -> Real:
    """Gradient with respect to the kernel; [...,C,M]."""
    image, gradient = real(x, dy)
    c = image.shape[-1]
    dw = conv1d_wgrad(image, gradient, kernel_size, groups=c, **options)
    return dw.reshape(*sizes(kernel_size, image.ndim - 2), c, gradient.shape[-1] // c)


def _grouped(weight: Real) -> Real:
    """[...,C,M] as the kernel of C groups, [...,1,C M]."""
    return weight.reshape(*weight.shape[:-2], 1, weight.shape[-2] * weight.shape[-1])


depthwise_conv2d = depthwise_conv1d
depthwise_conv2d_dgrad, depthwise_conv2d_wgrad = depthwise_conv1d_dgrad, depthwise_conv1d_wgrad


def separable_conv1d(
    x: ArrayLike, depthwise_kernel: ArrayLike, pointwise_kernel: ArrayLike, bias: ArrayLike | None = None, *,
    activation: str | None = None, **options: Any,
) -> Real:  # fmt: skip
    """A depthwise convolution, then one of one tap over all of its channels."""
    return conv1d(
        depthwise_conv1d(x, depthwise_kernel, **options), pointwise_kernel, bias, activation=activation
    )


def separable_conv1d_dgrad(
    dy: ArrayLike,
    depthwise_kernel: ArrayLike,
    pointwise_kernel: ArrayLike,
    input_shape: Shape,
    **options: Any,
) -> Real:
    """Gradient with respect to x."""
    middle = _middle_gradient(dy, pointwise_kernel)
    return depthwise_conv1d_dgrad(middle, depthwise_kernel, input_shape, **options)


def separable_conv1d_depthwise_wgrad(
    x: ArrayLike, dy: ArrayLike, pointwise_kernel: ArrayLike, kernel_size: Sizes, **options: Any
) -> Real:
    """Gradient with respect to the depthwise kernel."""
    return depthwise_conv1d_wgrad(x, _middle_gradient(dy, pointwise_kernel), kernel_size, **options)


def separable_conv1d_pointwise_wgrad(
    x: ArrayLike, dy: ArrayLike, depthwise_kernel: ArrayLike, **options: Any
) -> Real:
    """Gradient with respect to the pointwise kernel."""
    return conv1d_wgrad(depthwise_conv1d(x, depthwise_kernel, **options), dy, 1)


def _middle_gradient(dy: ArrayLike, pointwise_kernel: ArrayLike) -> Real:
    gradient, weight = real(dy, pointwise_kernel)
    return conv1d_dgrad(gradient, weight, (*gradient.shape[:-1], weight.shape[-2]))


separable_conv2d, separable_conv2d_dgrad = separable_conv1d, separable_conv1d_dgrad
separable_conv2d_depthwise_wgrad = separable_conv1d_depthwise_wgrad
separable_conv2d_pointwise_wgrad = separable_conv1d_pointwise_wgrad

# SPDX-License-Identifier: Apache-2.0
"""Separable convolution of sequences, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "separable_conv1d",
    "separable_conv1d_depthwise_wgrad",
    "separable_conv1d_dgrad",
    "separable_conv1d_pointwise_wgrad",
]


def separable_conv1d(
    x: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    bias: Array | None = None,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    activation: str | None = None,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """A depthwise convolution, then a pointwise one: `depthwise_conv1d`, then `conv1d` with one tap.

    Parameters
    ----------
    x
        Float32 ``[N, L, C]``.
    depthwise_kernel
        Float32 ``[S, C, M]``.
    pointwise_kernel
        Float32 ``[1, C * M, K]``.
    bias
        Float32 ``[K]``, added after the pointwise half, or None.
    strides, padding, dilation_rate
        Of the depthwise half, as in `conv2d`.
    activation, data_format, math, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, Q, K]``.

    Raises
    ------
    ShapeError, ArgumentError, DTypeError
        An argument lies outside its domain, or two do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    >>> ops.separable_conv1d(x, np.ones((2, 2, 1), np.float32), np.ones((1, 2, 1), np.float32)).ravel()
    array([6.], dtype=float32)
    """
    return _native.separable_conv1d(
        x,
        depthwise_kernel,
        pointwise_kernel,
        bias,
        strides,
        padding,
        dilation_rate,
        activation,
        data_format,
        math,
        out,
    )


def separable_conv1d_dgrad(
    dy: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    input_shape: Sequence[int],
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `separable_conv1d` with respect to its input.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, Q, K]``.
    depthwise_kernel, pointwise_kernel
        Float32 ``[S, C, M]`` and ``[1, C * M, K]``.
    input_shape
        Shape of ``x``: ``(N, L, C)``.
    strides, padding, dilation_rate, data_format, math, out
        As in `separable_conv1d`.

    Returns
    -------
    Float32 ``[N, L, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, kernel = np.ones((1, 2, 1), np.float32), np.ones((2, 1, 1), np.float32)
    >>> ops.separable_conv1d_dgrad(dy, kernel, np.full((1, 1, 1), 3, np.float32), (1, 3, 1)).ravel()
    array([3., 6., 3.], dtype=float32)
    """
    return _native.separable_conv1d_dgrad(
        dy,
        depthwise_kernel,
        pointwise_kernel,
        shape_of(input_shape),
        strides,
        padding,
        dilation_rate,
        data_format,
        math,
        out,
    )


def separable_conv1d_depthwise_wgrad(
    x: Array,
    dy: Array,
    pointwise_kernel: Array,
    kernel_size: Sizes,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `separable_conv1d` with respect to its depthwise kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, L, C]``.
    dy
        Gradient of the output, float32 ``[N, Q, K]``.
    pointwise_kernel
        Float32 ``[1, C * M, K]``.
    kernel_size
        ``S``.
    strides, padding, dilation_rate, data_format, math, out
        As in `separable_conv1d`.

    Returns
    -------
    Float32 ``[S, C, M]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    >>> dy = np.ones((1, 2, 1), np.float32)
    >>> pointwise = np.full((1, 1, 1), 2, np.float32)
    >>> ops.separable_conv1d_depthwise_wgrad(x, dy, pointwise, 2).ravel()
    array([2., 6.], dtype=float32)
    """
    return _native.separable_conv1d_depthwise_wgrad(
        x, dy, pointwise_kernel, kernel_size, strides, padding, dilation_rate, data_format, math, out
    )


def separable_conv1d_pointwise_wgrad(
    x: Array,
    dy: Array,
    depthwise_kernel: Array,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `separable_conv1d` with respect to its pointwise kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, L, C]``.
    dy
        Gradient of the output, float32 ``[N, Q, K]``.
    depthwise_kernel
        Float32 ``[S, C, M]``.
    strides, padding, dilation_rate, data_format, math, out
        As in `separable_conv1d`.

    Returns
    -------
    Float32 ``[1, C * M, K]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    >>> dy = np.ones((1, 2, 1), np.float32)
    >>> ops.separable_conv1d_pointwise_wgrad(x, dy, np.ones((2, 1, 1), np.float32)).ravel()
    array([4.], dtype=float32)
    """
    return _native.separable_conv1d_pointwise_wgrad(
        x, dy, depthwise_kernel, strides, padding, dilation_rate, data_format, math, out
    )

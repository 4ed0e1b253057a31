# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "depthwise_conv1d",
    "depthwise_conv1d_dgrad",
    "depthwise_conv1d_wgrad",
    "depthwise_conv2d",
    "depthwise_conv2d_dgrad",
    "depthwise_conv2d_wgrad",
]


def depthwise_conv2d(
    x: Array,
    kernel: Array,
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
    """Convolve every channel with filters of its own: `conv2d` with ``groups=C``.

    ``y[n,p,q,c*M + m] = activation(bias[c*M + m] + sum_{r,s} kernel[r,s,c,m]
    * x[n, p*stride + r*dilation - top, q*stride + s*dilation - left, c])``

    Parameters
    ----------
    x
        Float32 ``[N, H, W, C]``.
    kernel
        Float32 ``[R, S, C, M]``; ``M`` is Keras's ``depth_multiplier``.
    bias
        Float32 ``[C * M]``, or None.
    strides, padding, dilation_rate, activation, data_format, math, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, P, Q, C * M]``.

    Raises
    ------
    ShapeError, ArgumentError, DTypeError
        An argument lies outside its domain, or two do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(4, dtype=np.float32).reshape(1, 2, 1, 2)
    >>> ops.depthwise_conv2d(x, np.ones((2, 1, 2, 1), np.float32)).ravel()
    array([2., 4.], dtype=float32)
    """
    return _native.conv(
        "depthwise_conv2d",
        x,
        kernel,
        bias,
        strides,
        padding,
        None,
        dilation_rate,
        1,
        activation,
        data_format,
        math,
        out,
    )


def depthwise_conv2d_dgrad(
    dy: Array,
    kernel: Array,
    input_shape: Sequence[int],
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `depthwise_conv2d` with respect to its input.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, C * M]``.
    kernel
        Float32 ``[R, S, C, M]``.
    input_shape
        Shape of ``x``: ``(N, H, W, C)``.
    strides, padding, dilation_rate, data_format, math, out
        As in `depthwise_conv2d`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, kernel = np.ones((1, 2, 1, 1), np.float32), np.ones((2, 1, 1, 1), np.float32)
    >>> ops.depthwise_conv2d_dgrad(dy, kernel, (1, 3, 1, 1)).ravel()
    array([1., 2., 1.], dtype=float32)
    """
    return _native.conv_dgrad(
        "depthwise_conv2d_dgrad",
        dy,
        kernel,
        shape_of(input_shape),
        strides,
        padding,
        None,
        dilation_rate,
        1,
        data_format,
        math,
        out,
    )


def depthwise_conv2d_wgrad(
    x: Array,
    dy: Array,
    kernel_size: Sizes,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `depthwise_conv2d` with respect to its kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, H, W, C]``.
    dy
        Gradient of the output, float32 ``[N, P, Q, C * M]``.
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, padding, dilation_rate, data_format, math, out
        As in `depthwise_conv2d`.

    Returns
    -------
    Float32 ``[R, S, C, M]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)
    >>> ops.depthwise_conv2d_wgrad(x, np.ones((1, 2, 1, 1), np.float32), (2, 1)).ravel()
    array([1., 3.], dtype=float32)
    """
    return _native.conv_wgrad(
        "depthwise_conv2d_wgrad",
        x,
        dy,
        kernel_size,
        strides,
        padding,
        None,
        dilation_rate,
        1,
        data_format,
        math,
        out,
    )


def depthwise_conv1d(
    x: Array,
    kernel: Array,
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
    """Convolve every channel with filters of its own: `conv1d` with ``groups=C``.

    ``y[n,q,c*M + m] = activation(bias[c*M + m] + sum_s kernel[s,c,m]
    * x[n, q*stride + s*dilation - before, c])``

    Parameters
    ----------
    x
        Float32 ``[N, L, C]``.
    kernel
        Float32 ``[S, C, M]``; ``M`` is Keras's ``depth_multiplier``.
    bias
        Float32 ``[C * M]``, or None.
    strides, padding, dilation_rate, activation, data_format, math, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, Q, C * M]``.

    Raises
    ------
    ShapeError, ArgumentError, DTypeError
        An argument lies outside its domain, or two do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    >>> ops.depthwise_conv1d(x, np.ones((2, 2, 1), np.float32)).ravel()
    array([2., 4.], dtype=float32)
    """
    return _native.conv(
        "depthwise_conv1d",
        x,
        kernel,
        bias,
        strides,
        padding,
        None,
        dilation_rate,
        1,
        activation,
        data_format,
        math,
        out,
    )


def depthwise_conv1d_dgrad(
    dy: Array,
    kernel: Array,
    input_shape: Sequence[int],
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `depthwise_conv1d` with respect to its input.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, Q, C * M]``.
    kernel
        Float32 ``[S, C, M]``.
    input_shape
        Shape of ``x``: ``(N, L, C)``.
    strides, padding, dilation_rate, data_format, math, out
        As in `depthwise_conv1d`.

    Returns
    -------
    Float32 ``[N, L, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, kernel = np.ones((1, 2, 1), np.float32), np.ones((2, 1, 1), np.float32)
    >>> ops.depthwise_conv1d_dgrad(dy, kernel, (1, 3, 1)).ravel()
    array([1., 2., 1.], dtype=float32)
    """
    return _native.conv_dgrad(
        "depthwise_conv1d_dgrad",
        dy,
        kernel,
        shape_of(input_shape),
        strides,
        padding,
        None,
        dilation_rate,
        1,
        data_format,
        math,
        out,
    )


def depthwise_conv1d_wgrad(
    x: Array,
    dy: Array,
    kernel_size: Sizes,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `depthwise_conv1d` with respect to its kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, L, C]``.
    dy
        Gradient of the output, float32 ``[N, Q, C * M]``.
    kernel_size
        ``S``.
    strides, padding, dilation_rate, data_format, math, out
        As in `depthwise_conv1d`.

    Returns
    -------
    Float32 ``[S, C, M]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    >>> ops.depthwise_conv1d_wgrad(x, np.ones((1, 2, 1), np.float32), 2).ravel()
    array([1., 3.], dtype=float32)
    """
    return _native.conv_wgrad(
        "depthwise_conv1d_wgrad",
        x,
        dy,
        kernel_size,
        strides,
        padding,
        None,
        dilation_rate,
        1,
        data_format,
        math,
        out,
    )

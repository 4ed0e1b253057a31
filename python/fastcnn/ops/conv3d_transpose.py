# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution of volumes, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "conv3d_transpose",
    "conv3d_transpose_dgrad",
    "conv3d_transpose_wgrad",
]


def conv3d_transpose(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    output_padding: Sizes | None = None,
    dilation_rate: Sizes = 1,
    groups: int = 1,
    activation: str | None = None,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Transposed convolution of volumes; formula, sizes and arguments as in `conv2d_transpose`.

    Parameters
    ----------
    x
        Float32 ``[N, D, H, W, C]``.
    kernel
        Float32 ``[T, R, S, K / groups, C]``.
    bias
        Float32 ``[K]``, or None.
    strides, padding, output_padding, dilation_rate, groups, activation, data_format, math, out
        As in `conv2d_transpose`.

    Returns
    -------
    Float32 ``[N, Z, P, Q, K]``.

    Raises
    ------
    ShapeError, ArgumentError, DTypeError
        An argument lies outside its domain, or two do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x, kernel = np.ones((1, 2, 1, 1, 1), np.float32), np.ones((3, 1, 1, 1, 1), np.float32)
    >>> ops.conv3d_transpose(x, kernel, strides=(2, 1, 1))[0, :, 0, 0, 0]
    array([1., 1., 2., 1., 1.], dtype=float32)
    """
    return _native.conv(
        "conv3d_transpose",
        x,
        kernel,
        bias,
        strides,
        padding,
        output_padding,
        dilation_rate,
        groups,
        activation,
        data_format,
        math,
        out,
    )


def conv3d_transpose_dgrad(
    dy: Array,
    kernel: Array,
    input_shape: Sequence[int],
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    output_padding: Sizes | None = None,
    dilation_rate: Sizes = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `conv3d_transpose` with respect to its input: a plain convolution of ``dy``.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, Z, P, Q, K]``.
    kernel
        Float32 ``[T, R, S, K / groups, C]``.
    input_shape
        Shape of ``x``: ``(N, D, H, W, C)``.
    strides, padding, output_padding, dilation_rate, groups, data_format, math, out
        As in `conv3d_transpose`.

    Returns
    -------
    Float32 ``[N, D, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1, 1)
    >>> kernel = np.ones((3, 1, 1, 1, 1), np.float32)
    >>> ops.conv3d_transpose_dgrad(dy, kernel, (1, 2, 1, 1, 1), strides=(2, 1, 1))[0, :, 0, 0, 0]
    array([3., 9.], dtype=float32)
    """
    return _native.conv_dgrad(
        "conv3d_transpose_dgrad",
        dy,
        kernel,
        shape_of(input_shape),
        strides,
        padding,
        output_padding,
        dilation_rate,
        groups,
        data_format,
        math,
        out,
    )


def conv3d_transpose_wgrad(
    x: Array,
    dy: Array,
    kernel_size: Sizes,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    output_padding: Sizes | None = None,
    dilation_rate: Sizes = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `conv3d_transpose` with respect to its kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, D, H, W, C]``.
    dy
        Gradient of the output, float32 ``[N, Z, P, Q, K]``.
    kernel_size
        ``T``, ``R`` and ``S``; a number or three.
    strides, padding, output_padding, dilation_rate, groups, data_format, math, out
        As in `conv3d_transpose`.

    Returns
    -------
    Float32 ``[T, R, S, K / groups, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.ones((1, 2, 1, 1, 1), np.float32)
    >>> dy = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1, 1)
    >>> ops.conv3d_transpose_wgrad(x, dy, (3, 1, 1), strides=(2, 1, 1))[:, 0, 0, 0, 0]
    array([2., 4., 6.], dtype=float32)
    """
    return _native.conv_wgrad(
        "conv3d_transpose_wgrad",
        x,
        dy,
        kernel_size,
        strides,
        padding,
        output_padding,
        dilation_rate,
        groups,
        data_format,
        math,
        out,
    )

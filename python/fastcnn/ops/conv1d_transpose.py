# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution of sequences, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "conv1d_transpose",
    "conv1d_transpose_dgrad",
    "conv1d_transpose_wgrad",
]


def conv1d_transpose(
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
    """Transposed convolution of sequences; formula, sizes and arguments as in `conv2d_transpose`.

    Parameters
    ----------
    x
        Float32 ``[N, L, C]``.
    kernel
        Float32 ``[S, K / groups, C]``.
    bias
        Float32 ``[K]``, or None.
    strides, padding, output_padding, dilation_rate, groups, activation, data_format, math, out
        As in `conv2d_transpose`.

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
    >>> x, kernel = np.ones((1, 2, 1), np.float32), np.ones((3, 1, 1), np.float32)
    >>> ops.conv1d_transpose(x, kernel, strides=2)[0, :, 0]
    array([1., 1., 2., 1., 1.], dtype=float32)
    """
    return _native.conv(
        "conv1d_transpose",
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


def conv1d_transpose_dgrad(
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
    """Gradient of `conv1d_transpose` with respect to its input: a plain convolution of ``dy``.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, Q, K]``.
    kernel
        Float32 ``[S, K / groups, C]``.
    input_shape
        Shape of ``x``: ``(N, L, C)``.
    strides, padding, output_padding, dilation_rate, groups, data_format, math, out
        As in `conv1d_transpose`.

    Returns
    -------
    Float32 ``[N, L, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    >>> kernel = np.ones((3, 1, 1), np.float32)
    >>> ops.conv1d_transpose_dgrad(dy, kernel, (1, 2, 1), strides=2)[0, :, 0]
    array([3., 9.], dtype=float32)
    """
    return _native.conv_dgrad(
        "conv1d_transpose_dgrad",
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


def conv1d_transpose_wgrad(
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
    """Gradient of `conv1d_transpose` with respect to its kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, L, C]``.
    dy
        Gradient of the output, float32 ``[N, Q, K]``.
    kernel_size
        ``S``; a number or one in a tuple.
    strides, padding, output_padding, dilation_rate, groups, data_format, math, out
        As in `conv1d_transpose`.

    Returns
    -------
    Float32 ``[S, K / groups, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.ones((1, 2, 1), np.float32)
    >>> dy = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    >>> ops.conv1d_transpose_wgrad(x, dy, 3, strides=2)[:, 0, 0]
    array([2., 4., 6.], dtype=float32)
    """
    return _native.conv_wgrad(
        "conv1d_transpose_wgrad",
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

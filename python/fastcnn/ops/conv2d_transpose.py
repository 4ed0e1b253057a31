# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution of images, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "conv2d_transpose",
    "conv2d_transpose_dgrad",
    "conv2d_transpose_wgrad",
]


def conv2d_transpose(
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
    """Transposed convolution: every pixel of ``x`` gives its product with the kernel to a window of ``y``.

    ``y[n, i*stride + r*dilation - top, j*stride + s*dilation - left, k] += kernel[r,s,k,c] * x[n,i,j,c]``
    over all i, j, r, s and c; then the bias and the activation. It is `conv2d_dgrad` as a forward pass
    (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016).

    With ``extent = dilation * (taps - 1) + 1``, an axis of ``n`` pixels grows to
    ``(n - 1) * stride + extent + output_padding - before - after``; with ``padding="same"`` to
    ``n * stride``, or, if ``output_padding`` is given, to
    ``(n - 1) * stride + extent % 2 + output_padding``.

    Parameters
    ----------
    x
        Images, float32 ``[N, H, W, C]``.
    kernel
        Float32 ``[R, S, K / groups, C]`` (Keras's layout).
    bias
        Float32 ``[K]``, or None.
    strides, dilation_rate
        Pixels between the windows, and between the taps of one window.
    padding
        What is cut off the border; see the module.
    output_padding
        Pixels added below and to the right, fewer than the larger of stride and dilation. None: as many as
        make the last stride whole where it is larger than the window (as Keras does), else none.
    groups
        Divides both ``C`` and ``K``, as in `conv2d`.
    activation, data_format, math, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, P, Q, K]``.

    Raises
    ------
    ShapeError, ArgumentError, DTypeError
        An argument lies outside its domain, or two do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x, kernel = np.ones((1, 2, 1, 1), np.float32), np.ones((3, 1, 1, 1), np.float32)
    >>> ops.conv2d_transpose(x, kernel, strides=(2, 1))[0, :, 0, 0]
    array([1., 1., 2., 1., 1.], dtype=float32)
    """
    return _native.conv(
        "conv2d_transpose",
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


def conv2d_transpose_dgrad(
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
    """Gradient of `conv2d_transpose` with respect to its input: a plain convolution of ``dy``.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, K]``.
    kernel
        Float32 ``[R, S, K / groups, C]``.
    input_shape
        Shape of ``x``: ``(N, H, W, C)``.
    strides, padding, output_padding, dilation_rate, groups, data_format, math, out
        As in `conv2d_transpose`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    >>> kernel = np.ones((3, 1, 1, 1), np.float32)
    >>> ops.conv2d_transpose_dgrad(dy, kernel, (1, 2, 1, 1), strides=(2, 1))[0, :, 0, 0]
    array([3., 9.], dtype=float32)
    """
    return _native.conv_dgrad(
        "conv2d_transpose_dgrad",
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


def conv2d_transpose_wgrad(
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
    """Gradient of `conv2d_transpose` with respect to its kernel.

    Parameters
    ----------
    x
        Input, float32 ``[N, H, W, C]``.
    dy
        Gradient of the output, float32 ``[N, P, Q, K]``.
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, padding, output_padding, dilation_rate, groups, data_format, math, out
        As in `conv2d_transpose`.

    Returns
    -------
    Float32 ``[R, S, K / groups, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.ones((1, 2, 1, 1), np.float32)
    >>> dy = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    >>> ops.conv2d_transpose_wgrad(x, dy, (3, 1), strides=(2, 1))[:, 0, 0, 0]
    array([2., 4., 6.], dtype=float32)
    """
    return _native.conv_wgrad(
        "conv2d_transpose_wgrad",
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

# SPDX-License-Identifier: Apache-2.0
"""Convolution of volumes and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "conv3d",
    "conv3d_dgrad",
    "conv3d_wgrad",
]


def conv3d(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    groups: int = 1,
    activation: str | None = None,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Convolve volumes with a bank of filters.

    ``y[n,z,p,q,k] = activation(bias[k] + sum_{t,r,s,c} kernel[t,r,s,c,k]
    * x[n, z*stride + t*dilation - front, p*stride + r*dilation - top, q*stride + s*dilation - left, c])``,
    with zeros outside the volume. It is computed frame by frame: the ``T`` frames that one output frame
    meets are the channels of one `conv2d`.

    Parameters
    ----------
    x
        Volumes, float32 ``[N, D, H, W, C]``.
    kernel
        Filters, float32 ``[T, R, S, C / groups, K]``.
    bias
        Float32 ``[K]``, or None.
    strides, dilation_rate
        Elements between windows, and between the taps of one window; a number or ``(depth, height, width)``.
    padding
        ``"valid"``, ``"same"``, ``p``, ``(d, h, w)`` or ``((front, back), (top, bottom), (left, right))``.
    groups, activation, data_format, math, out
        As in `conv2d`; ``"channels_first"`` is ``[N, C, D, H, W]``.

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
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
    >>> ops.conv3d(x, np.ones((2, 1, 2, 1, 1), np.float32))[0, 0, :, 0, 0]
    array([10., 18.], dtype=float32)
    """
    return _native.conv(
        "conv3d",
        x,
        kernel,
        bias,
        strides,
        padding,
        None,
        dilation_rate,
        groups,
        activation,
        data_format,
        math,
        out,
    )


def conv3d_dgrad(
    dy: Array,
    kernel: Array,
    input_shape: Sequence[int],
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `conv3d` with respect to its input, as `conv2d_dgrad`.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, Z, P, Q, K]``.
    kernel
        Float32 ``[T, R, S, C / groups, K]``.
    input_shape
        Shape of ``x``: ``(N, D, H, W, C)``.
    strides, padding, dilation_rate, groups, data_format, math, out
        As in `conv3d`.

    Returns
    -------
    Float32 ``[N, D, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, kernel = np.ones((1, 2, 1, 1, 1), np.float32), np.ones((2, 1, 1, 1, 1), np.float32)
    >>> ops.conv3d_dgrad(dy, kernel, (1, 3, 1, 1, 1))[0, :, 0, 0, 0]
    array([1., 2., 1.], dtype=float32)
    """
    return _native.conv_dgrad(
        "conv3d_dgrad",
        dy,
        kernel,
        shape_of(input_shape),
        strides,
        padding,
        None,
        dilation_rate,
        groups,
        data_format,
        math,
        out,
    )


def conv3d_wgrad(
    x: Array,
    dy: Array,
    kernel_size: Sizes,
    *,
    strides: Sizes = 1,
    padding: PaddingNd = "valid",
    dilation_rate: Sizes = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `conv3d` with respect to its kernel, as `conv2d_wgrad`.

    Parameters
    ----------
    x
        Input of the convolution, float32 ``[N, D, H, W, C]``.
    dy
        Gradient of its output, float32 ``[N, Z, P, Q, K]``.
    kernel_size
        ``T``, ``R`` and ``S``; a number or three.
    strides, padding, dilation_rate, groups, data_format, math, out
        As in `conv3d`.

    Returns
    -------
    Float32 ``[T, R, S, C / groups, K]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1, 1)
    >>> ops.conv3d_wgrad(x, np.ones((1, 2, 1, 1, 1), np.float32), (2, 1, 1))[:, 0, 0, 0, 0]
    array([1., 3.], dtype=float32)
    """
    return _native.conv_wgrad(
        "conv3d_wgrad",
        x,
        dy,
        kernel_size,
        strides,
        padding,
        None,
        dilation_rate,
        groups,
        data_format,
        math,
        out,
    )

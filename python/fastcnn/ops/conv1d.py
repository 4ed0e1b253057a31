# SPDX-License-Identifier: Apache-2.0
"""Convolution of sequences and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "conv1d",
    "conv1d_dgrad",
    "conv1d_wgrad",
]


def conv1d(
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
    """Convolve sequences with a bank of filters.

    ``y[n,q,k] = activation(bias[k] + sum_{s,c} kernel[s,c,k] * x[n, q*stride + s*dilation - before, c])``,
    with zeros outside the sequence. It is `conv2d` on images of one row.

    Parameters
    ----------
    x
        Sequences, float32 ``[N, L, C]``.
    kernel
        Filters, float32 ``[S, C / groups, K]``.
    bias
        Float32 ``[K]``, or None.
    strides, dilation_rate
        Steps between windows, and between the taps of one window.
    padding
        ``"valid"``, ``"same"``, ``p``, ``((before, after),)``, or ``"causal"``: so many zeros before that an
        output sees its own step and earlier ones alone.
    groups, activation, data_format, math, out
        As in `conv2d`; ``"channels_first"`` is ``[N, C, L]``.

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
    >>> x = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    >>> ops.conv1d(x, np.ones((2, 1, 1), np.float32), padding="causal")[0, :, 0]
    array([0., 1., 3., 5.], dtype=float32)
    """
    return _native.conv(
        "conv1d",
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


def conv1d_dgrad(
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
    """Gradient of `conv1d` with respect to its input, as `conv2d_dgrad`.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, Q, K]``.
    kernel
        Float32 ``[S, C / groups, K]``.
    input_shape
        Shape of ``x``: ``(N, L, C)``.
    strides, padding, dilation_rate, groups, data_format, math, out
        As in `conv1d`.

    Returns
    -------
    Float32 ``[N, L, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, kernel = np.ones((1, 2, 1), np.float32), np.ones((2, 1, 1), np.float32)
    >>> ops.conv1d_dgrad(dy, kernel, (1, 3, 1))[0, :, 0]
    array([1., 2., 1.], dtype=float32)
    """
    return _native.conv_dgrad(
        "conv1d_dgrad",
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


def conv1d_wgrad(
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
    """Gradient of `conv1d` with respect to its kernel, as `conv2d_wgrad`.

    Parameters
    ----------
    x
        Input of the convolution, float32 ``[N, L, C]``.
    dy
        Gradient of its output, float32 ``[N, Q, K]``.
    kernel_size
        ``S``.
    strides, padding, dilation_rate, groups, data_format, math, out
        As in `conv1d`.

    Returns
    -------
    Float32 ``[S, C / groups, K]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    >>> ops.conv1d_wgrad(x, np.ones((1, 2, 1), np.float32), 2)[:, 0, 0]
    array([1., 3.], dtype=float32)
    """
    return _native.conv_wgrad(
        "conv1d_wgrad",
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

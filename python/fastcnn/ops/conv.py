# SPDX-License-Identifier: Apache-2.0
"""Convolution of images and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, Padding, Size, shape_of

__all__ = [
    "conv2d",
    "conv2d_dgrad",
    "conv2d_wgrad",
]


def conv2d(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    activation: str | None = None,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Convolve images with a bank of filters (cross-correlation, as every framework means it).

    ``y[n,p,q,k] = activation(bias[k] + sum_{r,s,c} kernel[r,s,c,k]
    * x[n, p*stride + r*dilation - top, q*stride + s*dilation - left, c])``, with zeros outside the image.

    Parameters
    ----------
    x
        Images, float32 ``[N, H, W, C]``.
    kernel
        Filters, float32 ``[R, S, C / groups, K]``. Filter ``k`` sees the channels of its group.
    bias
        Float32 ``[K]``, or None.
    strides, dilation_rate
        Pixels between windows, and between the taps of one window; a number or ``(height, width)``.
    padding
        See the module.
    groups
        Divides both ``C`` and ``K``; ``groups=C`` is a depthwise convolution.
    activation
        None or the name of one of `fastcnn.activations`, but for ``"threshold"``; ``"relu"`` is fused.
    data_format
        ``"channels_last"`` or ``"channels_first"``.
    math
        ``"default"``, ``"strict"`` or ``"fast"``: see Notes.
    out
        See the module.

    Returns
    -------
    Float32 ``[N, P, Q, K]``.

    Notes
    -----
    3x3 filters with stride 1 or 2 and without groups may be computed by Winograd's algorithm [1]_ where that
    is faster, which follows from the shapes alone. ``math="default"`` allows tiles of 2x2 outputs, F(2,3) and
    with strides F(2,2) of every second pixel, for the output and both gradients; ``"fast"`` also tiles of
    4x4, F(4,3); ``"strict"`` allows neither. Filters of 2 to 7 taps along an axis, 4 to 7 with stride 2, fall
    apart into parts of two and three taps, each of which F(2,3) or F(4,3) takes.

    - Largest error of normal deviates over the root mean square of the result, with 16, 64 and 256 channels:
      direct 2.3e-6, 4.5e-6 and 8.5e-6; F(2,3) 1.2e-6, 1.7e-6 and 4.2e-6, for its sums are shorter; F(4,3)
      5.4e-6, 1.2e-5 and 2.6e-5. The weight gradient errs 1.4e-6 either way, 5e-6 by F(4,3). Of 5x5 filters
      direct 4.4e-6, 7.3e-6 and 1.7e-5, the parts by F(2,3) up to 3.2e-6, by F(4,3) up to 2.3e-5.
    - On whole numbers F(2,3) and F(2,2) are exact while ``256 C max|x| max|kernel| <= 2**24``, with C times
      the number of parts in place of C, a direct sum while ``R S C max|x| max|kernel|`` is.
    - A tile reads more pixels than each of its outputs sees. NaN or infinity in one of them spreads over the
      tile, and so do the rounding errors of pixels much larger than their neighbours.

    .. [1] A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. Points of F(4,3):
       B. Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
       Networks, ACM TOMS 46, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    >>> box = np.ones((3, 3, 1, 1), np.float32)
    >>> ops.conv2d(x, box)[0, :, :, 0]
    array([[45., 54.],
           [81., 90.]], dtype=float32)
    """
    return _native.conv(
        "conv2d",
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


def conv2d_dgrad(
    dy: Array,
    kernel: Array,
    input_shape: Sequence[int],
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `conv2d` with respect to its input.

    ``dx[n,h,w,c] = sum dy[n,p,q,k] * kernel[r,s,c,k]`` over the ``(p, r)`` with
    ``h = p*stride + r*dilation - top`` and likewise ``(q, s)``. Pixels that no window reads get 0.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, K]``.
    kernel
        Float32 ``[R, S, C / groups, K]``.
    input_shape
        Shape of ``x``: ``(N, H, W, C)``.
    strides, padding, dilation_rate, groups, data_format, math, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, kernel = np.ones((1, 2, 2, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    >>> ops.conv2d_dgrad(dy, kernel, (1, 3, 3, 1))[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    shape = shape_of(input_shape)
    return _native.conv_dgrad(
        "conv2d_dgrad",
        dy,
        kernel,
        shape,
        strides,
        padding,
        None,
        dilation_rate,
        groups,
        data_format,
        math,
        out,
    )


def conv2d_wgrad(
    x: Array,
    dy: Array,
    kernel_size: Size,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    math: str = "default",
    out: Array | None = None,
) -> Array:
    """Gradient of `conv2d` with respect to its kernel.

    ``dw[r,s,c,k] = sum_{n,p,q} dy[n,p,q,k]
    * x[n, p*stride + r*dilation - top, q*stride + s*dilation - left, c]``

    Parameters
    ----------
    x
        Input of the convolution, float32 ``[N, H, W, C]``.
    dy
        Gradient of its output, float32 ``[N, P, Q, K]``.
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, padding, dilation_rate, groups, data_format, math, out
        As in `conv2d`. The kernel's layout does not depend on ``data_format``.

    Returns
    -------
    Float32 ``[R, S, C / groups, K]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> ops.conv2d_wgrad(x, np.ones((1, 2, 2, 1), np.float32), 2)[:, :, 0, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    return _native.conv_wgrad(
        "conv2d_wgrad",
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

# SPDX-License-Identifier: Apache-2.0
"""Pooling of images and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, Padding, Size, shape_of

__all__ = [
    "average_pool2d",
    "average_pool2d_bwd",
    "max_pool2d",
    "max_pool2d_bwd",
    "sum_pool2d",
    "sum_pool2d_bwd",
]


def max_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Largest value of each window.

    ``y[n,p,q,c] = max_{r,s} x[n, p*stride + r*dilation - top, q*stride + s*dilation - left, c]``. Padding
    never wins; NaN always does.

    Parameters
    ----------
    x
        Images, float32 ``[N, H, W, C]``.
    pool_size
        Height and width of the window.
    strides
        Pixels between windows; None means ``pool_size``.
    padding
        See the module; each side smaller than the window.
    dilation_rate
        Pixels between the taps of a window.
    ceil_mode
        Add a last, clipped window where the strides leave pixels over, unless it would begin in the padding.
    data_format, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, P, Q, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.max_pool2d(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    return _native.max_pool2d(
        x, pool_size, strides, padding, dilation_rate, False, ceil_mode, data_format, out
    )


def average_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Mean of each window over its pixels inside the image (padding is not counted, as in Keras).

    With ``count_include_pad`` the sum of those pixels is divided by the number of pixels of the padded image
    that the window covers, as in PyTorch. The other parameters, errors and result are those of `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.average_pool2d(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    return _native.average_pool2d(
        x, pool_size, strides, padding, 1, count_include_pad, ceil_mode, data_format, out
    )


def sum_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Sum of each window. Parameters, errors and result are those of `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sum_pool2d(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[10., 18.],
           [42., 50.]], dtype=float32)
    """
    return _native.sum_pool2d(x, pool_size, strides, padding, 1, False, ceil_mode, data_format, out)


def max_pool2d_bwd(
    dy: Array,
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool2d`: each ``dy`` goes to the first largest pixel of its window.

    A NaN counts as largest.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, C]``.
    x
        Input of the pooling, float32 ``[N, H, W, C]``.
    pool_size, strides, padding, dilation_rate, ceil_mode, data_format, out
        As in `max_pool2d`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[1, 5], [5, 2]], np.float32).reshape(1, 2, 2, 1)
    >>> ops.max_pool2d_bwd(np.full((1, 1, 1, 1), 3, np.float32), x, 2)[0, :, :, 0]
    array([[0., 3.],
           [0., 0.]], dtype=float32)
    """
    return _native.max_pool2d_bwd(
        dy, x, pool_size, strides, padding, dilation_rate, False, ceil_mode, data_format, out
    )


def average_pool2d_bwd(
    dy: Array,
    input_shape: Sequence[int],
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `average_pool2d`: each ``dy`` is shared equally by the pixels of its window.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, C]``.
    input_shape
        Shape of ``x``: ``(N, H, W, C)``.
    pool_size, strides, padding, ceil_mode, count_include_pad, data_format, out
        As in `average_pool2d`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.average_pool2d_bwd(np.full((1, 1, 1, 1), 8, np.float32), (1, 2, 2, 1), 2)[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    return _native.average_pool2d_bwd(
        dy,
        shape_of(input_shape),
        pool_size,
        strides,
        padding,
        1,
        count_include_pad,
        ceil_mode,
        data_format,
        out,
    )


def sum_pool2d_bwd(
    dy: Array,
    input_shape: Sequence[int],
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `sum_pool2d`: each ``dy`` goes to every pixel of its window.

    Parameters are those of `average_pool2d_bwd`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sum_pool2d_bwd(np.ones((1, 2, 1, 1), np.float32), (1, 3, 1, 1), (2, 1), 1)[0, :, 0, 0]
    array([1., 2., 1.], dtype=float32)
    """
    return _native.sum_pool2d_bwd(
        dy, shape_of(input_shape), pool_size, strides, padding, 1, False, ceil_mode, data_format, out
    )

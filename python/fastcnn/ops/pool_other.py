# SPDX-License-Identifier: Apache-2.0
"""Lp pooling, max pooling with the places of the maxima and its gradient, and max unpooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastcnn import _native
from fastcnn.ops.types import Array, Padding, Size, shape_of

__all__ = [
    "lp_pool2d",
    "lp_pool2d_bwd",
    "max_pool2d_with_index",
    "max_pool2d_with_index_bwd",
    "max_pool3d_with_index",
    "max_pool3d_with_index_bwd",
    "max_unpool2d",
    "max_unpool2d_bwd",
]


def lp_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    p: float = 2.0,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Norm of each window: ``y = (sum |x|^p)^(1/p)`` over its pixels inside the image.

    p = 1 is the sum of absolute values, p = 2 the Euclidean norm; towards infinity the norm becomes the
    greatest absolute value. Only for p = 1 and 2 are the powers taken as they stand: with any other p the
    pixels are first divided by the greatest of them, or the power of two below, so that no power overflows.

    Parameters
    ----------
    p
        A number from 1 to 1e6.
    x, pool_size, strides, padding, ceil_mode, data_format, out
        As in `max_pool2d`.

    Returns
    -------
    Float32 ``[N, P, Q, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.lp_pool2d(np.array([3, -4, 0, 0], np.float32).reshape(1, 2, 2, 1), 2).ravel()
    array([5.], dtype=float32)
    """
    return _native.lp_pool2d(x, pool_size, strides, padding, p, ceil_mode, data_format, out)


def lp_pool2d_bwd(
    dy: Array,
    x: Array,
    y: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    p: float = 2.0,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `lp_pool2d`: the sum of ``dy sign(x) (|x| / y)^(p-1)`` over the windows of a pixel.

    A window whose norm is 0 gives 0 to its pixels: the derivative does not exist there, and 0 is one of the
    subgradients.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, C]``.
    x
        Input of the pooling, float32 ``[N, H, W, C]``.
    y
        Output of the pooling, float32 ``[N, P, Q, C]``.
    pool_size, strides, padding, p, ceil_mode, data_format, out
        As in `lp_pool2d`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([3, -4, 0, 0], np.float32).reshape(1, 2, 2, 1)
    >>> ops.lp_pool2d_bwd(np.full((1, 1, 1, 1), 10, np.float32), x, ops.lp_pool2d(x, 2), 2).ravel()
    array([ 6., -8.,  0.,  0.], dtype=float32)
    """
    return _native.lp_pool2d_bwd(dy, x, y, pool_size, strides, padding, p, ceil_mode, data_format, out)


def max_pool2d_with_index(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> tuple[Array, NDArray[np.int32]]:
    """`max_pool2d`, and where in the image each maximum stands.

    Of equal maxima it is the first. `max_pool2d_with_index_bwd` and `max_unpool2d` take the places.

    Parameters
    ----------
    x, pool_size, strides, padding, dilation_rate, ceil_mode, out
        As in `max_pool2d`; images are channels-last.

    Returns
    -------
    Float32 ``[N, P, Q, C]``, and int32 of the same shape: ``h * W + w``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y, index = ops.max_pool2d_with_index(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), 2)
    >>> index.ravel()
    array([ 5,  7, 13, 15], dtype=int32)
    """
    return _native.max_pool2d_with_index(x, pool_size, strides, padding, dilation_rate, ceil_mode, out)


def max_pool2d_with_index_bwd(
    dy: Array,
    index: NDArray[np.int32],
    input_shape: Sequence[int],
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool2d`, whose maxima are known: ``dx[n, index[n,p,q,c], c] += dy[n,p,q,c]``.

    Each pixel is the sum over the windows whose maximum it is, in their order. `max_pool2d_bwd` gives the
    same from x, without an index: where channels are many and windows small that is as fast.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, C]``.
    index
        Int32 of the same shape, as `max_pool2d_with_index` gave it with the arguments below. One outside the
        image raises; for one outside its own window nothing is promised but that the program goes on.
    input_shape
        ``(N, H, W, C)``, the shape of the input of the pooling.
    pool_size, strides, padding, dilation_rate, ceil_mode, out
        As in `max_pool2d_with_index`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y, index = ops.max_pool2d_with_index(np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1), 2)
    >>> ops.max_pool2d_with_index_bwd(10 * y, index, (1, 2, 2, 1), 2)[0, :, :, 0]
    array([[ 0.,  0.],
           [ 0., 30.]], dtype=float32)
    """
    return _native.max_pool2d_with_index_bwd(
        dy, index, shape_of(input_shape), pool_size, strides, padding, dilation_rate, ceil_mode, out
    )


def max_pool3d_with_index(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> tuple[Array, NDArray[np.int32]]:
    """`max_pool3d`, and where in the volume each maximum stands: ``(d * H + h) * W + w``.

    Of equal maxima it is the first. `max_pool3d_with_index_bwd` takes the places.

    Parameters
    ----------
    x, pool_size, strides, padding, dilation_rate, ceil_mode, out
        As in `max_pool3d`; volumes are channels-last.

    Returns
    -------
    Float32 ``[N, O, P, Q, C]``, and int32 of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y, index = ops.max_pool3d_with_index(np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4, 1), 2)
    >>> index.ravel()
    array([13, 15], dtype=int32)
    """
    return _native.max_pool3d_with_index(x, pool_size, strides, padding, dilation_rate, ceil_mode, out)


def max_pool3d_with_index_bwd(
    dy: Array,
    index: NDArray[np.int32],
    input_shape: Sequence[int],
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool3d`, whose maxima are known: ``dx[n, index[n,o,p,q,c], c] += dy[n,o,p,q,c]``.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, O, P, Q, C]``.
    index
        Int32 of the same shape, from `max_pool3d_with_index`, as `max_pool2d_with_index_bwd` wants it.
    input_shape
        ``(N, D, H, W, C)``, the shape of the input of the pooling.
    pool_size, strides, padding, dilation_rate, ceil_mode, out
        As in `max_pool3d_with_index`.

    Returns
    -------
    Float32 ``[N, D, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y, index = ops.max_pool3d_with_index(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1), 2)
    >>> ops.max_pool3d_with_index_bwd(10 * y, index, (1, 2, 2, 2, 1), 2).ravel()
    array([ 0.,  0.,  0.,  0.,  0.,  0.,  0., 70.], dtype=float32)
    """
    return _native.max_pool3d_with_index_bwd(
        dy, index, shape_of(input_shape), pool_size, strides, padding, dilation_rate, ceil_mode, out
    )


def max_unpool2d(
    x: Array, index: NDArray[np.int32], output_shape: Sequence[int], *, out: Array | None = None
) -> Array:
    """Put each value back where a maximum stood: ``y[n, index[n,p,q,c], c] = x[n,p,q,c]``, 0 elsewhere.

    Where several name the same pixel, the last one stays.

    Parameters
    ----------
    x
        Float32 ``[N, P, Q, C]``.
    index
        Int32 of the same shape, from `max_pool2d_with_index`. One outside the image raises.
    output_shape
        ``(N, H, W, C)``, the shape of the input of the pooling.
    out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, H, W, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y, index = ops.max_pool2d_with_index(np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1), 2)
    >>> ops.max_unpool2d(y, index, (1, 2, 2, 1))[0, :, :, 0]
    array([[0., 0.],
           [0., 3.]], dtype=float32)
    """
    return _native.max_unpool2d(x, index, shape_of(output_shape), out)


def max_unpool2d_bwd(dy: Array, index: NDArray[np.int32], *, out: Array | None = None) -> Array:
    """Gradient of `max_unpool2d`: ``dx[n,p,q,c] = dy[n, index[n,p,q,c], c]``.

    Where several name the same pixel each gets its gradient, as in PyTorch.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, H, W, C]``.
    index, out
        As in `max_unpool2d`.

    Returns
    -------
    Float32 ``[N, P, Q, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    >>> ops.max_unpool2d_bwd(dy, np.full((1, 1, 1, 1), 2, np.int32)).ravel()
    array([2.], dtype=float32)
    """
    return _native.max_unpool2d_bwd(dy, index, out)

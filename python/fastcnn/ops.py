# SPDX-License-Identifier: Apache-2.0
"""Every kernel as a function on NumPy arrays, forward and backward.

Names, argument names, defaults and layouts are Keras 3's: images are channels-last ``[N, H, W, C]``,
convolution kernels ``[R, S, C / groups, K]``. What Keras lacks is added in its style: integer and
asymmetric padding, sum pooling, the backward passes.

All functions share these rules. Arrays are float32, of any strides (views are accepted); another dtype
raises `fastcnn.DTypeError`. ``out`` is an array of exactly the result's shape, C-contiguous, writable and
apart from every input; it is what is returned. Everything is checked before anything is written:
`fastcnn.ShapeError` and `fastcnn.ArgumentError` name the argument, what came and what was wanted. Results
have the same bits for any number of threads.

``padding`` is ``"valid"`` (none), ``"same"`` (the output has ``ceil(size / stride)`` pixels; the odd one
goes to the bottom and right), ``p``, ``(h, w)``, or ``((top, bottom), (left, right))``.
``data_format="channels_first"`` accepts and returns ``[N, C, H, W]``, converted at the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastcnn import _native

Array: TypeAlias = NDArray[np.float32]
Size: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]

__all__ = [
    "average_pool2d",
    "average_pool2d_bwd",
    "conv2d",
    "conv2d_dgrad",
    "conv2d_wgrad",
    "gemm",
    "max_pool2d",
    "max_pool2d_bwd",
    "relu",
    "relu_bwd",
    "sigmoid",
    "sigmoid_bwd",
    "softmax",
    "softmax_bwd",
    "sum_pool2d",
    "sum_pool2d_bwd",
    "tanh",
    "tanh_bwd",
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
        None, ``"linear"``, ``"relu"`` (fused), ``"sigmoid"``, ``"tanh"`` or ``"softmax"`` (over ``K``).
    data_format
        ``"channels_last"`` or ``"channels_first"``.
    math
        ``"default"``, ``"strict"`` (direct kernels only) or ``"fast"``.
    out
        See the module.

    Returns
    -------
    Float32 ``[N, P, Q, K]``.

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
    return _native.conv2d(
        x, kernel, bias, strides, padding, dilation_rate, groups, activation, data_format, math, out
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
    return _native.conv2d_dgrad(
        dy, kernel, _shape(input_shape), strides, padding, dilation_rate, groups, data_format, math, out
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
    return _native.conv2d_wgrad(
        x, dy, kernel_size, strides, padding, dilation_rate, groups, data_format, math, out
    )


def max_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Largest value of each window.

    ``y[n,p,q,c] = max_{r,s} x[n, p*stride + r - top, q*stride + s - left, c]``. Padding never wins; NaN
    always does.

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
    return _native.max_pool2d(x, pool_size, strides, padding, ceil_mode, data_format, out)


def average_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Mean of each window over its pixels inside the image (padding is not counted, as in Keras).

    Parameters, errors and result are those of `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.average_pool2d(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    return _native.average_pool2d(x, pool_size, strides, padding, ceil_mode, data_format, out)


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
    return _native.sum_pool2d(x, pool_size, strides, padding, ceil_mode, data_format, out)


def max_pool2d_bwd(
    dy: Array,
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
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
    pool_size, strides, padding, ceil_mode, data_format, out
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
    return _native.max_pool2d_bwd(dy, x, pool_size, strides, padding, ceil_mode, data_format, out)


def average_pool2d_bwd(
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
    """Gradient of `average_pool2d`: each ``dy`` is shared equally by the pixels of its window.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, P, Q, C]``.
    input_shape
        Shape of ``x``: ``(N, H, W, C)``.
    pool_size, strides, padding, ceil_mode, data_format, out
        As in `max_pool2d`.

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
        dy, _shape(input_shape), pool_size, strides, padding, ceil_mode, data_format, out
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
        dy, _shape(input_shape), pool_size, strides, padding, ceil_mode, data_format, out
    )


def gemm(
    a: Array,
    b: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: Array | None = None,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Matrix product ``y = activation(op(a) op(b) + bias)``, where ``op`` transposes or leaves as it is.

    Parameters
    ----------
    a
        Float32 ``[m, k]``, or ``[k, m]`` with ``transpose_a``.
    b
        Float32 ``[k, n]``, or ``[n, k]`` with ``transpose_b``.
    bias
        Float32 ``[n]``, added to every row, or None.
    activation
        None, ``"linear"``, ``"relu"``, ``"sigmoid"``, ``"tanh"`` or ``"softmax"`` (over ``n``).
    out
        See the module.

    Returns
    -------
    Float32 ``[m, n]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> a = np.arange(6, dtype=np.float32).reshape(2, 3)
    >>> ops.gemm(a, a, transpose_b=True)
    array([[ 5., 14.],
           [14., 50.]], dtype=float32)
    """
    return _native.gemm(a, b, transpose_a, transpose_b, bias, activation, out)


def relu(x: Array, *, out: Array | None = None) -> Array:
    """``max(x, 0)`` elementwise, any rank from 1; NaN stays NaN.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.relu(np.array([-1, 2], np.float32))
    array([0., 2.], dtype=float32)
    """
    return _native.relu(x, out)


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """``1 / (1 + exp(-x))`` elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sigmoid(np.zeros(1, np.float32))
    array([0.5], dtype=float32)
    """
    return _native.sigmoid(x, out)


def tanh(x: Array, *, out: Array | None = None) -> Array:
    """Hyperbolic tangent elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.tanh(np.zeros(1, np.float32))
    array([0.], dtype=float32)
    """
    return _native.tanh(x, out)


def softmax(x: Array, *, out: Array | None = None) -> Array:
    """``exp(x - max) / sum(exp(x - max))`` over the last axis, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.softmax(np.zeros((1, 4), np.float32))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    return _native.softmax(x, out)


def relu_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `relu` from its output: ``dy`` where ``y > 0``, else 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.relu_bwd(np.ones(2, np.float32), np.array([0, 3], np.float32))
    array([0., 1.], dtype=float32)
    """
    return _native.relu_bwd(dy, y, out)


def sigmoid_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `sigmoid` from its output: ``dy * y * (1 - y)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sigmoid_bwd(np.ones(1, np.float32), np.array([0.5], np.float32))
    array([0.25], dtype=float32)
    """
    return _native.sigmoid_bwd(dy, y, out)


def tanh_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `tanh` from its output: ``dy * (1 - y * y)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.tanh_bwd(np.ones(1, np.float32), np.array([0.5], np.float32))
    array([0.75], dtype=float32)
    """
    return _native.tanh_bwd(dy, y, out)


def softmax_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `softmax` from its output: ``y * (dy - sum(dy * y))``, the sum over the last axis.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.softmax_bwd(np.array([[1, 0]], np.float32), np.array([[0.5, 0.5]], np.float32))
    array([[ 0.25, -0.25]], dtype=float32)
    """
    return _native.softmax_bwd(dy, y, out)


def _shape(shape: Any) -> Any:
    """Arrays and other sequences as a tuple; what is none goes on to the validator."""
    return tuple(shape) if isinstance(shape, Sequence | np.ndarray) and not isinstance(shape, str) else shape

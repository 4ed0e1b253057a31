# SPDX-License-Identifier: Apache-2.0
"""Pooling of volumes and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, PaddingNd, Sizes, shape_of

__all__ = [
    "average_pool3d",
    "average_pool3d_bwd",
    "max_pool3d",
    "max_pool3d_bwd",
    "sum_pool3d",
    "sum_pool3d_bwd",
]


def max_pool3d(
    x: Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: PaddingNd = "valid",
    *,
    dilation_rate: Sizes = 1,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Largest value of each window of volumes ``[N, D, H, W, C]``, as ``[N, O, P, Q, C]``.

    Parameters and errors are those of `max_pool2d`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
    >>> ops.max_pool3d(x, 2).ravel()
    array([7.], dtype=float32)
    """
    return _native.max_pool3d(
        x, pool_size, strides, padding, dilation_rate, False, ceil_mode, data_format, out
    )


def average_pool3d(
    x: Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: PaddingNd = "valid",
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Mean of each window of volumes ``[N, D, H, W, C]``, as ``[N, O, P, Q, C]``.

    Parameters and errors are those of `average_pool2d`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
    >>> ops.average_pool3d(x, 2).ravel()
    array([3.5], dtype=float32)
    """
    return _native.average_pool3d(
        x, pool_size, strides, padding, 1, count_include_pad, ceil_mode, data_format, out
    )


def sum_pool3d(
    x: Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: PaddingNd = "valid",
    *,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Sum of each window of volumes ``[N, D, H, W, C]``, as ``[N, O, P, Q, C]``.

    Parameters and errors are those of `sum_pool2d`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
    >>> ops.sum_pool3d(x, 2).ravel()
    array([28.], dtype=float32)
    """
    return _native.sum_pool3d(x, pool_size, strides, padding, 1, False, ceil_mode, data_format, out)


def max_pool3d_bwd(
    dy: Array,
    x: Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: PaddingNd = "valid",
    *,
    dilation_rate: Sizes = 1,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool3d`: each ``dy`` goes to the first largest element of its window.

    Parameters and errors are those of `max_pool2d_bwd`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.full((1, 1, 1, 1, 1), 8, np.float32)
    >>> ops.max_pool3d_bwd(dy, np.ones((1, 1, 2, 2, 1), np.float32), (1, 2, 2)).ravel()
    array([8., 0., 0., 0.], dtype=float32)
    """
    return _native.max_pool3d_bwd(
        dy, x, pool_size, strides, padding, dilation_rate, False, ceil_mode, data_format, out
    )


def average_pool3d_bwd(
    dy: Array,
    input_shape: Sequence[int],
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: PaddingNd = "valid",
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `average_pool3d`: each ``dy`` is shared equally by the elements of its window.

    Parameters and errors are those of `average_pool2d_bwd`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.full((1, 1, 1, 1, 1), 8, np.float32)
    >>> ops.average_pool3d_bwd(dy, (1, 1, 2, 2, 1), (1, 2, 2)).ravel()
    array([2., 2., 2., 2.], dtype=float32)
    """
    return _native.average_pool3d_bwd(
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


def sum_pool3d_bwd(
    dy: Array,
    input_shape: Sequence[int],
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: PaddingNd = "valid",
    *,
    ceil_mode: bool = False,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `sum_pool3d`: each ``dy`` goes to every element of its window.

    Parameters and errors are those of `sum_pool2d_bwd`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy = np.full((1, 1, 1, 1, 1), 8, np.float32)
    >>> ops.sum_pool3d_bwd(dy, (1, 1, 2, 2, 1), (1, 2, 2)).ravel()
    array([8., 8., 8., 8.], dtype=float32)
    """
    return _native.sum_pool3d_bwd(
        dy, shape_of(input_shape), pool_size, strides, padding, 1, False, ceil_mode, data_format, out
    )

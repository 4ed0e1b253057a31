# SPDX-License-Identifier: Apache-2.0
"""Pools whose windows follow from the image: one over all of it, or as many as the output has pixels.

Each takes arrays of rank 3 ``[N, L, C]``, 4 ``[N, H, W, C]`` or 5 ``[N, D, H, W, C]``.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, shape_of

__all__ = [
    "adaptive_average_pool",
    "adaptive_average_pool_bwd",
    "adaptive_max_pool",
    "adaptive_max_pool_bwd",
    "global_average_pool",
    "global_average_pool_bwd",
    "global_max_pool",
    "global_max_pool_bwd",
    "global_sum_pool",
    "global_sum_pool_bwd",
]


def global_max_pool(
    x: Array, *, keepdims: bool = False, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """Largest value of each channel of each image; NaN wins.

    Parameters
    ----------
    x
        Float32 ``[N, ..., C]`` of rank 3, 4 or 5.
    keepdims
        Keep the axes of the image with size 1.
    data_format, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, C]``, with `keepdims` ``[N, 1, ..., C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.global_max_pool(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2))
    array([[6., 7.]], dtype=float32)
    """
    return _native.global_max_pool(x, keepdims, data_format, out)


def global_average_pool(
    x: Array, *, keepdims: bool = False, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """Mean of each channel of each image. Parameters and result are those of `global_max_pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.global_average_pool(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2))
    array([[3., 4.]], dtype=float32)
    """
    return _native.global_average_pool(x, keepdims, data_format, out)


def global_sum_pool(
    x: Array, *, keepdims: bool = False, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """Sum of each channel of each image. Parameters and result are those of `global_max_pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.global_sum_pool(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2))
    array([[12., 16.]], dtype=float32)
    """
    return _native.global_sum_pool(x, keepdims, data_format, out)


def global_max_pool_bwd(
    dy: Array, x: Array, *, keepdims: bool = False, data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:  # fmt: skip
    """Gradient of `global_max_pool`: each ``dy`` goes to the first largest pixel of its channel.

    Parameters
    ----------
    dy
        Gradient of the output, float32 ``[N, C]``, with `keepdims` ``[N, 1, ..., C]``.
    x
        Input of the pooling, float32 ``[N, ..., C]``.
    keepdims, data_format, out
        As in `global_max_pool`.

    Returns
    -------
    Float32 of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[1, 5], [5, 2]], np.float32).reshape(1, 2, 2, 1)
    >>> ops.global_max_pool_bwd(np.full((1, 1), 3, np.float32), x)[0, :, :, 0]
    array([[0., 3.],
           [0., 0.]], dtype=float32)
    """
    return _native.global_max_pool_bwd(dy, x, keepdims, data_format, out)


def global_average_pool_bwd(
    dy: Array, input_shape: Sequence[int], *, keepdims: bool = False, data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:  # fmt: skip
    """Gradient of `global_average_pool`: each ``dy`` is shared equally by the pixels of its channel.

    Parameters are those of `global_max_pool_bwd`, with the shape of ``x`` for ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.global_average_pool_bwd(np.full((1, 1), 8, np.float32), (1, 2, 2, 1))[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    return _native.global_average_pool_bwd(dy, shape_of(input_shape), keepdims, data_format, out)


def global_sum_pool_bwd(
    dy: Array, input_shape: Sequence[int], *, keepdims: bool = False, data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:  # fmt: skip
    """Gradient of `global_sum_pool`: each ``dy`` goes to every pixel of its channel.

    Parameters are those of `global_average_pool_bwd`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.global_sum_pool_bwd(np.full((1, 1), 8, np.float32), (1, 2, 2, 1))[0, :, :, 0]
    array([[8., 8.],
           [8., 8.]], dtype=float32)
    """
    return _native.global_sum_pool_bwd(dy, shape_of(input_shape), keepdims, data_format, out)


def adaptive_max_pool(
    x: Array,
    output_size: int | Sequence[int | None],
    *,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Largest value of each of as many windows as the output has pixels.

    Window ``i`` of ``P`` on an axis of ``H`` pixels covers ``floor(i*H/P) .. ceil((i+1)*H/P)`` (the rule of
    PyTorch): windows overlap by a pixel where ``P`` does not divide ``H``.

    Parameters
    ----------
    x
        Float32 ``[N, ..., C]`` of rank 3, 4 or 5.
    output_size
        Pixels of the output on every axis; None keeps an axis as it is.
    data_format, out
        As in `conv2d`.

    Returns
    -------
    Float32 ``[N, P, C]``, ``[N, P, Q, C]`` or ``[N, O, P, Q, C]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.adaptive_max_pool(np.arange(5, dtype=np.float32).reshape(1, 5, 1), 3).ravel()
    array([1., 3., 4.], dtype=float32)
    """
    return _native.adaptive_max_pool(x, output_size, data_format, out)


def adaptive_average_pool(
    x: Array,
    output_size: int | Sequence[int | None],
    *,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Mean of each of as many windows as the output has pixels. Windows are those of `adaptive_max_pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.adaptive_average_pool(np.arange(5, dtype=np.float32).reshape(1, 5, 1), 3).ravel()
    array([0.5, 2. , 3.5], dtype=float32)
    """
    return _native.adaptive_average_pool(x, output_size, data_format, out)


def adaptive_max_pool_bwd(
    dy: Array,
    x: Array,
    output_size: int | Sequence[int | None],
    *,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_max_pool`: each ``dy`` goes to the first largest pixel of its window.

    Parameters
    ----------
    dy
        Gradient of the output, float32.
    x
        Input of the pooling, float32.
    output_size, data_format, out
        As in `adaptive_max_pool`.

    Returns
    -------
    Float32 of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    >>> ops.adaptive_max_pool_bwd(np.ones((1, 3, 1), np.float32), x, 3).ravel()
    array([0., 1., 0., 1., 1.], dtype=float32)
    """
    return _native.adaptive_max_pool_bwd(dy, x, output_size, data_format, out)


def adaptive_average_pool_bwd(
    dy: Array,
    input_shape: Sequence[int],
    output_size: int | Sequence[int | None],
    *,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_average_pool`: each ``dy`` is shared equally by the pixels of its window.

    Parameters are those of `adaptive_max_pool_bwd`, with the shape of ``x`` for ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.adaptive_average_pool_bwd(np.full((1, 2, 1), 4, np.float32), (1, 3, 1), 2).ravel()
    array([2., 4., 2.], dtype=float32)
    """
    return _native.adaptive_average_pool_bwd(dy, shape_of(input_shape), output_size, data_format, out)

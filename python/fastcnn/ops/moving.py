# SPDX-License-Identifier: Apache-2.0
"""What moves elements: concatenation, permutation, padding, cropping, repetition, upsampling; and gradients.

Padding, cropping and upsampling act on the spatial axes, of which there are one to three: ``[N, L, C]``,
``[N, H, W, C]`` or ``[N, D, H, W, C]``, or with ``data_format="channels_first"`` those that follow the
channels. Reshaping moves nothing: it is ``numpy.reshape``.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, shape_of

__all__ = [
    "concatenate",
    "concatenate_bwd",
    "cropping",
    "cropping_bwd",
    "permute",
    "permute_bwd",
    "repeat_vector",
    "repeat_vector_bwd",
    "upsampling",
    "upsampling_bwd",
    "zero_padding",
    "zero_padding_bwd",
]

Sides = int | tuple[int, ...] | tuple[tuple[int, int], ...]


def concatenate(inputs: Sequence[Array], axis: int = -1, *, out: Array | None = None) -> Array:
    """The arrays one after the other along ``axis``.

    Parameters
    ----------
    inputs
        Float32 arrays of one rank and of equal sizes on every axis but this one.
    axis
        Not the first, which counts samples.
    out
        As in `conv2d`.

    Returns
    -------
    Float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.concatenate([np.ones((1, 2), np.float32), np.zeros((1, 1), np.float32)])
    array([[1., 1., 0.]], dtype=float32)
    """
    return _native.concatenate(inputs, axis, out)


def concatenate_bwd(
    dy: Array, sizes: Sequence[int], index: int, axis: int = -1, *, out: Array | None = None
) -> Array:
    """Gradient of `concatenate` for input number ``index``: its part of ``dy``.

    Parameters
    ----------
    dy
        Gradient of the output, float32.
    sizes
        Of each input along ``axis``; they add up to that of ``dy``.
    index
        Which input.
    axis, out
        As in `concatenate`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.concatenate_bwd(np.array([[1, 2, 3]], np.float32), (2, 1), 0)
    array([[1., 2.]], dtype=float32)
    """
    return _native.concatenate_bwd(dy, shape_of(sizes), index, axis, out)


def permute(x: Array, dims: Sequence[int], *, out: Array | None = None) -> Array:
    """``y`` whose axis i is axis ``dims[i - 1]`` of ``x``, counted from 1; samples stay first, as in Keras.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.permute(np.zeros((5, 2, 3, 4), np.float32), (3, 1, 2)).shape
    (5, 4, 2, 3)
    """
    return _native.permute(x, shape_of(dims), out)


def permute_bwd(dy: Array, dims: Sequence[int], *, out: Array | None = None) -> Array:
    """Gradient of `permute`: the permutation back.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.permute_bwd(np.zeros((5, 4, 2, 3), np.float32), (3, 1, 2)).shape
    (5, 2, 3, 4)
    """
    return _native.permute_bwd(dy, shape_of(dims), out)


def zero_padding(
    x: Array, padding: Sides = 1, *, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """Zeros around the spatial axes.

    Parameters
    ----------
    x
        Float32 of one to three spatial axes.
    padding
        A number for all sides, one for each axis, or ``(before, after)`` for each axis; with one spatial axis
        ``(before, after)`` itself.
    data_format, out
        As in `conv2d`.

    Returns
    -------
    Float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.zero_padding(np.ones((1, 1, 2, 1), np.float32), ((0, 1), (1, 0)))[0, :, :, 0]
    array([[0., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    return _native.zero_padding(x, padding, data_format, out)


def zero_padding_bwd(
    dy: Array, padding: Sides = 1, *, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """Gradient of `zero_padding`: ``dy`` without the padding.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.zero_padding_bwd(np.arange(4, dtype=np.float32).reshape(1, 4, 1), (1, 0))[0, :, 0]
    array([1., 2., 3.], dtype=float32)
    """
    return _native.zero_padding_bwd(dy, padding, data_format, out)


def cropping(
    x: Array, cropping: Sides = 1, *, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """``x`` without its outer pixels; ``cropping`` takes the forms of the padding of `zero_padding`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.cropping(np.arange(5, dtype=np.float32).reshape(1, 5, 1), (1, 2))[0, :, 0]
    array([1., 2.], dtype=float32)
    """
    return _native.cropping(x, cropping, data_format, out)


def cropping_bwd(
    dy: Array, cropping: Sides = 1, *, data_format: str = "channels_last", out: Array | None = None
) -> Array:
    """Gradient of `cropping`: zeros around ``dy``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.cropping_bwd(np.ones((1, 2, 1), np.float32), (1, 2))[0, :, 0]
    array([0., 1., 1., 0., 0.], dtype=float32)
    """
    return _native.cropping_bwd(dy, cropping, data_format, out)


def repeat_vector(x: Array, n: int, *, out: Array | None = None) -> Array:
    """``y[i, j, :] = x[i, :]`` for j below n: ``[N, F]`` to ``[N, n, F]``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.repeat_vector(np.array([[1, 2]], np.float32), 2)
    array([[[1., 2.],
            [1., 2.]]], dtype=float32)
    """
    return _native.repeat_vector(x, n, out)


def repeat_vector_bwd(dy: Array, *, out: Array | None = None) -> Array:
    """Gradient of `repeat_vector`: the sum over its second axis.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.repeat_vector_bwd(np.ones((1, 3, 2), np.float32))
    array([[3., 3.]], dtype=float32)
    """
    return _native.repeat_vector_bwd(dy, out)


def upsampling(
    x: Array,
    size: int | tuple[int, ...] = 2,
    interpolation: str = "nearest",
    *,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Enlarge the spatial axes by whole factors.

    "nearest" repeats each pixel. "bilinear" interpolates between neighbours with the centres of pixels at
    halves, as TensorFlow 2 does and PyTorch with ``align_corners=False``: along an axis enlarged by s, output
    q lies at ``(q + 1/2) / s - 1/2``, and beyond the outermost pixels their value goes on.

    Parameters
    ----------
    x
        Float32 of one to three spatial axes; of two for "bilinear".
    size
        A factor for all axes, or one for each.
    interpolation
        "nearest" or "bilinear".
    data_format, out
        As in `conv2d`.

    Returns
    -------
    Float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[0, 4]], np.float32).reshape(1, 1, 2, 1)
    >>> ops.upsampling(x, (1, 2))[0, :, :, 0]
    array([[0., 0., 4., 4.]], dtype=float32)
    >>> ops.upsampling(x, (1, 2), "bilinear")[0, :, :, 0]
    array([[0., 1., 3., 4.]], dtype=float32)
    """
    return _native.upsampling(x, size, interpolation, data_format, out)


def upsampling_bwd(
    dy: Array,
    size: int | tuple[int, ...] = 2,
    interpolation: str = "nearest",
    *,
    data_format: str = "channels_last",
    out: Array | None = None,
) -> Array:
    """Gradient of `upsampling`: each output's gradient goes to the pixels it was made of, by their weights.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.upsampling_bwd(np.ones((1, 2, 4, 1), np.float32), 2)[0, :, :, 0]
    array([[4., 4.]], dtype=float32)
    """
    return _native.upsampling_bwd(dy, size, interpolation, data_format, out)

# SPDX-License-Identifier: Apache-2.0
"""Two arrays into one, element by element, and the gradients of it.

Shapes follow NumPy: aligned at their last axes, an axis of size 1 is repeated to match the other
array's. So ``[N, 1, 1, C]`` scales every pixel of ``[N, H, W, C]``. The gradient of what was repeated
is a sum over what it was repeated along.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.symbolic import of_two
from fastcnn.ops.types import Array, shape_of

__all__ = [
    "add",
    "add_bwd",
    "average",
    "average_bwd",
    "maximum",
    "maximum_bwd",
    "minimum",
    "minimum_bwd",
    "multiply",
    "multiply_bwd",
    "subtract",
    "subtract_bwd",
]


def add(x1: Array, x2: Array, *, out: Array | None = None) -> Array:
    """``x1 + x2``.

    Parameters
    ----------
    x1, x2
        Float32 of any rank from 1, of equal shapes or of shapes that broadcast.
    out
        As in `conv2d`.

    Returns
    -------
    Float32 of the broadcast shape.

    Raises
    ------
    ShapeError
        An axis has two sizes, neither of them 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.add(np.ones((2, 2), np.float32), np.array([1, 2], np.float32))
    array([[2., 3.],
           [2., 3.]], dtype=float32)
    """
    return of_two(_native.add, x1, x2, out)


def subtract(x1: Array, x2: Array, *, out: Array | None = None) -> Array:
    """``x1 - x2``; parameters, errors and result are those of `add`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.subtract(np.array([3, 1], np.float32), np.array([1, 2], np.float32))
    array([ 2., -1.], dtype=float32)
    """
    return of_two(_native.subtract, x1, x2, out)


def multiply(x1: Array, x2: Array, *, out: Array | None = None) -> Array:
    """``x1 * x2``; parameters, errors and result are those of `add`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.multiply(np.array([3, 1], np.float32), np.array([1, 2], np.float32))
    array([3., 2.], dtype=float32)
    """
    return of_two(_native.multiply, x1, x2, out)


def maximum(x1: Array, x2: Array, *, out: Array | None = None) -> Array:
    """The larger of ``x1`` and ``x2``; NaN where one of them is. The rest is as in `add`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.maximum(np.array([3, 1], np.float32), np.array([1, 2], np.float32))
    array([3., 2.], dtype=float32)
    """
    return of_two(_native.maximum, x1, x2, out)


def minimum(x1: Array, x2: Array, *, out: Array | None = None) -> Array:
    """The smaller of ``x1`` and ``x2``; NaN where one of them is. The rest is as in `add`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.minimum(np.array([3, 1], np.float32), np.array([1, 2], np.float32))
    array([1., 1.], dtype=float32)
    """
    return of_two(_native.minimum, x1, x2, out)


def average(x1: Array, x2: Array, *, out: Array | None = None) -> Array:
    """``(x1 + x2) / 2``; parameters, errors and result are those of `add`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.average(np.array([3, 1], np.float32), np.array([1, 2], np.float32))
    array([2. , 1.5], dtype=float32)
    """
    return _native.average(x1, x2, out)


def add_bwd(dy: Array, input_shape: Sequence[int], *, out: Array | None = None) -> Array:
    """Gradient of `add` for the input of this shape: the sum of ``dy`` over what it was repeated along.

    Parameters
    ----------
    dy
        Gradient of the output, float32.
    input_shape
        Shape of ``x1``, or of ``x2``.
    out
        As in `conv2d`.

    Returns
    -------
    Float32 of shape ``input_shape``.

    Raises
    ------
    ShapeError
        ``input_shape`` does not broadcast to the shape of ``dy``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.add_bwd(np.ones((3, 2), np.float32), (1, 2))
    array([[3., 3.]], dtype=float32)
    """
    return _native.add_bwd(dy, shape_of(input_shape), out)


def subtract_bwd(dy: Array, input_shape: Sequence[int], index: int, *, out: Array | None = None) -> Array:
    """Gradient of `subtract` for ``x1`` (``index=0``) or ``x2`` (``index=1``): as `add_bwd`, or minus that.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.subtract_bwd(np.ones((3, 2), np.float32), (2,), 1)
    array([-3., -3.], dtype=float32)
    """
    return _native.subtract_bwd(dy, shape_of(input_shape), index, out)


def multiply_bwd(dy: Array, other: Array, input_shape: Sequence[int], *, out: Array | None = None) -> Array:
    """Gradient of `multiply` for the factor of this shape: the sum of ``dy`` times the other one.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[1, 2], [3, 4]], np.float32)
    >>> ops.multiply_bwd(np.ones((2, 2), np.float32), x, (1, 2))
    array([[4., 6.]], dtype=float32)
    """
    return _native.multiply_bwd(dy, other, shape_of(input_shape), out)


def maximum_bwd(dy: Array, x1: Array, x2: Array, index: int, *, out: Array | None = None) -> Array:
    """Gradient of `maximum` for ``x1`` (``index=0``) or ``x2`` (``index=1``).

    ``dy`` goes to the larger one, to ``x1`` where they are equal, and to a NaN (the first, if both are).

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x1, x2 = np.array([1, 2, 3], np.float32), np.array([3, 2, 1], np.float32)
    >>> ops.maximum_bwd(np.ones(3, np.float32), x1, x2, 0)
    array([0., 1., 1.], dtype=float32)
    """
    return _native.maximum_bwd(dy, x1, x2, index, out)


def minimum_bwd(dy: Array, x1: Array, x2: Array, index: int, *, out: Array | None = None) -> Array:
    """Gradient of `minimum` for ``x1`` (``index=0``) or ``x2`` (``index=1``); ties as in `maximum_bwd`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x1, x2 = np.array([1, 2, 3], np.float32), np.array([3, 2, 1], np.float32)
    >>> ops.minimum_bwd(np.ones(3, np.float32), x1, x2, 1)
    array([0., 0., 1.], dtype=float32)
    """
    return _native.minimum_bwd(dy, x1, x2, index, out)


def average_bwd(dy: Array, input_shape: Sequence[int], *, out: Array | None = None) -> Array:
    """Gradient of `average` for the input of this shape: half of `add_bwd`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.average_bwd(np.ones((3, 2), np.float32), (2,))
    array([1.5, 1.5], dtype=float32)
    """
    return _native.average_bwd(dy, shape_of(input_shape), out)

# SPDX-License-Identifier: Apache-2.0
"""Softmax, its logarithm, and their gradients."""

from __future__ import annotations

from fastcnn import _native
from fastcnn.ops.symbolic import of_two
from fastcnn.ops.types import Array, Axis, shape_of

__all__ = ["log_softmax", "log_softmax_bwd", "softmax", "softmax_bwd"]


def softmax(x: Array, axis: Axis = -1, *, out: Array | None = None) -> Array:
    """``exp(x - max) / sum(exp(x - max))`` over one axis or several, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.softmax(np.zeros((1, 4), np.float32))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    return of_two(_native.softmax, x, shape_of(axis), out)


def softmax_bwd(dy: Array, y: Array, axis: Axis = -1, *, out: Array | None = None) -> Array:
    """Gradient of `softmax` from its output: ``y * (dy - sum(dy * y))``, the sum over its axes.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.softmax_bwd(np.array([[1, 0]], np.float32), np.array([[0.5, 0.5]], np.float32))
    array([[ 0.25, -0.25]], dtype=float32)
    """
    return _native.softmax_bwd(dy, y, shape_of(axis), out)


def log_softmax(x: Array, axis: Axis = -1, *, out: Array | None = None) -> Array:
    """``x - max - log(sum(exp(x - max)))`` over one axis or several, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.log_softmax(np.zeros((1, 1), np.float32))
    array([[0.]], dtype=float32)
    """
    return of_two(_native.log_softmax, x, shape_of(axis), out)


def log_softmax_bwd(dy: Array, y: Array, axis: Axis = -1, *, out: Array | None = None) -> Array:
    """Gradient of `log_softmax` from its output: ``dy - exp(y) * sum(dy)``, the sum over its axes.

    ``y`` is what `log_softmax` gave, at most 0, on which the CPU's exponential relies.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.log_softmax_bwd(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32))
    array([[0.]], dtype=float32)
    """
    return _native.log_softmax_bwd(dy, y, shape_of(axis), out)

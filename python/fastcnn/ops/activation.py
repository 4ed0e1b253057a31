# SPDX-License-Identifier: Apache-2.0
"""Activations and their gradients."""

from __future__ import annotations

from fastcnn import _native
from fastcnn.ops.types import Array

__all__ = [
    "relu",
    "relu_bwd",
    "sigmoid",
    "sigmoid_bwd",
    "softmax",
    "softmax_bwd",
    "tanh",
    "tanh_bwd",
]


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

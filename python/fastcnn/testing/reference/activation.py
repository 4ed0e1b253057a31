# SPDX-License-Identifier: Apache-2.0
"""Activations and their gradients; element-wise, except softmax, which acts on the last axis.

A backward pass takes the output y, not the input: that is all that the kernels save.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]


def relu(x: ArrayLike) -> Real:
    """``max(x, 0)``; NaN stays NaN."""
    return np.maximum(np.asarray(x, np.float64), 0.0)


def relu_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy`` where y > 0, else 0."""
    return np.where(np.asarray(y, np.float64) > 0, np.asarray(dy, np.float64), 0.0)


def sigmoid(x: ArrayLike) -> Real:
    """``1 / (1 + exp(-x))``, through the branch whose exponential cannot overflow."""
    values = np.asarray(x, np.float64)
    e = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


def sigmoid_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy y (1 - y)``."""
    output = np.asarray(y, np.float64)
    dx: Real = np.asarray(dy, np.float64) * output * (1.0 - output)
    return dx


def tanh(x: ArrayLike) -> Real:
    """Hyperbolic tangent."""
    return np.tanh(np.asarray(x, np.float64))


def tanh_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy (1 - y^2)``."""
    output = np.asarray(y, np.float64)
    dx: Real = np.asarray(dy, np.float64) * (1.0 - output * output)
    return dx


def softmax(x: ArrayLike) -> Real:
    """``exp(x_i) / sum_j exp(x_j)`` over the last axis, shifted by the maximum."""
    values = np.asarray(x, np.float64)
    e = np.exp(values - values.max(axis=-1, keepdims=True))
    y: Real = e / e.sum(axis=-1, keepdims=True)
    return y


def softmax_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``y (dy - sum_j dy_j y_j)``."""
    gradient, output = np.asarray(dy, np.float64), np.asarray(y, np.float64)
    dx: Real = output * (gradient - (gradient * output).sum(axis=-1, keepdims=True))
    return dx


ACTIVATIONS: dict[str, Callable[[ArrayLike], Real]] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "softmax": softmax,
}


def activate(y: Real, name: str | None) -> Real:
    """Apply the activation called `name`; none and "linear" leave y as it is."""
    return y if name in (None, "linear") else ACTIVATIONS[str(name)](y)

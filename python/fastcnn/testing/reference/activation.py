# SPDX-License-Identifier: Apache-2.0
"""Smooth activations and their gradients; softmax and its logarithm act on the last axis.

A backward pass takes what the kernels save: the output y where the gradient follows from it without loss,
else the input x. The name of its second argument says which.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.rectifier import (
    general_relu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    relu,
    relu6,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    threshold,
)

Real = NDArray[np.float64]

# G. Klambauer et al., "Self-normalizing neural networks", 2017.
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848


def _real(x: ArrayLike) -> Real:
    return np.asarray(x, np.float64)


def normal(x: ArrayLike) -> Real:
    """The probability of a normal deviate below x."""
    y: Real = 0.5 * np.asarray(np.frompyfunc(math.erfc, 1, 1)(-_real(x) / math.sqrt(2.0)), np.float64)
    return y


def normal_density(x: ArrayLike) -> Real:
    """``exp(-x^2 / 2) / sqrt(2 pi)``."""
    y: Real = np.exp(-0.5 * _real(x) ** 2) / math.sqrt(2.0 * math.pi)
    return y


def _gelu_argument(x: Real) -> Real:
    return math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)


def _gelu_tanh_bwd(dy: Real, x: Real) -> Real:
    v = 2.0 * _gelu_argument(x)
    slope = 2.0 * math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * x * x)
    return dy * (sigmoid(v) + x * sigmoid(v) * sigmoid(-v) * slope)


def elu(x: ArrayLike, alpha: float = 1.0) -> Real:
    """``x`` above 0, else ``alpha (exp(x) - 1)``."""
    v = _real(x)
    result: Real = np.where(v > 0, v, alpha * np.expm1(np.minimum(v, 0.0)))
    return result


def elu_bwd(dy: ArrayLike, y: ArrayLike, alpha: float = 1.0) -> Real:
    """``dy`` where y > 0, else ``dy (y + alpha)``."""
    g, s = _real(dy), _real(y)
    result: Real = np.where(s > 0, g, g * (s + alpha))
    return result


def selu(x: ArrayLike) -> Real:
    """``scale elu(x, alpha)`` with the two constants that keep mean 0 and variance 1."""
    v = _real(x)
    result: Real = SELU_SCALE * elu(v, SELU_ALPHA)
    return result


def selu_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy scale`` where y > 0, else ``dy (y + scale alpha)``."""
    g, s = _real(dy), _real(y)
    result: Real = g * np.where(s > 0, SELU_SCALE, s + SELU_SCALE * SELU_ALPHA)
    return result


def celu(x: ArrayLike, alpha: float = 1.0) -> Real:
    """``x`` above 0, else ``alpha (exp(x / alpha) - 1)``."""
    v = _real(x)
    result: Real = np.where(v > 0, v, alpha * np.expm1(np.minimum(v, 0.0) / alpha))
    return result


def celu_bwd(dy: ArrayLike, y: ArrayLike, alpha: float = 1.0) -> Real:
    """``dy`` where y > 0, else ``dy (y / alpha + 1)``."""
    g, s = _real(dy), _real(y)
    result: Real = np.where(s > 0, g, g * (s / alpha + 1.0))
    return result


def gelu(x: ArrayLike, approximate: bool = True) -> Real:
    """``x P(x)``, P the normal distribution; approximately ``x sigmoid(2 u)``, u as above."""
    v = _real(x)
    result: Real = v * (sigmoid(2.0 * _gelu_argument(v)) if approximate else normal(v))
    return result


def gelu_bwd(dy: ArrayLike, x: ArrayLike, approximate: bool = True) -> Real:
    """``dy (P + x p)`` with the normal density p; approximately ``dy (s + x s (1 - s) 2 u')``."""
    g, s = _real(dy), _real(x)
    result: Real = _gelu_tanh_bwd(g, s) if approximate else g * (normal(s) + s * normal_density(s))
    return result


def silu(x: ArrayLike) -> Real:
    """``x sigmoid(x)``."""
    v = _real(x)
    result: Real = v * sigmoid(v)
    return result


def silu_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """``dy (s + x s (1 - s))`` with s = sigmoid(x)."""
    g, s = _real(dy), _real(x)
    result: Real = g * (sigmoid(s) + s * sigmoid(s) * sigmoid(-s))
    return result


def mish(x: ArrayLike) -> Real:
    """``x tanh(softplus(x))``."""
    v = _real(x)
    result: Real = v * np.tanh(softplus(v))
    return result


def mish_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """``dy (w + x (1 - w^2) sigmoid(x))`` with w = tanh(softplus(x))."""
    g, s = _real(dy), _real(x)
    result: Real = g * (np.tanh(softplus(s)) + s * sigmoid(s) / np.cosh(softplus(s)) ** 2)
    return result


def sigmoid(x: ArrayLike) -> Real:
    """``1 / (1 + exp(-x))``, through the branch whose exponential cannot overflow."""
    v = _real(x)
    result: Real = np.where(
        v >= 0, 1.0 / (1.0 + np.exp(-np.abs(v))), np.exp(-np.abs(v)) / (1.0 + np.exp(-np.abs(v)))
    )
    return result


def sigmoid_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy y (1 - y)``."""
    g, s = _real(dy), _real(y)
    result: Real = g * s * (1.0 - s)
    return result


def tanh(x: ArrayLike) -> Real:
    """Hyperbolic tangent."""
    v = _real(x)
    result: Real = np.tanh(v)
    return result


def tanh_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy (1 - y^2)``."""
    g, s = _real(dy), _real(y)
    result: Real = g * (1.0 - s * s)
    return result


def softplus(x: ArrayLike) -> Real:
    """``log(1 + exp(x))``."""
    v = _real(x)
    result: Real = np.maximum(v, 0.0) + np.log1p(np.exp(-np.abs(v)))
    return result


def softplus_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy (1 - exp(-y))``."""
    g, s = _real(dy), _real(y)
    result: Real = -g * np.expm1(-s)
    return result


def softsign(x: ArrayLike) -> Real:
    """``x / (1 + |x|)``."""
    v = _real(x)
    result: Real = v / (1.0 + np.abs(v))
    return result


def softsign_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """``dy / (1 + |x|)^2``."""
    g, s = _real(dy), _real(x)
    result: Real = g / (1.0 + np.abs(s)) ** 2
    return result


def log_sigmoid(x: ArrayLike) -> Real:
    """``log(sigmoid(x))``."""
    v = _real(x)
    result: Real = -softplus(-v)
    return result


def log_sigmoid_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy (1 - exp(y))``."""
    g, s = _real(dy), _real(y)
    result: Real = -g * np.expm1(s)
    return result


def exponential(x: ArrayLike) -> Real:
    """``exp(x)``."""
    v = _real(x)
    result: Real = np.exp(v)
    return result


def exponential_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy y``."""
    g, s = _real(dy), _real(y)
    result: Real = g * s
    return result


def tanh_shrink(x: ArrayLike) -> Real:
    """``x - tanh(x)``, near 0 by its series ``x^3/3 - 2 x^5/15 + ...``, as the difference loses digits."""
    v = _real(x)
    result: Real = np.where(
        np.abs(v) < 0.05, v**3 / 3 - 2 * v**5 / 15 + 17 * v**7 / 315 - 62 * v**9 / 2835, v - np.tanh(v)
    )
    return result


def tanh_shrink_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """``dy tanh(x)^2``."""
    g, s = _real(dy), _real(x)
    result: Real = g * np.tanh(s) ** 2
    return result


def squareplus(x: ArrayLike, b: float = 4.0) -> Real:
    """``(x + sqrt(x^2 + b)) / 2``, below 0 as ``b / 2 / (sqrt(x^2 + b) - x)``."""
    v = _real(x)
    result: Real = np.where(v < 0, b / 2.0 / (np.sqrt(v * v + b) + np.abs(v)), (v + np.sqrt(v * v + b)) / 2.0)
    return result


def squareplus_bwd(dy: ArrayLike, y: ArrayLike, b: float = 4.0) -> Real:
    """``dy y^2 / (y^2 + b / 4)``."""
    g, s = _real(dy), _real(y)
    result: Real = g * s * s / (s * s + b / 4.0)
    return result


Axis = int | tuple[int, ...]


def softmax(x: ArrayLike, axis: Axis = -1) -> Real:
    """``exp(x_i) / sum_j exp(x_j)`` over one axis or several, shifted by the maximum."""
    values = _real(x)
    e = np.exp(values - values.max(axis=axis, keepdims=True))
    y: Real = e / e.sum(axis=axis, keepdims=True)
    return y


def softmax_bwd(dy: ArrayLike, y: ArrayLike, axis: Axis = -1) -> Real:
    """``y (dy - sum_j dy_j y_j)``."""
    gradient, output = _real(dy), _real(y)
    dx: Real = output * (gradient - (gradient * output).sum(axis=axis, keepdims=True))
    return dx


def log_softmax(x: ArrayLike, axis: Axis = -1) -> Real:
    """``x_i - log(sum_j exp(x_j))`` over one axis or several, shifted by the maximum."""
    values = _real(x)
    shifted = values - values.max(axis=axis, keepdims=True)
    y: Real = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return y


def log_softmax_bwd(dy: ArrayLike, y: ArrayLike, axis: Axis = -1) -> Real:
    """``dy_i - exp(y_i) sum_j dy_j``."""
    gradient = _real(dy)
    dx: Real = gradient - np.exp(_real(y)) * gradient.sum(axis=axis, keepdims=True)
    return dx


def gelu_tanh(x: ArrayLike) -> Real:
    """The approximate GELU, which the table of operators has under a name of its own."""
    return gelu(x, approximate=True)


def gelu_tanh_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """Its gradient."""
    return gelu_bwd(dy, x, approximate=True)


def _exact_gelu(x: ArrayLike) -> Real:
    return gelu(x, approximate=False)


# Those that work element by element, by the names of the operator table.
ELEMENTWISE: dict[str, Callable[..., Real]] = {
    each.__name__: each
    for each in (
        relu, sigmoid, tanh, relu6, leaky_relu, general_relu, elu, selu, celu, gelu, gelu_tanh, silu, mish,
        softplus, softsign, log_sigmoid, exponential, hard_sigmoid, hard_silu, hard_tanh, hard_shrink,
        soft_shrink, tanh_shrink, threshold, sparse_plus, sparse_sigmoid, squareplus,
    )
}  # fmt: skip

# Those that a name alone describes: activation="..." of a layer or an operator.
ACTIVATIONS: dict[str, Callable[[ArrayLike], Real]] = {
    **{name: f for name, f in ELEMENTWISE.items() if name not in ("general_relu", "threshold", "gelu")},
    "gelu": _exact_gelu,
    "swish": silu,
    "hard_swish": hard_silu,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def saves_x(backward: Callable[..., Any]) -> bool:
    """Whether a backward pass takes the input of the forward pass, not its output."""
    return "x" in inspect.signature(backward).parameters


def activate(y: Real, name: str | None) -> Real:
    """Apply the activation called `name`; none and "linear" leave y as it is."""
    return y if name in (None, "linear") else ACTIVATIONS[str(name)](y)

# SPDX-License-Identifier: Apache-2.0
"""Activations that are put together from straight lines, and those from a square besides; their gradients.

A backward pass takes what the kernels save: the output y where the gradient follows from it, else the
input x.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]


def _real(x: ArrayLike) -> Real:
    return np.asarray(x, np.float64)


def _limit(max_value: float | None) -> float:
    return math.inf if max_value is None else max_value


def relu(x: ArrayLike) -> Real:
    """``max(x, 0)``; NaN stays NaN."""
    v = _real(x)
    result: Real = np.maximum(v, 0.0)
    return result


def relu_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy`` where y > 0, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where(s > 0, g, 0.0)
    return result


def relu6(x: ArrayLike) -> Real:
    """``min(max(x, 0), 6)``."""
    v = _real(x)
    result: Real = np.clip(v, 0.0, 6.0)
    return result


def relu6_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy`` where 0 < y < 6, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where((s > 0) & (s < 6), g, 0.0)
    return result


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2) -> Real:
    """``x`` above 0, else ``negative_slope x``."""
    v = _real(x)
    result: Real = np.where(v > 0, v, negative_slope * v)
    return result


def leaky_relu_bwd(dy: ArrayLike, y: ArrayLike, negative_slope: float = 0.2) -> Real:
    """``dy`` where y > 0, else ``negative_slope dy``."""
    g, s = _real(dy), _real(y)
    result: Real = np.where(s > 0, g, negative_slope * g)
    return result


def general_relu(
    x: ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Real:
    """``min(x, max_value)`` above the threshold, else ``negative_slope (x - threshold)``."""
    v = _real(x)
    result: Real = np.where(v > threshold, np.minimum(v, _limit(max_value)), negative_slope * (v - threshold))
    return result


def general_relu_bwd(
    dy: ArrayLike,
    x: ArrayLike,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Real:
    """``dy`` between threshold and max_value, 0 from there on, ``negative_slope dy`` up to the threshold."""
    g, s = _real(dy), _real(x)
    result: Real = np.where(s > threshold, np.where(s >= _limit(max_value), 0.0, g), negative_slope * g)
    return result


def hard_sigmoid(x: ArrayLike) -> Real:
    """``relu6(x + 3) / 6``."""
    v = _real(x)
    result: Real = np.clip(v + 3.0, 0.0, 6.0) / 6.0
    return result


def hard_sigmoid_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy / 6`` where 0 < y < 1, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where((s > 0) & (s < 1), g / 6.0, 0.0)
    return result


def hard_silu(x: ArrayLike) -> Real:
    """``x hard_sigmoid(x)``."""
    v = _real(x)
    result: Real = v * hard_sigmoid(v)
    return result


def hard_silu_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """0 up to -3, ``dy`` from 3, ``dy (2 x + 3) / 6`` between."""
    g, s = _real(dy), _real(x)
    result: Real = np.where(s <= -3, 0.0, np.where(s >= 3, g, g * (2.0 * s + 3.0) / 6.0))
    return result


def hard_tanh(x: ArrayLike) -> Real:
    """``min(max(x, -1), 1)``."""
    v = _real(x)
    result: Real = np.clip(v, -1.0, 1.0)
    return result


def hard_tanh_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy`` where -1 < y < 1, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where((s > -1) & (s < 1), g, 0.0)
    return result


def hard_shrink(x: ArrayLike, threshold: float = 0.5) -> Real:
    """0 where ``|x| <= threshold``, else ``x``."""
    v = _real(x)
    result: Real = np.where(np.abs(v) <= threshold, 0.0, v)
    return result


def hard_shrink_bwd(dy: ArrayLike, y: ArrayLike, threshold: float = 0.5) -> Real:
    """``dy`` where y is not 0, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where(s == 0, 0.0, g)
    return result


def soft_shrink(x: ArrayLike, threshold: float = 0.5) -> Real:
    """0 where ``|x| <= threshold``, else ``x`` moved towards 0 by the threshold."""
    v = _real(x)
    result: Real = np.where(np.abs(v) <= threshold, 0.0, v - np.sign(v) * threshold)
    return result


def soft_shrink_bwd(dy: ArrayLike, y: ArrayLike, threshold: float = 0.5) -> Real:
    """``dy`` where y is not 0, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where(s == 0, 0.0, g)
    return result


def threshold(x: ArrayLike, threshold: float, default_value: float) -> Real:
    """``x`` above the threshold, else the default value."""
    v = _real(x)
    result: Real = np.where(v <= threshold, default_value, v)
    return result


def threshold_bwd(dy: ArrayLike, x: ArrayLike, threshold: float, default_value: float) -> Real:
    """``dy`` above the threshold, else 0."""
    g, s = _real(dy), _real(x)
    result: Real = np.where(s <= threshold, 0.0, g)
    return result


def sparse_plus(x: ArrayLike) -> Real:
    """0 up to -1, ``x`` from 1, ``(x + 1)^2 / 4`` between."""
    v = _real(x)
    result: Real = np.where(v <= -1, 0.0, np.where(v < 1, (v + 1.0) ** 2 / 4.0, v))
    return result


def sparse_plus_bwd(dy: ArrayLike, x: ArrayLike) -> Real:
    """``dy min(max((x + 1) / 2, 0), 1)``."""
    g, s = _real(dy), _real(x)
    result: Real = g * np.clip((s + 1.0) / 2.0, 0.0, 1.0)
    return result


def sparse_sigmoid(x: ArrayLike) -> Real:
    """``min(max((x + 1) / 2, 0), 1)``."""
    v = _real(x)
    result: Real = np.clip((v + 1.0) / 2.0, 0.0, 1.0)
    return result


def sparse_sigmoid_bwd(dy: ArrayLike, y: ArrayLike) -> Real:
    """``dy / 2`` where 0 < y < 1, else 0."""
    g, s = _real(dy), _real(y)
    result: Real = np.where((s > 0) & (s < 1), g / 2.0, 0.0)
    return result

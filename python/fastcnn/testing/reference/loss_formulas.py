# SPDX-License-Identifier: Apache-2.0
"""The formulas of losses: terms of rows [rows, cols], and the derivative of their sum.

They use operators and NumPy functions alone, so they run on `rounding.Rounded` too, which bounds what float32
may make of them: hence the forms without needless cancellation. Probabilities are clipped to
[1e-7, 1 - 1e-7], as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Options = Mapping[str, Any]
Formula = Callable[[Any, Any, Options], tuple[Any, Any]]

EPSILON = 1e-7


def _squared(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    d = x - t
    return d * d, 2.0 * d


def _absolute(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    d = x - t
    return np.abs(d), np.sign(d)


def _percentage(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    d, size = x - t, np.maximum(np.abs(t), EPSILON)
    return 100.0 * (np.abs(d) / size), 100.0 * (np.sign(d) / size)


def _squared_logarithmic(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    p = np.maximum(x, EPSILON)
    d = np.log1p(p) - np.log1p(np.maximum(t, EPSILON))
    return d * d, np.where(x < EPSILON, 0.0, 2.0 * d / (1.0 + p))


def _huber(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    delta = o.get("delta", 1.0)
    d = x - t
    size = np.abs(d)
    value = np.where(size <= delta, 0.5 * (d * d), delta * (size - 0.5 * delta))
    return value, np.clip(d, -delta, delta)


def _log_cosh(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    d = x - t
    size = np.abs(d)
    return size + (np.log1p(np.exp(-2.0 * size)) - np.log(2.0)), np.tanh(d)


def _hinge_target(t: Any) -> Any:
    binary = bool(np.all((t == 0.0) | (t == 1.0)))
    return 2.0 * t - 1.0 if binary else t


def _hinge(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    t = _hinge_target(t)
    m = 1.0 - t * x
    return np.maximum(m, 0.0), np.where(m > 0.0, -t, 0.0)


def _squared_hinge(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    t = _hinge_target(t)
    m = np.maximum(1.0 - t * x, 0.0)
    return m * m, -2.0 * t * m


def _categorical_hinge(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    against = (1.0 - t) * x
    m = against.max(axis=-1, keepdims=True) - (t * x).sum(axis=-1, keepdims=True) + 1.0
    greatest = np.zeros(x.shape)
    greatest[np.arange(len(greatest)), against.argmax(axis=-1)] = 1.0
    return np.maximum(m, 0.0), np.where(m > 0.0, greatest * (1.0 - t) - t, 0.0)


def _poisson(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    p = x + EPSILON
    return x - t * np.log(p), 1.0 - t / p


def _kl_divergence(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    ratio = np.clip(t, EPSILON, 1.0) / np.clip(x, EPSILON, 1.0)
    clipped = (x < EPSILON) | (x > 1.0)
    return np.clip(t, EPSILON, 1.0) * np.log(ratio), np.where(clipped, 0.0, -ratio)


def _cosine_similarity(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    x_length = np.maximum(length, EPSILON)
    t_length = np.maximum(np.sqrt((t * t).sum(axis=-1, keepdims=True)), EPSILON)
    similarity = (x * t).sum(axis=-1, keepdims=True) / x_length / t_length
    along = np.where(length < EPSILON, 0.0, similarity / x_length)
    return -similarity, (x * along - t / t_length) / x_length


def _smooth(t: Any, o: Options, towards: float) -> Any:
    amount = o.get("label_smoothing", 0.0)
    return t * (1.0 - amount) + amount * towards if amount else t


def _binary_crossentropy(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    t = _smooth(t, o, 0.5)
    if not o.get("from_logits"):
        return _binary_terms(t, x, 1.0 - x)
    size = np.abs(x)
    e = np.exp(-size)
    value = np.where(x > 0.0, 1.0 - t, t) * size + np.log1p(e)
    return value, np.where(x < 0.0, (1.0 - t) * e - t, (1.0 - t) - t * e) / (1.0 + e)


def _binary_terms(t: Any, p: Any, q: Any) -> tuple[Any, Any]:
    """Of a probability and what is missing to 1."""
    low, high = np.clip(p, EPSILON, 1.0 - EPSILON), np.clip(q, EPSILON, 1.0 - EPSILON)
    clipped = (p < EPSILON) | (q < EPSILON)
    value = -(t * np.log(low) + (1.0 - t) * np.log(high))
    return value, np.where(clipped, 0.0, (1.0 - t) / high - t / low)


def _binary_focal_crossentropy(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    t, gamma = _smooth(t, o, 0.5), o.get("gamma", 2.0)
    p, q = x, 1.0 - x
    if o.get("from_logits"):
        e = np.exp(-np.abs(x))
        large = 1.0 / (1.0 + e)
        p, q = np.where(x < 0.0, e * large, large), np.where(x < 0.0, large, e * large)
    value, slope = _binary_terms(t, p, q)
    f = t * q + (1.0 - t) * p
    factor = f**gamma
    slope = factor * slope
    if gamma:
        slope = slope + gamma * f ** (gamma - 1.0) * (1.0 - t - t) * value
    if o.get("from_logits"):
        slope = slope * (p * q)
    weight: Any = 1.0
    if o.get("apply_class_balancing"):
        alpha = o.get("alpha", 0.25)
        weight = t * alpha + (1.0 - t) * (1.0 - alpha)
    return weight * (factor * value), weight * slope


def _softmax_parts(x: Any) -> tuple[Any, Any]:
    """Softmax and its logarithm."""
    shifted = x - x.max(axis=-1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=-1, keepdims=True)
    return e / total, shifted - np.log(total)


def _categorical_crossentropy(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    t = _smooth(t, o, 1.0 / x.shape[-1])
    if o.get("from_logits"):
        q, log = _softmax_parts(x)
        # 0 log 0 is 0
        return -np.where(t == 0.0, 0.0, t * log), q * t.sum(axis=-1, keepdims=True) - t
    total = x.sum(axis=-1, keepdims=True)
    q = x / total
    clipped = (q < EPSILON) | (q > 1.0 - EPSILON)
    dq = np.where(clipped, 0.0, -t / np.where(clipped, 1.0, q))
    passed = np.where(clipped, 0.0, t).sum(axis=-1, keepdims=True)
    return -t * np.log(np.clip(q, EPSILON, 1.0 - EPSILON)), (dq + passed) / total


def _categorical_focal_crossentropy(t: Any, x: Any, o: Options) -> tuple[Any, Any]:
    t, alpha, gamma = _smooth(t, o, 1.0 / x.shape[-1]), o.get("alpha", 0.25), o.get("gamma", 2.0)
    if np.ndim(alpha):
        t, alpha = t * np.asarray(alpha), 1.0
    total = x.sum(axis=-1, keepdims=True)
    q = _softmax_parts(x)[0] if o.get("from_logits") else x / total
    clipped = (q < EPSILON) | (q > 1.0 - EPSILON)
    c = np.clip(q, EPSILON, 1.0 - EPSILON)
    rest = 1.0 - c
    value = -alpha * (t * (rest**gamma * np.log(c)))
    dq = -(t * rest**gamma / c)
    if gamma:
        dq = gamma * (t * rest ** (gamma - 1.0)) * np.log(c) + dq
    dq = np.where(clipped, 0.0, dq)
    inner = dq - (dq * q).sum(axis=-1, keepdims=True)
    return value, alpha * (inner * q if o.get("from_logits") else inner / total)


FORMULAS: dict[str, Formula] = {
    "binary_crossentropy": _binary_crossentropy,
    "binary_focal_crossentropy": _binary_focal_crossentropy,
    "categorical_crossentropy": _categorical_crossentropy,
    "sparse_categorical_crossentropy": _categorical_crossentropy,
    "categorical_focal_crossentropy": _categorical_focal_crossentropy,
    "mean_squared_error": _squared,
    "mean_absolute_error": _absolute,
    "mean_absolute_percentage_error": _percentage,
    "mean_squared_logarithmic_error": _squared_logarithmic,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
    "categorical_hinge": _categorical_hinge,
    "kl_divergence": _kl_divergence,
    "poisson": _poisson,
    "cosine_similarity": _cosine_similarity,
}

# Means over the last axis; the others are sums.
MEANS = {
    "binary_crossentropy", "binary_focal_crossentropy", "mean_squared_error", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "huber", "log_cosh", "hinge",
    "squared_hinge", "poisson",
}  # fmt: skip

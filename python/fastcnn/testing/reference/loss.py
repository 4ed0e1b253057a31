# SPDX-License-Identifier: Apache-2.0
"""Losses and their gradients with respect to the predictions.

A loss is a sum or mean over the last axis, a number for each row; those of the rows are weighted and reduced.
A formula takes targets and predictions [rows, cols] and gives the terms of each row with the derivative of
their sum. Formulas use operators and NumPy functions alone, so they run on `rounding.Rounded` too, which
bounds what float32 may make of them: hence the forms without needless cancellation.
Probabilities are clipped to [1e-7, 1 - 1e-7], as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]
Options = Mapping[str, Any]
Formula = Callable[[Any, Any, Options], tuple[Any, Any]]

EPSILON = 1e-7


def one_hot(labels: ArrayLike, classes: int) -> Real:
    """Row ``labels[i]`` of the identity; [...,classes]."""
    rows: Real = np.eye(classes)[np.asarray(labels)]
    return rows


def loss_value(
    name: str,
    target: ArrayLike,
    prediction: ArrayLike,
    sample_weight: ArrayLike | None = None,
    **options: Any,
) -> float:
    """The loss of a batch; `options` are the arguments of the class of ``fastcnn.losses``, reduction too."""
    parts = evaluate(name, target, prediction, sample_weight, options)
    return float(parts.rows.sum() / parts.divisor) if parts.divisor else 0.0


def loss_rows(
    name: str,
    target: ArrayLike,
    prediction: ArrayLike,
    sample_weight: ArrayLike | None = None,
    **options: Any,
) -> Real:
    """The weighted losses of the rows."""
    rows: Real = evaluate(name, target, prediction, sample_weight, options).rows
    return rows.reshape(_Rows(np.ndim(prediction), name, options).kept(np.shape(prediction)))


def loss_bwd(
    name: str,
    target: ArrayLike,
    prediction: ArrayLike,
    sample_weight: ArrayLike | None = None,
    **options: Any,
) -> Real:
    """The gradient of `loss_value`; where a clip or a maximum with a constant acts, nothing passes."""
    gradient: Real = evaluate(name, target, prediction, sample_weight, options).gradient
    return _Rows(np.ndim(prediction), name, options).back(gradient, np.shape(prediction))


class _Rows:
    """How predictions are cut into rows: the axes of a row last."""

    def __init__(self, rank: int, name: str, options: Options) -> None:
        axis = options.get("axis")
        self.whole = axis is None and name in ("dice", "tversky")
        axes = [-1] if axis is None else list(axis) if isinstance(axis, tuple | list) else [axis]
        self.axes = sorted(each % rank for each in axes)
        self.others = [each for each in range(rank) if each not in self.axes]

    def kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the rows."""
        return tuple(shape[each] for each in self.others)

    def cut(self, x: Real) -> Real:
        """[rows, cols]"""
        count = int(np.prod([x.shape[each] for each in self.axes]))
        return x.transpose(self.others + self.axes).reshape(-1, count)

    def back(self, rows: Real, shape: tuple[int, ...]) -> Real:
        order = self.others + self.axes
        return rows.reshape([shape[each] for each in order]).transpose(np.argsort(order))


class Parts(NamedTuple):
    """A loss taken apart: ``sum(rows) / divisor``, its gradient, and the sum of the absolute terms."""

    rows: Any
    gradient: Any
    divisor: float
    magnitude: float


def evaluate(
    name: str,
    target: ArrayLike,
    prediction: ArrayLike,
    sample_weight: ArrayLike | None,
    options: Options,
    arithmetic: Callable[[Real], Any] = np.asarray,
) -> Parts:
    """All of a loss, on arrays of the kind that `arithmetic` makes of float64."""
    x = np.asarray(prediction, np.float64)
    cut = _Rows(x.ndim, name, options)
    row_shape, shape = cut.kept(x.shape), x.shape
    x = cut.cut(x)
    cols = x.shape[-1]
    valid = np.ones(len(x))
    if name == "sparse_categorical_crossentropy":
        labels = np.asarray(target).reshape(-1).astype(np.int64)
        if options.get("ignore_class") is not None:
            valid = (labels != options["ignore_class"]).astype(np.float64)
            labels = np.where(valid, labels, 0)
        t = one_hot(labels, cols)
    else:
        t = cut.cut(np.asarray(target, np.float64).reshape(shape))
    weights = _row_weights(sample_weight, row_shape) * valid
    reduction = options.get("reduction", "sum_over_batch_size")
    if cut.whole:
        return _overlap(
            name, arithmetic(t), arithmetic(x), None if sample_weight is None else weights, options
        )
    if name in ("dice", "tversky"):
        parts = [
            _overlap(name, arithmetic(a), arithmetic(b), None, options) for a, b in zip(t, x, strict=True)
        ]
        divisor = {"sum": 1.0, None: 1.0, "mean_with_sample_weight": weights.sum()}.get(reduction, len(t))
        rows = _stacked([each.rows[0] for each in parts]) * weights
        gradient = _stacked([each.gradient for each in parts]) * (weights / divisor)[:, None]
        magnitude = float(np.abs(weights) @ [each.magnitude for each in parts])
        return Parts(rows, gradient, float(divisor), magnitude)
    if reduction in ("sum", None, "none"):
        divisor = 1.0
    elif reduction == "mean_with_sample_weight":
        divisor = float(weights.sum())
    else:
        divisor = float(valid.sum())
    terms, slope = FORMULAS[name](arithmetic(t), arithmetic(x), options)
    share = cols if name in MEANS else 1
    rows = terms.sum(axis=-1) * weights / share
    scale = weights / (divisor * share) if divisor else weights * 0.0
    plain: Any = getattr(terms, "value", terms)
    magnitude = np.abs(plain).sum(axis=-1) @ np.abs(weights) / share
    return Parts(rows, slope * scale[:, None], divisor, float(magnitude))


def _row_weights(sample_weight: ArrayLike | None, row_shape: tuple[int, ...]) -> Real:
    """One for each row: those of leading axes count for all rows below them."""
    if sample_weight is None:
        return np.ones(int(np.prod(row_shape)))
    weights = np.asarray(sample_weight, np.float64)
    while weights.ndim > len(row_shape):
        weights = weights[..., 0]
    weights = weights.reshape(weights.shape + (1,) * (len(row_shape) - weights.ndim))
    return np.broadcast_to(weights, row_shape).reshape(-1).copy()


def _stacked(parts: list[Any]) -> Any:
    """One after the other, of either kind."""
    if not hasattr(parts[0], "error"):
        return np.stack(parts)
    return type(parts[0])(np.stack([each.value for each in parts]), np.stack([each.error for each in parts]))


def _total(terms: Any) -> Any:
    """Of a whole array; the kernels take it in blocks."""
    return terms.sum_in_blocks() if hasattr(terms, "sum_in_blocks") else terms.sum()


def _overlap(name: str, t: Any, x: Any, weights: Real | None, options: Options) -> Parts:
    """Dice and Tversky: one loss for the batch."""
    alpha, beta = (0.5, 0.5) if name == "dice" else (options.get("alpha", 0.5), options.get("beta", 0.5))
    epsilon = EPSILON / 2 if name == "dice" else EPSILON
    both, targets, predictions = _total(t * x), _total(t), _total(x)
    straight = 1.0 - alpha - beta
    d = straight * both + alpha * targets + beta * predictions + epsilon
    slope = (t * (straight * both - d) + beta * both) / (d * d)
    weight, divisor = 1.0, 1.0
    if weights is not None:
        reduction, weight = options.get("reduction", "sum_over_batch_size"), float(weights.sum())
        divisor = {"sum": 1.0, "mean_with_sample_weight": weight}.get(reduction, float(len(weights)))
    loss = (1.0 - both / d) * weight
    rows = loss[None] if np.ndim(getattr(loss, "value", loss)) == 0 else loss
    magnitude = abs(weight) * (1.0 + abs(float(getattr(both / d, "value", both / d))))
    return Parts(rows, slope * (weight / divisor), divisor, magnitude)


# Formulas: (terms, derivative of their sum), [rows, cols]


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


# The three that the tests of networks call by their names.


def categorical_crossentropy(target: ArrayLike, prediction: ArrayLike, **options: Any) -> float:
    """``mean_i(-sum_c target[i,c] log p[i,c])``."""
    return loss_value("categorical_crossentropy", target, prediction, **options)


def categorical_crossentropy_bwd(target: ArrayLike, prediction: ArrayLike, **options: Any) -> Real:
    """Gradient of `categorical_crossentropy`."""
    return loss_bwd("categorical_crossentropy", target, prediction, **options)


def sparse_categorical_crossentropy(labels: ArrayLike, prediction: ArrayLike, **options: Any) -> float:
    """`categorical_crossentropy` with the classes as whole numbers."""
    return loss_value("sparse_categorical_crossentropy", labels, prediction, **options)


def sparse_categorical_crossentropy_bwd(labels: ArrayLike, prediction: ArrayLike, **options: Any) -> Real:
    """Gradient of `sparse_categorical_crossentropy`."""
    return loss_bwd("sparse_categorical_crossentropy", labels, prediction, **options)


def mean_squared_error(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean of the squared difference over the last axis, then over the rows."""
    return loss_value("mean_squared_error", target, prediction)


def mean_squared_error_bwd(target: ArrayLike, prediction: ArrayLike) -> Real:
    """``2 (prediction - target) / size``."""
    return loss_bwd("mean_squared_error", target, prediction)

# SPDX-License-Identifier: Apache-2.0
"""Losses and their gradients with respect to the predictions.

A loss is a sum or mean over the last axis, a number for each row; those of the rows are weighted and reduced.
`loss_formulas` holds the terms of each row with the derivative of their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.loss_formulas import EPSILON, FORMULAS, MEANS, Options

Real = NDArray[np.float64]


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

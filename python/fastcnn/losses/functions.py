# SPDX-License-Identifier: Apache-2.0
"""The losses as functions: one number for each row of the predictions, as in Keras; of a batch for dice and
tversky.

Targets and predictions are those of the class of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from fastcnn.losses import classification, regression

Axes = int | Sequence[int]


def sparse_categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """``-log p[label]``."""
    loss = classification.SparseCategoricalCrossentropy(
        from_logits=from_logits, ignore_class=ignore_class, axis=axis, reduction=None
    )
    return loss(y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``-sum(target log p)``."""
    loss = classification.CategoricalCrossentropy(
        from_logits=from_logits, label_smoothing=label_smoothing, axis=axis, reduction=None
    )
    return loss(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``-sum(alpha (1 - p)^gamma target log p)``."""
    loss = classification.CategoricalFocalCrossentropy(
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
        reduction=None,
    )
    return loss(y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``mean(-target log p - (1 - target) log(1 - p))``."""
    loss = classification.BinaryCrossentropy(
        from_logits=from_logits, label_smoothing=label_smoothing, axis=axis, reduction=None
    )
    return loss(y_true, y_pred)


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``mean(f^gamma L)``."""
    loss = classification.BinaryFocalCrossentropy(
        apply_class_balancing=apply_class_balancing,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
        reduction=None,
    )
    return loss(y_true, y_pred)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean(max(1 - target prediction, 0))``."""
    loss = classification.Hinge(reduction=None)
    return loss(y_true, y_pred)


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean(max(1 - target prediction, 0)^2)``."""
    loss = classification.SquaredHinge(reduction=None)
    return loss(y_true, y_pred)


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``max(max((1 - target) prediction) - sum(target prediction) + 1, 0)``."""
    loss = classification.CategoricalHinge(reduction=None)
    return loss(y_true, y_pred)


def dice(y_true: ArrayLike, y_pred: ArrayLike, axis: Axes | None = None) -> Any:
    """``1 - 2 sum(target p) / (sum(target) + sum(p) + 1e-7)``."""
    loss = classification.Dice(axis=axis, reduction=None)
    return loss(y_true, y_pred)


def tversky(
    y_true: ArrayLike, y_pred: ArrayLike, alpha: float = 0.5, beta: float = 0.5, axis: Axes | None = None
) -> Any:
    """``1 - I / (I + alpha sum(target (1 - p)) + beta sum((1 - target) p) + 1e-7)``."""
    loss = classification.Tversky(alpha=alpha, beta=beta, axis=axis, reduction=None)
    return loss(y_true, y_pred)


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean((prediction - target)^2)``."""
    loss = regression.MeanSquaredError(reduction=None)
    return loss(y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean(|prediction - target|)``."""
    loss = regression.MeanAbsoluteError(reduction=None)
    return loss(y_true, y_pred)


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean(100 |prediction - target| / max(|target|, 1e-7))``."""
    loss = regression.MeanAbsolutePercentageError(reduction=None)
    return loss(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean((log(1 + prediction) - log(1 + target))^2)``."""
    loss = regression.MeanSquaredLogarithmicError(reduction=None)
    return loss(y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Any:
    """Mean of d^2 / 2, or of delta |d| - delta^2 / 2 beyond delta."""
    loss = regression.Huber(delta=delta, reduction=None)
    return loss(y_true, y_pred)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean(log cosh(prediction - target))``."""
    loss = regression.LogCosh(reduction=None)
    return loss(y_true, y_pred)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``sum(target log(target / prediction))``."""
    loss = regression.KLDivergence(reduction=None)
    return loss(y_true, y_pred)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    """``mean(prediction - target log(prediction + 1e-7))``."""
    loss = regression.Poisson(reduction=None)
    return loss(y_true, y_pred)


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> Any:
    """``-sum(target prediction) / (|target| |prediction|)``."""
    loss = regression.CosineSimilarity(axis=axis, reduction=None)
    return loss(y_true, y_pred)

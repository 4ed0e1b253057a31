# SPDX-License-Identifier: Apache-2.0
"""Losses of classes: cross-entropies, focal ones, hinges, and the overlap of masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastcnn._arguments import flag, integer
from fastcnn.errors import ArgumentError
from fastcnn.losses.base import DEFAULT, Measure, any_axes, from_logits_flag, one_axis, parameter, smoothing


class SparseCategoricalCrossentropy(Measure):
    """``-log p[label]``, for labels 0 to classes - 1, of any dtype that holds whole numbers.

    Parameters
    ----------
    from_logits
        False: the predictions are taken as probabilities, divided by their sum and clipped to
        [1e-7, 1 - 1e-7], as Keras does. True: ``p = softmax(predictions)``.
    ignore_class
        A label, -1 or 255 say, whose rows count for nothing: their gradient is 0, and a mean is over the
        others.
    reduction, name, axis, dtype
        See `Loss`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.SparseCategoricalCrossentropy(from_logits=True)
    SparseCategoricalCrossentropy(from_logits=True)
    >>> round(losses.SparseCategoricalCrossentropy(ignore_class=-1)([1, -1], [[0.5, 0.5], [0.9, 0.1]]), 6)
    0.693147
    """

    _fields = ("from_logits", "ignore_class", "axis", *Measure._fields)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = DEFAULT,
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        where = type(self).__name__
        self.axis = one_axis(axis, self)
        self.from_logits = from_logits_flag(from_logits, self)
        self.ignore_class = None if ignore_class is None else integer(ignore_class, f"{where}: ignore_class")


class CategoricalCrossentropy(Measure):
    """``-sum_k target[k] * log p[k]``, for targets of the predictions' shape (`utils.to_categorical`).

    Parameters
    ----------
    from_logits
        As in `SparseCategoricalCrossentropy`.
    label_smoothing
        s in [0, 1]: targets become ``(1 - s) target + s / classes``.
    axis, reduction, name, dtype
        See `Loss`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.get("CategoricalCrossentropy")
    CategoricalCrossentropy()
    >>> round(losses.CategoricalCrossentropy()([[0, 1, 0]], [[0.05, 0.95, 0]]), 6)
    0.051293
    """

    _fields = ("from_logits", "label_smoothing", "axis", *Measure._fields)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = DEFAULT,
        name: str | None = "categorical_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = one_axis(axis, self)
        self.from_logits = from_logits_flag(from_logits, self)
        self.label_smoothing = smoothing(label_smoothing, self)


class CategoricalFocalCrossentropy(Measure):
    """``-sum_k alpha (1 - p[k])^gamma target[k] log p[k]``: cross-entropy that easy classes add little to.

    Parameters
    ----------
    alpha
        A factor, the same for all classes or one for each.
    gamma
        How fast a likely class loses its weight; with 0 it keeps it.
    from_logits, label_smoothing, axis, reduction, name, dtype
        As in `CategoricalCrossentropy`.

    Notes
    -----
    Lin et al., "Focal Loss for Dense Object Detection", 2017, in Keras's form.

    Examples
    --------
    >>> from fastcnn import losses
    >>> y_true, y_pred = [[0, 1, 0], [0, 0, 1]], [[0.05, 0.9, 0.05], [0.1, 0.85, 0.05]]
    >>> [round(float(loss), 6) for loss in losses.categorical_focal_crossentropy(y_true, y_pred)]
    [0.000263, 0.675912]
    """

    _fields = ("alpha", "gamma", "from_logits", "label_smoothing", "axis", *Measure._fields)

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = DEFAULT,
        name: str | None = "categorical_focal_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = one_axis(axis, self)
        self.alpha = (
            tuple(parameter(each, self, "alpha") for each in alpha)
            if isinstance(alpha, Sequence | np.ndarray) and not isinstance(alpha, str)
            else parameter(alpha, self, "alpha")
        )
        self.gamma = parameter(gamma, self, "gamma")
        self.from_logits = from_logits_flag(from_logits, self)
        self.label_smoothing = smoothing(label_smoothing, self)


class BinaryCrossentropy(Measure):
    """Mean over the last axis of ``-target log p - (1 - target) log(1 - p)``.

    Parameters
    ----------
    from_logits
        False: p is the prediction, clipped to [1e-7, 1 - 1e-7]. True: ``p = sigmoid(prediction)``, whatever
        its size.
    label_smoothing
        s in [0, 1]: targets become ``(1 - s) target + s / 2``.
    axis, reduction, name, dtype
        See `Loss`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> round(losses.BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    0.814924
    """

    _fields = ("from_logits", "label_smoothing", "axis", *Measure._fields)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = DEFAULT,
        name: str | None = "binary_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = one_axis(axis, self)
        self.from_logits = from_logits_flag(from_logits, self)
        self.label_smoothing = smoothing(label_smoothing, self)


class BinaryFocalCrossentropy(Measure):
    """Mean over the last axis of ``f^gamma L``, L the binary cross-entropy.

    ``f = target (1 - p) + (1 - target) p`` is the share of the other class.

    Parameters
    ----------
    apply_class_balancing
        Whether to multiply by ``target alpha + (1 - target) (1 - alpha)``.
    alpha
        In [0, 1], the weight of class 1.
    gamma
        How fast an easy prediction loses its weight; with 0 it keeps it.
    from_logits, label_smoothing, axis, reduction, name, dtype
        As in `BinaryCrossentropy`, but p is clipped in L from logits too.

    Notes
    -----
    Lin et al., "Focal Loss for Dense Object Detection", 2017, in Keras's form.

    Examples
    --------
    >>> from fastcnn import losses
    >>> y_true, y_pred = [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]
    >>> [round(float(loss), 6) for loss in losses.binary_focal_crossentropy(y_true, y_pred)]
    [0.329865, 0.205798]
    """

    _fields = (
        "apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing", "axis", *Measure._fields
    )  # fmt: skip

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = DEFAULT,
        name: str | None = "binary_focal_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        where = type(self).__name__
        self.axis = one_axis(axis, self)
        self.apply_class_balancing = flag(apply_class_balancing, f"{where}: apply_class_balancing")
        self.alpha = parameter(alpha, self, "alpha")
        if self.alpha > 1:
            raise ArgumentError(f"{where}: alpha: {self.alpha:g} came, wanted 0 to 1")
        self.gamma = parameter(gamma, self, "gamma")
        self.from_logits = from_logits_flag(from_logits, self)
        self.label_smoothing = smoothing(label_smoothing, self)


class Hinge(Measure):
    """Mean over the last axis of ``max(1 - target prediction, 0)``, for targets -1 and 1.

    Targets 0 and 1 are taken as -1 and 1, if the batch has no others.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.Hinge()([[0, 1], [1, 0]], [[0.5, 0.5], [2, -3]])
    0.5
    """


class SquaredHinge(Measure):
    """Mean over the last axis of ``max(1 - target prediction, 0)^2``; targets as in `Hinge`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.SquaredHinge()([[-1, 1]], [[0.5, 0.5]])
    1.25
    """


class CategoricalHinge(Measure):
    """``max(max_k (1 - target[k]) prediction[k] - sum_k target[k] prediction[k] + 1, 0)``.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.CategoricalHinge()([[0, 1, 0]], [[0.5, 0.25, 0.0]])
    1.25
    """


class Dice(Measure):
    """``1 - 2 sum(target p) / (sum(target) + sum(p) + 1e-7)``, the sums over the whole batch or some axes.

    A batch has one such loss, so there is no mean to take; weights multiply it by their mean (by their sum
    where the reduction is "sum"). With axes there is one for each index of the others, as of rows.

    Parameters
    ----------
    axis
        None, or the axes that a sum is over, the batch not among them: ``(1, 2, 3)`` gives a loss for each
        image.
    reduction, name, dtype
        See `Loss`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> round(losses.Dice()([[0, 1], [1, 1]], [[0, 1], [1, 0]]), 6)
    0.2
    """

    _fields = ("axis", *Measure._fields)

    def __init__(
        self,
        reduction: str | None = DEFAULT,
        name: str | None = "dice",
        axis: int | Sequence[int] | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = any_axes(axis, self)


class Tversky(Measure):
    """``1 - I / (I + alpha sum(target (1 - p)) + beta sum((1 - target) p) + 1e-7)``, ``I = sum(target p)``.

    The sums are over the whole batch, or the axes named; weights act as in `Dice`, which this is when alpha
    and beta are 1/2.

    Parameters
    ----------
    alpha, beta
        What a target that was missed costs, and a prediction that was wrong, as Keras has them.
    axis, reduction, name, dtype
        As in `Dice`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> round(losses.Tversky(alpha=1, beta=0)([[0, 1], [1, 1]], [[0, 1], [1, 0]]), 6)
    0.333333
    """

    _fields = ("alpha", "beta", "axis", *Measure._fields)

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = DEFAULT,
        name: str | None = "tversky",
        axis: int | Sequence[int] | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = any_axes(axis, self)
        self.alpha = parameter(alpha, self, "alpha")
        self.beta = parameter(beta, self, "beta")

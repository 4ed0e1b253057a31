# SPDX-License-Identifier: Apache-2.0
"""Losses as metrics, their mean over the rows, and what else measures regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn import losses
from fastcnn._arguments import choose, flag, integer, real
from fastcnn.metrics.base import Averaged, MeanOfRows, Metric, number, ratio, weights_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _OfLoss(MeanOfRows):
    """The mean of a loss's rows, computed by the native step."""

    direction = "down"

    def _loss(self) -> losses.Loss:
        kind: type[losses.Loss] = getattr(losses, type(self).__name__)
        options = {field: getattr(self, field) for field in self._fields if field != "name"}
        return kind(reduction=None, **options)

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        return self._loss()(*self._pair(y_true, y_pred, keep=True))


class MeanSquaredError(_OfLoss):
    """The mean of ``(target - prediction)^2``.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.MeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]])
    0.25
    """


class RootMeanSquaredError(Averaged):
    """The square root of the mean of ``(target - prediction)^2``.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.RootMeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]])
    0.5
    """

    direction = "down"

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        self._take((predicted.astype(np.float64) - true) ** 2, sample_weight)

    def result(self) -> float:
        """The root of the mean."""
        return float(np.sqrt(super().result()))


class MeanAbsoluteError(_OfLoss):
    """The mean of ``|target - prediction|``."""


class MeanAbsolutePercentageError(_OfLoss):
    """The mean of ``100 |target - prediction| / max(|target|, 1e-7)``."""


class MeanSquaredLogarithmicError(_OfLoss):
    """The mean of ``(log(target + 1) - log(prediction + 1))^2``."""


class LogCoshError(MeanOfRows):
    """The mean of ``log(cosh(prediction - target))``."""

    direction = "down"

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(name or "logcosh", dtype)

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        return losses.log_cosh(*self._pair(y_true, y_pred, keep=True))


class CosineSimilarity(MeanOfRows):
    """The mean of the cosine between target and prediction, along ``axis``: 1 if they agree.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> round(metrics.CosineSimilarity()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]), 4)
    0.5
    """

    _fields = ("name", "axis")
    direction = "up"

    def __init__(self, name: str | None = None, dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.axis = integer(axis, self._where("axis"))

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        return -np.asarray(losses.cosine_similarity(*self._pair(y_true, y_pred), axis=self.axis))


class KLDivergence(_OfLoss):
    """The mean of ``sum(target log(target / prediction))``."""


class Poisson(_OfLoss):
    """The mean of ``prediction - target log(prediction)``."""


class Hinge(_OfLoss):
    """The mean of ``max(1 - target prediction, 0)``."""


class SquaredHinge(_OfLoss):
    """The mean of ``max(1 - target prediction, 0)^2``."""


class CategoricalHinge(_OfLoss):
    """The mean of ``max(1 + largest wrong - right, 0)``."""


class _Crossentropy(_OfLoss):
    _fields: ClassVar[tuple[str, ...]] = ("name", "from_logits", "label_smoothing")

    def __init__(
        self,
        name: str | None = None,
        dtype: str | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = flag(from_logits, self._where("from_logits"))
        self.label_smoothing = real(label_smoothing, self._where("label_smoothing"), least=0)


class BinaryCrossentropy(_Crossentropy):
    """The mean cross-entropy of targets 0 and 1."""


class CategoricalCrossentropy(_Crossentropy):
    """The mean cross-entropy of one-hot targets, the classes along ``axis``."""

    _fields = (*_Crossentropy._fields, "axis")

    def __init__(
        self,
        name: str | None = None,
        dtype: str | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits, label_smoothing)
        self.axis = integer(axis, self._where("axis"))


class SparseCategoricalCrossentropy(_OfLoss):
    """The mean cross-entropy of labels, the classes along ``axis``; 0 of those that are ``ignore_class``."""

    _fields = ("name", "from_logits", "ignore_class", "axis")

    def __init__(
        self,
        name: str | None = None,
        dtype: str | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = flag(from_logits, self._where("from_logits"))
        self.ignore_class = (
            None if ignore_class is None else integer(ignore_class, self._where("ignore_class"))
        )
        self.axis = integer(axis, self._where("axis"))

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        return self._loss()(y_true, y_pred)


class R2Score(Metric):
    """``1 - sum((target - prediction)^2) / sum((target - mean)^2)``, of each output, then averaged.

    Parameters
    ----------
    class_aggregation
        "uniform_average", "variance_weighted_average", or None for one score an output.
    num_regressors
        Above 0 the score is adjusted by their number.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> round(metrics.R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]]), 4)
    0.5714
    """

    _fields = ("name", "class_aggregation", "num_regressors")
    direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(dtype, name or "r2_score")
        if class_aggregation is not None:
            known = {each: each for each in ("uniform_average", "variance_weighted_average")}
            class_aggregation = choose(class_aggregation, known, self._where("class_aggregation"))
        self.class_aggregation = class_aggregation
        self.num_regressors = integer(num_regressors, self._where("num_regressors"), least=0)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = (each.astype(np.float64) for each in self._same(y_true, y_pred))
        true, predicted = (each.reshape(len(each), -1) for each in (true, predicted))
        rows = np.ones(len(true))
        if sample_weight is not None:
            rows = weights_for(sample_weight, rows, self._where("sample_weight"))
        weights = rows[:, np.newaxis]
        self._add("sum", (weights * true).sum(axis=0))
        self._add("squares", (weights * true * true).sum(axis=0))
        self._add("residual", (weights * (true - predicted) ** 2).sum(axis=0))
        self._add("count", rows.sum())
        self._add("samples", len(true))

    def result(self) -> Any:
        """The score."""
        count = self._sum("count")
        if not count:
            return 0.0
        total = self._sum("squares") - self._sum("sum") ** 2 / count
        scores = 1 - ratio(self._sum("residual"), total)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            scores = (scores * total).sum() / total.sum()
        if self.num_regressors:
            samples, regressors = float(self._sum("samples")), self.num_regressors
            scores = 1 - (1 - scores) * ratio(samples - 1, samples - regressors - 1)
        return number(scores)

# SPDX-License-Identifier: Apache-2.0
"""What follows from counts of right and wrong answers: precision, recall, F1, the area under a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn._arguments import choose, flag, integer, listed, real
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.metrics.base import Array, Metric, number, ratio, weights_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Thresholds = float | Sequence[float] | None
_LOWEST = -1e10  # Keras's: what predictions outside of the top k become


class _Counts(Metric):
    """Positives and negatives, true and false, one of each a threshold; a prediction above it is positive."""

    _automatic = True
    _wanted: ClassVar[tuple[str, ...]]  # of "tp", "fp", "tn", "fn"

    def _set_thresholds(self, thresholds: Thresholds, default: float = 0.5) -> None:
        where = self._where("thresholds")
        self.thresholds = thresholds
        given = [default] if thresholds is None else thresholds
        several = given if isinstance(given, (list, tuple, np.ndarray)) else [given]
        self._limits = np.array([real(each, where) for each in several], np.float64)
        if thresholds is not None and not all(0 <= each <= 1 for each in self._limits):
            raise ArgumentError(f"{where}: {thresholds!r} came, wanted numbers from 0 to 1")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        self._count(true, predicted, sample_weight)

    def _count(self, true: Array, predicted: Array, sample_weight: ArrayLike | None) -> None:
        weights = None
        if sample_weight is not None:
            weights = weights_for(sample_weight, predicted, self._where("sample_weight")).ravel()
        real_ones = true.ravel() != 0
        flat = predicted.ravel()
        found: dict[str, list[float]] = {name: [] for name in self._wanted}
        for limit in self._limits:
            positive = flat > limit
            hits = {
                "tp": real_ones & positive,
                "fp": ~real_ones & positive,
                "tn": ~real_ones & ~positive,
                "fn": real_ones & ~positive,
            }
            for name in self._wanted:
                chosen = hits[name]
                found[name].append(float(chosen.sum() if weights is None else weights[chosen].sum()))
        for name, values in found.items():
            self._add(name, values)

    def result(self) -> Any:
        """A float, or an array of one number a threshold."""
        (only,) = self._wanted
        return number(self._sum(only))


class _Counted(_Counts):
    _fields = ("name", "thresholds")

    def __init__(
        self, thresholds: Thresholds = None, name: str | None = None, dtype: str | None = None
    ) -> None:
        super().__init__(name, dtype)
        self._set_thresholds(thresholds)


class TruePositives(_Counted):
    """How many positives were called so.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    _wanted = ("tp",)
    direction = "up"


class FalsePositives(_Counted):
    """How many negatives were called positive."""

    _wanted = ("fp",)
    direction = "down"


class TrueNegatives(_Counted):
    """How many negatives were called so."""

    _wanted = ("tn",)
    direction = "up"


class FalseNegatives(_Counted):
    """How many positives were called negative."""

    _wanted = ("fn",)
    direction = "down"


class _Share(_Counts):
    """``tp / (tp + other)``."""

    _fields = ("name", "thresholds", "top_k", "class_id")
    direction = "up"

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.top_k = None if top_k is None else integer(top_k, self._where("top_k"), least=1)
        self.class_id = None if class_id is None else integer(class_id, self._where("class_id"), least=0)
        self._set_thresholds(thresholds, 0.5 if top_k is None else _LOWEST)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        if self.top_k is not None:
            best = np.argsort(-predicted, axis=-1, kind="stable")[..., : self.top_k]
            kept = np.full(predicted.shape, _LOWEST)
            np.put_along_axis(kept, best, np.take_along_axis(predicted, best, axis=-1), axis=-1)
            predicted = kept
        if self.class_id is not None:
            if self.class_id >= predicted.shape[-1]:
                raise ArgumentError(
                    f"{self._where('class_id')}: {self.class_id} came, the predictions have "
                    f"{predicted.shape[-1]} classes"
                )
            true, predicted = true[..., self.class_id], predicted[..., self.class_id]
        self._count(true, predicted, sample_weight)

    def result(self) -> Any:
        """A float, or an array of one number a threshold."""
        right, wrong = (self._sum(name) for name in self._wanted)
        return number(ratio(right, right + wrong))


class Precision(_Share):
    """Share of what was called positive that is: ``tp / (tp + fp)``, 0 of nothing.

    Parameters
    ----------
    thresholds
        Predictions above are positive; a number, or several for as many results. None means 0.5.
    top_k
        Only so many largest predictions of a sample can be positive.
    class_id
        Look at one class alone.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> precision = metrics.Precision()
    >>> precision([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    _wanted = ("tp", "fp")


class Recall(_Share):
    """Share of the positives that were called so: ``tp / (tp + fn)``, 0 of nothing.

    Parameters
    ----------
    thresholds, top_k, class_id
        As in `Precision`.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.Recall(thresholds=[0.3, 0.7])([0, 1, 1, 1], [0.2, 0.5, 0.9, 0.8])
    array([1.        , 0.66666667])
    """

    _wanted = ("tp", "fn")


class FBetaScore(Metric):
    """``(1 + beta^2) p r / (beta^2 p + r)`` of precision and recall, class by class.

    Parameters
    ----------
    average
        None for one score a class, "micro" (all classes in one), "macro" (their mean) or "weighted" (their
        mean by the number of positives).
    beta
        How much more recall counts than precision.
    threshold
        Predictions above are positive; None means the largest of a sample alone.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> score = metrics.FBetaScore(beta=2.0, threshold=0.5)
    >>> score([[1, 1, 1], [1, 0, 0], [1, 1, 0]], [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]).round(4)
    array([0.3846, 0.9091, 0.8333])
    """

    _fields: ClassVar[tuple[str, ...]] = ("name", "average", "beta", "threshold")
    direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, dtype)
        if average is not None:
            known = {each: each for each in ("micro", "macro", "weighted")}
            average = choose(average, known, self._where("average"))
        self.average = average
        self.beta = real(beta, self._where("beta"))
        self.threshold = None if threshold is None else real(threshold, self._where("threshold"))
        if self.beta <= 0:
            raise ArgumentError(f"{self._where('beta')}: {beta} came, wanted a number above 0")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ArgumentError(f"{self._where('threshold')}: {threshold} came, wanted one in (0, 1]")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = (np.asarray(each) for each in (y_true, y_pred))
        if true.shape != predicted.shape or true.ndim != 2:
            raise ShapeError(
                f"{self._where('y_true')}: shape {true.shape} came for predictions {predicted.shape}, wanted "
                "both of [N, classes]; utils.to_categorical makes rows of labels"
            )
        if self.threshold is None:
            positive = (predicted >= predicted.max(axis=-1, keepdims=True)) & (np.abs(predicted) > 1e-9)
        else:
            positive = predicted > self.threshold
        true = true != 0
        axis = None if self.average == "micro" else 0
        weights: Array = np.ones((len(true), 1))
        if sample_weight is not None:
            weights = weights_for(sample_weight, np.ones(len(true)), self._where("sample_weight"))[
                :, np.newaxis
            ]
        for name, hits in (("tp", positive & true), ("fp", positive & ~true), ("fn", ~positive & true)):
            self._add(name, (hits * weights).sum(axis=axis))
        self._add("positives", (true * weights).sum(axis=axis))

    def result(self) -> Any:
        """A float, or with ``average=None`` an array of one score a class."""
        right = self._sum("tp")
        precision, recall = ratio(right, right + self._sum("fp")), ratio(right, right + self._sum("fn"))
        square = self.beta**2
        scores = ratio((1 + square) * precision * recall, square * precision + recall)
        if self.average == "macro":
            scores = scores.mean()
        elif self.average == "weighted":
            scores = (scores * ratio(self._sum("positives"), self._sum("positives").sum())).sum()
        return number(scores) if self.average else scores


class F1Score(FBetaScore):
    """``2 p r / (p + r)`` of precision and recall, class by class.

    Parameters
    ----------
    average, threshold
        As in `FBetaScore`.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> score = metrics.F1Score(average="macro", threshold=0.5)
    >>> round(score([[1, 1], [1, 0]], [[0.2, 0.6], [0.6, 0.6]]), 4)
    0.6667
    """

    _fields = ("name", "average", "threshold")

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)


class AUC(Metric):
    """The area under the curve that thresholds draw: of receiver operating characteristic, or of precision
    over recall.

    Parameters
    ----------
    num_thresholds
        From 0 to 1, evenly spaced.
    curve
        "ROC" or "PR".
    summation_method
        "interpolation", "minoring" or "majoring": the middle, the lesser, the greater of two neighbours. The
        first interpolates a "PR" curve as J. Davis, M. Goadrich, ICML 2006.
    thresholds
        Of your own, in place of ``num_thresholds``; 0 and 1 are added.
    multi_label
        Whether each class has a curve of its own; areas are averaged, with ``label_weights`` if they came.
    from_logits
        Whether a sigmoid is still to be taken.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.AUC(num_thresholds=3)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.75
    """

    _fields = (
        "name", "num_thresholds", "curve", "summation_method", "thresholds", "multi_label", "num_labels",
        "label_weights", "from_logits",
    )  # fmt: skip
    _automatic = True
    direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.curve = choose(curve, {"ROC": "ROC", "PR": "PR"}, self._where("curve"))
        methods = {each: each for each in ("interpolation", "minoring", "majoring")}
        self.summation_method = choose(summation_method, methods, self._where("summation_method"))
        self.num_thresholds = integer(num_thresholds, self._where("num_thresholds"), least=2)
        self.thresholds = thresholds
        if thresholds is None:
            inner = np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
        else:
            where = self._where("thresholds")
            inner = np.sort([real(each, where) for each in listed(thresholds, where, "numbers")])
            if not ((inner >= 0) & (inner <= 1)).all():
                raise ArgumentError(f"{where}: {thresholds!r} came, wanted numbers from 0 to 1")
        # As float32, which predictions are: else one that equals a threshold might lie above it.
        self._limits = np.array([-1e-7, *inner, 1 + 1e-7], np.float32)
        self.multi_label = flag(multi_label, self._where("multi_label"))
        self.num_labels = (
            None if num_labels is None else integer(num_labels, self._where("num_labels"), least=1)
        )
        self.label_weights = None if label_weights is None else [float(each) for each in label_weights]
        self.from_logits = flag(from_logits, self._where("from_logits"))
        if self.label_weights is not None and not self.multi_label:
            raise ArgumentError(f"{self._where('label_weights')}: came, wanted multi_label=True with them")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        predicted = predicted.astype(np.float32, copy=False)
        if self.from_logits:
            predicted = 1 / (1 + np.exp(-predicted))
        if not ((predicted >= 0) & (predicted <= 1)).all():
            raise ArgumentError(f"{self._where('y_pred')}: numbers outside of [0, 1] came")
        weights: Array = np.ones(predicted.shape)
        if sample_weight is not None:
            weights = weights_for(sample_weight, predicted, self._where("sample_weight"))
        columns = predicted.shape[-1] if self.multi_label else 1
        if self.multi_label and predicted.ndim != 2:
            raise ShapeError(f"{self._where('y_pred')}: shape {predicted.shape} came, wanted [N, labels]")
        if self.label_weights is not None and len(self.label_weights) != columns:
            raise ArgumentError(
                f"{self._where('label_weights')}: {len(self.label_weights)} came for {columns} labels"
            )
        true, predicted, weights = (each.reshape(-1, columns) for each in (true != 0, predicted, weights))
        size = len(self._limits)
        for name, of_all, chosen in (("tp", "positives", true), ("fp", "negatives", ~true)):
            called = np.empty((size, columns))
            for column in range(columns):
                # A prediction is above the first so many thresholds.
                above = np.searchsorted(self._limits, predicted[:, column], side="left")
                counts = np.bincount(above, weights[:, column] * chosen[:, column], size + 1)
                called[:, column] = counts[::-1].cumsum()[::-1][1:]
            self._add(name, called)
            self._add(of_all, (weights * chosen).sum(axis=0))

    def result(self) -> Any:
        """The area."""
        if not self._sums:
            return 0.0
        tp, fp = self._sum("tp"), self._sum("fp")
        positives, negatives = self._sum("positives"), self._sum("negatives")
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = _davis_goadrich(tp, fp, positives)
        else:
            recall = ratio(tp, positives)
            x, y = (ratio(fp, negatives), recall) if self.curve == "ROC" else (recall, ratio(tp, tp + fp))
            heights = {
                "interpolation": (y[:-1] + y[1:]) / 2,
                "minoring": np.minimum(y[:-1], y[1:]),
                "majoring": np.maximum(y[:-1], y[1:]),
            }[self.summation_method]
            areas = ((x[:-1] - x[1:]) * heights).sum(axis=0)
        weights = np.ones_like(areas) if self.label_weights is None else np.array(self.label_weights)
        return float((areas * weights).sum() / weights.sum())


def _davis_goadrich(tp: Array, fp: Array, positives: Array) -> Array:
    """Between two thresholds false positives grow linearly with true ones, and so precision does not."""
    gained = tp[:-1] - tp[1:]
    called = tp + fp
    slope = ratio(gained, np.maximum(called[:-1] - called[1:], 0))
    intercept = tp[1:] - slope * called[1:]
    both = (called[:-1] > 0) & (called[1:] > 0)
    growth = np.where(both, ratio(called[:-1], np.maximum(called[1:], 0)), 1.0)
    area: Array = ratio(slope * (gained + intercept * np.log(growth)), positives).sum(axis=0)
    return area

# SPDX-License-Identifier: Apache-2.0
"""Areas under the ROC and the precision-recall curve, by thresholds as in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn._arguments import choose, flag, integer, listed, real
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.metrics.base import Array, Metric, ratio, weights_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
        super().__init__(dtype, name)
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

# SPDX-License-Identifier: Apache-2.0
"""What is reported beside the loss, over an epoch or an evaluation. Names and formulas are Keras's.

Of each output the first accuracy is counted by the native step. Any other metric reads the predictions of
each batch; so does a function ``(y_true, y_pred)`` of NumPy arrays, which `MeanMetricWrapper` makes a metric
of.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fastcnn._arguments import choose
from fastcnn._config import deserialize as _deserialize
from fastcnn._config import snake_case
from fastcnn._late import listing
from fastcnn.errors import ArgumentError
from fastcnn.metrics.accuracy import (
    Accuracy,
    AccuracyByShape,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastcnn.metrics.base import Mean, MeanMetricWrapper, Metric, Sum

if TYPE_CHECKING:
    from fastcnn.losses import (
        binary_crossentropy,
        binary_focal_crossentropy,
        categorical_crossentropy,
        categorical_focal_crossentropy,
        categorical_hinge,
        hinge,
        huber,
        kl_divergence,
        log_cosh,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_error,
        mean_squared_logarithmic_error,
        poisson,
        sparse_categorical_crossentropy,
        squared_hinge,
    )
    from fastcnn.metrics.auc import AUC
    from fastcnn.metrics.confusion import (
        FalseNegatives,
        FalsePositives,
        Precision,
        Recall,
        TrueNegatives,
        TruePositives,
    )
    from fastcnn.metrics.errors import (
        BinaryCrossentropy,
        CategoricalCrossentropy,
        CategoricalHinge,
        CosineSimilarity,
        Hinge,
        KLDivergence,
        LogCoshError,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredError,
        MeanSquaredLogarithmicError,
        Poisson,
        R2Score,
        RootMeanSquaredError,
        SparseCategoricalCrossentropy,
        SquaredHinge,
    )
    from fastcnn.metrics.fbeta import F1Score, FBetaScore
    from fastcnn.metrics.functions import (
        binary_accuracy,
        categorical_accuracy,
        sparse_categorical_accuracy,
        sparse_top_k_categorical_accuracy,
        top_k_categorical_accuracy,
    )
    from fastcnn.metrics.matrix import BinaryIoU, ConfusionMatrix, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

_WHERE = ("fbeta", "confusion", "auc", "matrix", "errors", "functions")
"""The modules that are imported when a name that is not here yet is asked for, one after the other."""

_NAMELESS = ("Accuracy", "AccuracyByShape", "ConfusionMatrix", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU")
_SHORT = {
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "rmse": "RootMeanSquaredError",
    "bce": "BinaryCrossentropy",
}

__dir__ = listing(__name__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in (*(f"{__name__}.{each}" for each in _WHERE), "fastcnn.losses"):
            found = getattr(importlib.import_module(module), name, None)
            if found is not None:
                globals()[name] = found
                return found
    from fastcnn._absent import absent

    raise absent(__name__, name)


def _classes() -> dict[str, type[Metric]]:
    """All that a description may name."""
    others = ("Mean", "MeanMetricWrapper", "Metric", "Sum")
    names = [name for name in __all__ if name[0].isupper() and name not in others]
    known = {name: globals().get(name) or __getattr__(name) for name in names}
    return {"AccuracyByShape": AccuracyByShape, **known}


def _names() -> dict[str, type[Metric]]:
    """All that stand for themselves: a snake-case name, a class's, or a short one."""
    classes = {name: each for name, each in _classes().items() if name not in _NAMELESS}
    short = {name: classes[kind] for name, kind in _SHORT.items()}
    upper = {name.upper(): each for name, each in short.items()}
    return {
        **_QUICK,
        **{snake_case(name): each for name, each in classes.items()},
        **short,
        **classes,
        **upper,
    }


_QUICK: dict[str, type[Metric]] = {
    "accuracy": AccuracyByShape,
    "acc": AccuracyByShape,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
}  # for which no other module is needed


def get(identifier: object, functions: Mapping[str, Any] | None = None) -> Metric | None:
    """A metric from its name ("accuracy"), its description, a function or itself.

    Parameters
    ----------
    identifier
        None is none.
    functions
        What descriptions of functions may name.

    Raises
    ------
    ArgumentError
        The name is unknown.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.get("mse").name, metrics.get(metrics.AUC(name="area")).name
    ('mse', 'area')
    """
    return None if identifier is None else _get_one(identifier, functions or {})


def listed(identifiers: object, functions: Mapping[str, Any] | None = None) -> tuple[Metric, ...]:
    """What `get` makes of each of a list; None is none, and one may come without a list."""
    if identifiers is None:
        return ()
    single = isinstance(identifiers, (str, Metric, Mapping)) or callable(identifiers)
    if single or not isinstance(identifiers, Iterable):
        identifiers = [identifiers]
    return tuple(_get_one(each, functions or {}) for each in identifiers)


def describe(metric: Metric) -> dict[str, Any]:
    """What `get` makes the metric of again; of a function its name alone."""
    if isinstance(metric, MeanMetricWrapper):
        return {"class_name": "function", "config": {"name": metric.name}}
    return {"class_name": type(metric).__name__, "config": metric.get_config()}


serialize = describe


def deserialize(config: object, custom_objects: Mapping[str, Any] | None = None) -> Metric:
    """The metric that `serialize` described.

    Raises
    ------
    ArgumentError
        The description names no metric.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.deserialize(metrics.serialize(metrics.AUC(name="area"))).name
    'area'
    """
    return _get_one(config, custom_objects or {})


def _get_one(identifier: object, functions: Mapping[str, Any]) -> Metric:
    if isinstance(identifier, Metric):
        return identifier
    where = "compile: metrics"
    if isinstance(identifier, Mapping):
        if identifier.get("class_name") == "function":
            name = identifier["config"]["name"]
            if name not in functions:
                raise ArgumentError(
                    f"{where}: the function {name!r} is not known here; pass custom_objects={{{name!r}: ...}}"
                )
            found = functions[name]
            return found if isinstance(found, Metric) else MeanMetricWrapper(found, name)
        return _deserialize(identifier, _classes(), where)
    if not isinstance(identifier, str) and callable(identifier):
        return MeanMetricWrapper(identifier)
    known = _QUICK if identifier in _QUICK else _names()
    return choose(identifier, known, where)(name=str(identifier))

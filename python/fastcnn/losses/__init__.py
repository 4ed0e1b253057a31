# SPDX-License-Identifier: Apache-2.0
"""What training makes small: the loss of a batch. Computed natively, fused with its gradient.

A class is called as in Keras, ``MeanSquaredError()(y_true, y_pred)``, and has its gradient beside it,
``MeanSquaredError().gradient(y_true, y_pred)``. The functions give the loss of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastcnn._absent import absences
from fastcnn._arguments import choose
from fastcnn._config import named, resolve, serialize, snake_case
from fastcnn.errors import ArgumentError
from fastcnn.losses.base import Loss
from fastcnn.losses.classification import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    Dice,
    Hinge,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from fastcnn.losses.custom import Custom
from fastcnn.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    dice,
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
    tversky,
)
from fastcnn.losses.regression import (
    CosineSimilarity,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
)

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Custom",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "deserialize",
    "dice",
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
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

_CLASSES: dict[str, type[Loss]] = named(
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    Dice,
    Tversky,
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Huber,
    LogCosh,
    KLDivergence,
    Poisson,
    CosineSimilarity,
    mse=MeanSquaredError,
    MSE=MeanSquaredError,
    mae=MeanAbsoluteError,
    MAE=MeanAbsoluteError,
    mape=MeanAbsolutePercentageError,
    MAPE=MeanAbsolutePercentageError,
    msle=MeanSquaredLogarithmicError,
    MSLE=MeanSquaredLogarithmicError,
    bce=BinaryCrossentropy,
    BCE=BinaryCrossentropy,
    kld=KLDivergence,
    KLD=KLDivergence,
)


def get(identifier: Any) -> Any:
    """A loss from its name or description, as in Keras: what is no name stays as it is, None too.

    Parameters
    ----------
    identifier
        In snake case or as an abbreviation ("mean_squared_error", "mse") the name of a function, which gives
        the loss of each row; the name of a class ("MeanSquaredError"), or a description, one of its objects.

    Raises
    ------
    ArgumentError
        The name is unknown.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.get("mse") is losses.mean_squared_error
    True
    >>> losses.get("MeanSquaredError")
    MeanSquaredError()
    """
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if identifier is None or callable(identifier):
        return identifier
    if isinstance(identifier, str):
        kind = choose(identifier, _CLASSES, "losses.get")
        if identifier != kind.__name__:
            return globals()[snake_case(kind.__name__)]
    return resolve(identifier, Loss, _CLASSES, "losses.get")


def minimized(identifier: object, functions: Mapping[str, Any] | None = None) -> Loss:
    """What `compile` makes small, of what it was told.

    Parameters
    ----------
    identifier
        What `get` takes. A function of this module stands for the loss of its name; one of your own for
        `Custom`, and so does a `Loss` with a ``call`` of your own.
    functions
        What descriptions of functions may name.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    where = "compile: loss"
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "Custom":
        name = identifier["config"]["name"]
        if name not in (functions or {}):
            raise ArgumentError(
                f"{where}: the function {name!r} is not known here; pass custom_objects={{{name!r}: ...}}"
            )
        identifier = (functions or {})[name]
    if isinstance(identifier, Loss) and type(identifier).call is not Loss.call:
        return Custom(identifier.call, identifier.name)
    if callable(identifier) and not isinstance(identifier, (Loss, type)):
        name = getattr(identifier, "__name__", "")
        return _CLASSES[name]() if globals().get(name) is identifier else Custom(identifier)
    return resolve(identifier, Loss, _CLASSES, where)


def deserialize(name: object, custom_objects: Mapping[str, Any] | None = None) -> Loss:
    """The loss that `serialize` described.

    >>> from fastcnn import losses
    >>> losses.deserialize(losses.serialize(losses.Huber(2.0)))
    Huber(delta=2.0)
    """
    return minimized(name, custom_objects)


def describe(loss: Loss) -> dict[str, Any]:
    """What `minimized` makes the loss of again; of a function of your own its name alone."""
    return serialize(loss)


__getattr__ = absences(__name__)

# SPDX-License-Identifier: Apache-2.0
"""What training makes small: the loss of a batch. Computed natively, fused with its gradient.

A class is called as in Keras, ``MeanSquaredError()(y_true, y_pred)``, and has its gradient beside it,
``MeanSquaredError().gradient(y_true, y_pred)``. The functions give the loss of each row.
"""

from __future__ import annotations

from fastcnn._config import named, resolve
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


def get(identifier: object) -> Loss:
    """A loss from its name ("sparse_categorical_crossentropy", "mse"), its description or itself.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    return resolve(identifier, Loss, _CLASSES, "compile: loss")

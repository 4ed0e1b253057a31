# SPDX-License-Identifier: Apache-2.0
"""What training makes small: the mean over a batch. Computed natively, fused with its gradient."""

from __future__ import annotations

from typing import Any

from fastcnn._arguments import flag
from fastcnn._config import Configurable, named, resolve, snake_case

__all__ = ["CategoricalCrossentropy", "Loss", "MeanSquaredError", "SparseCategoricalCrossentropy", "get"]


class Loss(Configurable):
    """Base of all losses."""

    def native(self) -> dict[str, Any]:
        """The description that the native module reads."""
        return {"name": snake_case(type(self).__name__), "from_logits": False, **self.get_config()}


class _Crossentropy(Loss):
    _fields = ("from_logits",)

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = flag(from_logits, f"{type(self).__name__}: from_logits")


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log p[label]``, for labels 0 to classes - 1, of any dtype that holds whole numbers.

    Parameters
    ----------
    from_logits
        False: the predictions are taken as probabilities, divided by their sum and clipped to
        [1e-7, 1 - 1e-7], as Keras does. True: ``p = softmax(predictions)``.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.SparseCategoricalCrossentropy(from_logits=True)
    SparseCategoricalCrossentropy(from_logits=True)
    """


class CategoricalCrossentropy(_Crossentropy):
    """``-sum_k target[k] * log p[k]``, for targets of the predictions' shape (`utils.to_categorical`).

    Parameters
    ----------
    from_logits
        As in `SparseCategoricalCrossentropy`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.get("categorical_crossentropy")
    CategoricalCrossentropy(from_logits=False)
    """


class MeanSquaredError(Loss):
    """Mean of ``(prediction - target)^2`` over all outputs of a sample.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.get("mse")
    MeanSquaredError()
    """


_CLASSES: dict[str, type[Loss]] = named(
    SparseCategoricalCrossentropy, CategoricalCrossentropy, MeanSquaredError, mse=MeanSquaredError
)


def get(identifier: object) -> Loss:
    """A loss from its name ("sparse_categorical_crossentropy", "mse"), its description or itself.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    return resolve(identifier, Loss, _CLASSES, "compile: loss")

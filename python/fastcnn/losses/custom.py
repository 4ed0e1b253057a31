# SPDX-License-Identifier: Apache-2.0
"""A loss of your own: its value and its gradient, as a function of a batch's targets and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.losses.base import Loss

Pair = Callable[[Any, Any], tuple[Any, Any]]


class Custom(Loss):
    """A function ``(y_true, y_pred) -> (value, gradient)``; `compile` makes one of any function it is given.

    The function is called once a batch, between the forward and the backward pass, with NumPy arrays. There
    is no automatic differentiation. While it runs it must not use the model that is trained.

    Parameters
    ----------
    function
        Returns the mean loss of the batch, and its gradient with respect to ``y_pred``, of the same shape.
    name
        For reports; None means the function's name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> def squared_error(y_true, y_pred):
    ...     difference = y_pred - y_true
    ...     return np.mean(difference**2), 2 * difference / difference.size
    >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", loss=squared_error)
    >>> model.train_on_batch([[1.0]], [[3.0]])
    9.0
    """

    _fields = ("name",)

    def __init__(self, function: Pair, name: str | None = None) -> None:
        if not callable(function):
            raise DTypeError(f"Custom: function: {function!r} came, wanted a function")
        super().__init__(name=name or str(getattr(function, "__name__", type(function).__name__)))
        self.function = function

    def __repr__(self) -> str:
        return f"Custom({self.name})"

    def pair(self, y_true: Any, y_pred: Any) -> tuple[float, Any]:
        """Value and gradient, proven."""
        where = f"loss {self.name!r}"
        answer = self.function(y_true, y_pred)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise DTypeError(
                f"{where}: {type(answer).__name__} came, wanted a pair: the batch's mean loss, and its "
                "gradient with respect to the predictions"
            )
        value, gradient = np.asarray(answer[0]), np.ascontiguousarray(answer[1], np.float32)
        if value.size != 1:
            raise ShapeError(f"{where}: the loss has shape {value.shape}, wanted one number")
        if gradient.shape != np.shape(y_pred):
            raise ShapeError(
                f"{where}: the gradient has shape {gradient.shape}, wanted that of the predictions, "
                f"{np.shape(y_pred)}"
            )
        return float(value.reshape(())), gradient

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The loss of predictions."""
        self._no_weights(sample_weight)
        return self.pair(np.asarray(y_true), np.asarray(y_pred, np.float32))[0]

    def gradient(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        out: Any = None,
    ) -> Any:
        """The gradient of the loss with respect to the predictions."""
        self._no_weights(sample_weight)
        found = self.pair(np.asarray(y_true), np.asarray(y_pred, np.float32))[1]
        if out is None:
            return found
        out[...] = found
        return out

    def _no_weights(self, sample_weight: object) -> None:
        if sample_weight is not None:
            raise ArgumentError(
                f"loss {self.name!r}: sample_weight came, which a function of your own cannot use"
            )

    def native(self) -> dict[str, Any]:
        """The description that the native module reads."""
        return {"external": True}

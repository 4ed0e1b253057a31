# SPDX-License-Identifier: Apache-2.0
"""What all losses share: arguments, the description that the native module reads, and calls on arrays."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastcnn import _native
from fastcnn._arguments import choose, flag, integer, real
from fastcnn._config import Configurable, snake_case
from fastcnn.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    from fastcnn.ops.types import Array

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")
DEFAULT = "sum_over_batch_size"


class Loss(Configurable):
    """Base of all losses. One of your own has a ``call`` that returns what a function for `Custom` does.

    Parameters
    ----------
    axis
        Where there is one: the axis that classes or features stand on, the batch being 0. Rows are all
        others.
    reduction
        How the losses of the rows (all axes but the last) become one number. "sum_over_batch_size" and "mean"
        divide the weighted sum by the number of rows, "mean_with_sample_weight" by the sum of the weights,
        "sum" by nothing. None leaves the losses of the rows as they are, which cannot be trained on.
    name
        For reports; None means the class's own.
    dtype
        None or "float32".
    """

    _fields: ClassVar[tuple[str, ...]] = ("reduction", "name")

    def __init__(
        self, name: str | None = None, reduction: str | None = DEFAULT, dtype: str | None = None
    ) -> None:
        where = type(self).__name__
        if reduction is not None:
            reduction = choose(reduction, {each: each for each in REDUCTIONS}, f"{where}: reduction")
        if name is not None and not isinstance(name, str):
            raise DTypeError(f"{where}: name: {name!r} came, wanted a string")
        if dtype not in (None, "float32"):
            raise ArgumentError(f"{where}: dtype: {dtype!r} came, wanted 'float32', the only one")
        self.reduction = None if reduction == "none" else reduction
        self.name = name or snake_case(where)

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        shown = []
        for field in self._fields:
            default = parameters[field].default
            if field == "name" and default is None:
                default = snake_case(type(self).__name__)
            if getattr(self, field) != default:
                shown.append(f"{field}={getattr(self, field)!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The loss of predictions, computed by the step that trains networks.

        Parameters
        ----------
        y_true
            Targets of the shape of ``y_pred``; for a sparse loss labels of its shape without the last axis.
        y_pred
            Predictions; any real dtype, computed in float32.
        sample_weight
            A weight for each sample or row, or one for all.

        Returns
        -------
        A float, or float32 losses of the rows where the reduction is None.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            Shapes do not fit, or a label is no class.
        """
        return self._run(y_true, y_pred, sample_weight, "value" if self.reduction else "rows", None)

    def gradient(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        """The gradient of the loss with respect to the predictions (of the sum, where nothing is reduced).

        Parameters
        ----------
        y_true, y_pred, sample_weight
            As in a call.
        out
            Where it goes: float32, of the shape of ``y_pred``, C-contiguous.
        """
        dx: Array = self._run(y_true, y_pred, sample_weight, "gradient", out)
        return dx

    def _run(
        self, y_true: ArrayLike, y_pred: ArrayLike, weight: ArrayLike | None, wanted: str, out: Array | None
    ) -> Any:
        weights = None if weight is None else np.asarray(weight)
        return _native.loss(self.native(), np.asarray(y_true), np.asarray(y_pred), weights, wanted, out)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        """The losses of the rows; of a loss of your own the batch's value and gradient."""
        return self._run(y_true, y_pred, None, "rows", None)

    def native(self) -> dict[str, Any]:
        """The description that the native module reads."""
        return {"from_logits": False, **self.get_config(), "name": snake_case(type(self).__name__)}


class Measure(Loss):
    """Base of the package's losses."""

    def __init__(
        self, reduction: str | None = DEFAULT, name: str | None = None, dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)


def one_axis(axis: object, loss: Loss) -> int:
    """The axis that classes or features stand on, the batch being 0."""
    return integer(axis, f"{type(loss).__name__}: axis")


def any_axes(axis: object, loss: Loss) -> int | tuple[int, ...] | None:
    """The axes of a row; None: all, the batch among them."""
    where = f"{type(loss).__name__}: axis"
    if axis is None:
        return None
    if not isinstance(axis, tuple | list):
        return integer(axis, where)
    return tuple(integer(each, where) for each in axis)


def from_logits_flag(value: object, loss: Loss) -> bool:
    return flag(value, f"{type(loss).__name__}: from_logits")


def parameter(value: object, loss: Loss, name: str) -> float:
    """A finite number; the native module checks its domain."""
    return real(value, f"{type(loss).__name__}: {name}", least=0)


def smoothing(value: object, loss: Loss) -> float:
    """A number in [0, 1]."""
    number = parameter(value, loss, "label_smoothing")
    if number > 1:
        raise ArgumentError(f"{type(loss).__name__}: label_smoothing: {number:g} came, wanted 0 to 1")
    return number

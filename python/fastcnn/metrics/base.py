# SPDX-License-Identifier: Apache-2.0
"""What all metrics share: a name, a state of float64 sums, and weights of samples."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from fastcnn import _names
from fastcnn._config import Configurable, snake_case
from fastcnn.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastcnn.metrics.variables import Variable

Array: TypeAlias = np.ndarray[Any, Any]


class Metric(Configurable, abc.ABC):
    """Base of all metrics: ``update_state`` as often as there are batches, then ``result``.

    In a model `fit` and `evaluate` do so, and begin anew with each epoch. What they count natively, which is
    the first accuracy of an output, never reaches the object itself.

    Parameters
    ----------
    dtype
        None or "float32", for Keras's sake: sums are float64.
    name
        Key in ``history`` and in logs; None means the class's own.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> accuracy = metrics.BinaryAccuracy()
    >>> accuracy.update_state([0, 1], [0.2, 0.9])
    >>> accuracy.update_state([0, 1], [0.7, 0.8])
    >>> accuracy.result()
    0.75
    """

    _fields: ClassVar[tuple[str, ...]] = ("name",)
    native: ClassVar[str | None] = None  # how the native step calls it, if it can count it
    per_batch: ClassVar[bool] = False  # several batches given at once would have another result
    direction: ClassVar[str | None] = None  # "up" if more is better, "down" if less
    _automatic: ClassVar[bool] = False  # without a name it is numbered, as Keras does for some

    def __init__(self, dtype: str | None = None, name: str | None = None) -> None:
        kind = type(self).__name__
        if name is not None and not isinstance(name, str):
            raise DTypeError(f"{kind}: name: {name!r} came, wanted a string")
        if dtype not in (None, "float32"):
            raise ArgumentError(f"{kind}: dtype: {dtype!r} came, wanted 'float32', the only one")
        if name is None:
            name = _names.name_for(self, None) if self._automatic else snake_case(kind)
        self.name = name
        self._sums: dict[str, Array] = {}
        self.variables: list[Variable] = []  # that `add_variable` made

    @property
    def dtype(self) -> str:
        """Always "float32"."""
        return "float32"

    @abc.abstractmethod
    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch.

        Parameters
        ----------
        y_true, y_pred
            Targets and predictions, the first axis counts samples.
        sample_weight
            A weight for each sample, or each of its rows; None means 1.
        """

    @abc.abstractmethod
    def result(self) -> Any:
        """The metric of all batches since the last `reset_state`: a float, or an array."""

    def reset_state(self) -> None:
        """Begin anew."""
        self._sums = {}

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: str | None = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """Of a metric of your own: what it counts in, with ``assign``, ``assign_add`` and ``assign_sub``.

        Parameters
        ----------
        shape
            Sizes; () is a number.
        initializer
            What it starts from, and is again after `reset_state`: a name or an object of
            `fastcnn.initializers`.
        dtype, aggregation
            Without effect: sums are float64, and there is one device.
        name
            None means "variable", numbered.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn import metrics
        >>> class Right(metrics.Metric):
        ...     def __init__(self, name="right", **common):
        ...         super().__init__(name=name, **common)
        ...         self.count = self.add_variable(name="count")
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         self.count.assign_add(np.sum(np.argmax(y_pred, axis=-1) == np.ravel(y_true)))
        ...     def result(self):
        ...         return self.count
        >>> float(Right()([1, 0], [[0.2, 0.8], [0.4, 0.6]]))
        1.0
        """
        from fastcnn import initializers
        from fastcnn.metrics.variables import Variable

        where = self._where("initializer")
        start = initializers.get("zeros" if initializer is None else initializer, where)(tuple(shape))
        label = name or f"variable_{len(self.variables)}"
        if any(each.name == label for each in self.variables):
            label = f"{label}_{len(self.variables)}"
        made = Variable(self, label, np.asarray(start, np.float64))
        self.variables.append(made)
        return made

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> Variable:
        """`add_variable`, under Keras's older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """`update_state`, then `result`."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_state(self) -> dict[str, Array]:
        """The sums, by names of their own."""
        return {key: value.copy() for key, value in self._sums.items()}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `get_state` gave."""
        self._sums = {key: np.array(value, np.float64) for key, value in state.items()}

    def _add(self, name: str, value: Any) -> None:
        before = self._sums.get(name)
        self._sums[name] = np.asarray(value, np.float64) + (0.0 if before is None else before)

    def _sum(self, name: str) -> Any:
        return self._sums.get(name, np.float64(0))

    def _where(self, argument: str) -> str:
        return f"{type(self).__name__} {self.name!r}: {argument}"

    def _pair(self, y_true: ArrayLike, y_pred: ArrayLike, keep: bool = False) -> tuple[Array, Array]:
        """Both as arrays of one rank, where a last axis of 1 may be missing on either side.

        Where it is, the other loses it, or keeps it, so that a mean of the last axis is one of each sample.
        """
        true, predicted = np.asarray(y_true), np.asarray(y_pred)
        if predicted.ndim == true.ndim + 1 and predicted.shape[-1] == 1:
            return (true[..., np.newaxis], predicted) if keep else (true, predicted[..., 0])
        if true.ndim == predicted.ndim + 1 and true.shape[-1] == 1:
            return (true, predicted[..., np.newaxis]) if keep else (true[..., 0], predicted)
        return true, predicted

    def _same(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
        true, predicted = self._pair(y_true, y_pred)
        if true.shape != predicted.shape:
            raise ShapeError(
                f"{self._where('y_true')}: shape {true.shape} came, wanted that of the predictions, "
                f"{predicted.shape}"
            )
        return true, predicted


class Averaged(Metric):
    """Base of the means, weighted if weights came."""

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(dtype, name)

    def result(self) -> Any:
        """The mean; 0 of nothing."""
        count = float(self._sum("count"))
        return float(self._sum("total")) / count if count else 0.0

    def _take(self, values: Array, sample_weight: ArrayLike | None) -> None:
        if sample_weight is None:
            self._add("total", values.sum(dtype=np.float64))
            self._add("count", values.size)
            return
        weights = weights_for(sample_weight, values, self._where("sample_weight"))
        self._add("total", (values * weights).sum(dtype=np.float64))
        self._add("count", weights.sum(dtype=np.float64))


class Mean(Averaged):
    """The mean of values, given instead of targets and predictions.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> mean = metrics.Mean()
    >>> mean.update_state([1, 3, 5, 7])
    >>> mean.result()
    4.0
    """

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:  # type: ignore[override]
        """Take in values."""
        self._take(np.asarray(values, np.float64), sample_weight)

    def __call__(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:  # type: ignore[override]
        """`update_state`, then `result`."""
        self.update_state(values, sample_weight)
        return self.result()


class Sum(Metric):
    """The sum of values.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.Sum()([1, 2, 3])
    6.0
    """

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(dtype, name)

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:  # type: ignore[override]
        """Take in values."""
        array = np.asarray(values, np.float64)
        if sample_weight is not None:
            array = array * weights_for(sample_weight, array, self._where("sample_weight"))
        self._add("total", array.sum(dtype=np.float64))

    def result(self) -> Any:
        """The sum."""
        return float(self._sum("total"))

    def __call__(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:  # type: ignore[override]
        """`update_state`, then `result`."""
        self.update_state(values, sample_weight)
        return self.result()


class MeanOfRows(Averaged):
    """Base of the metrics that are a mean of one number for each row."""

    @abc.abstractmethod
    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        """One number a row."""

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        self._take(np.asarray(self._rows(y_true, y_pred), np.float64), sample_weight)


class MeanMetricWrapper(MeanOfRows):
    """A function of your own, ``fn(y_true, y_pred, **kwargs)``, as a metric: the mean of what it returns.

    Parameters
    ----------
    fn
        Takes NumPy arrays of a batch; returns a number for each sample or row, or one for the batch.
    name
        None means the function's name.
    **kwargs
        Go to the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import metrics
    >>> def worst(y_true, y_pred):
    ...     return np.abs(y_true - y_pred).max()
    >>> metric = metrics.MeanMetricWrapper(worst)
    >>> metric.name, metric([1.0, 2.0], [1.5, 4.0])
    ('worst', 2.0)
    """

    per_batch = True

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **kwargs: Any
    ) -> None:
        if not callable(fn):
            raise DTypeError(f"MeanMetricWrapper: fn: {fn!r} came, wanted a function")
        super().__init__(name or snake_case(getattr(fn, "__name__", type(fn).__name__)), dtype)
        self._fn, self._kwargs = fn, kwargs

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        found = self._fn(*self._pair(y_true, y_pred), **self._kwargs)
        try:
            if found is not None:  # which NumPy would call nan
                return np.asarray(found, np.float64)
        except (TypeError, ValueError):
            pass
        raise DTypeError(
            f"metric {self.name!r}: {type(found).__name__} came, wanted a number for each sample or row, "
            "or one for the batch"
        )


def weights_for(sample_weight: ArrayLike, values: Array, where: str) -> Array:
    """Weights spread over values: one for each sample or row, or of a last axis of 1."""
    weights = np.asarray(sample_weight, np.float64)
    if not values.ndim and weights.ndim:
        raise ShapeError(
            f"{where}: shape {weights.shape} came, but the metric is one number for the batch, which has no "
            "samples to weigh"
        )
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.ndim < values.ndim:
        weights = weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))
    try:
        return np.broadcast_to(weights, values.shape)
    except ValueError:
        raise ShapeError(
            f"{where}: shape {np.shape(sample_weight)} came, wanted one for each of {values.shape}"
        ) from None


def ratio(above: Any, below: Any) -> Any:
    """``above / below``, 0 where below is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below != 0)


def number(value: Any) -> Any:
    """A float of what holds one number, else the array."""
    array = np.asarray(value)
    return float(array.reshape(())) if array.size == 1 and array.ndim <= 1 else array

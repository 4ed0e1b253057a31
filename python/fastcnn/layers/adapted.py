# SPDX-License-Identifier: Apache-2.0
"""Normalization by the mean and variance of data, told or measured before training.

Natively a batch norm that always takes its moving statistics, or a rescaling where they are single numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn._arguments import Array, flag, integer
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.initializers import Initializer, Ones, Zeros
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack

_EPSILON = 1e-7  # Keras's: no deviation is smaller
_PIECE = 1 << 20  # numbers measured at once


class Normalization(Layer):
    """``(x - mean) / max(sqrt(variance), 1e-7)``, each channel by its own mean and variance.

    Parameters
    ----------
    axis
        Of the channels, the batch being axis 0: -1, or 1 for channels first. None: one mean and one variance
        for all.
    mean, variance
        Both or neither: a number, or one for each channel. They are no weights then. None: `adapt` measures
        them; they are weights that training does not change, 0 and 1 until then. (Keras has a third, a
        count, without effect.)
    invert
        ``x * sqrt(variance) + mean`` instead, of a mean and variance that are given.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument is wrong, or does not fit the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> layer = layers.Normalization()
    >>> layer.adapt(np.array([[0.0, 10.0], [2.0, 30.0]]))
    >>> Sequential([layer]).predict([[1.0, 30.0]], verbose=0).tolist()
    [[0.0, 1.0]]
    >>> layers.Normalization(mean=3.0, variance=4.0)(np.array([[1.0], [3.0]])).tolist()
    [[-1.0], [0.0]]
    """

    _fields = ("axis", "invert")
    _statistics: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        where = self._where("axis")
        found = axis if axis is None or isinstance(axis, str) else _axes.axes_argument(axis, where)
        if isinstance(found, tuple) and len(found) > 1:
            raise ArgumentError(f"{where}: {axis!r} came, wanted one axis, or None")
        self.axis = None if found is None else integer(found[0] if isinstance(found, tuple) else found, where)
        self.invert = flag(invert, self._where("invert"))
        if (mean is None) != (variance is None):
            missing = self._where("mean" if mean is None else "variance")
            raise ArgumentError(f"{missing}: None came, wanted both mean and variance, or neither")
        self._given = None if mean is None else self._told(mean, variance)
        self._measured: tuple[Array, Array] | None = None
        self._rank: int | None = None  # of the data that was measured

    def _told(self, mean: Any, variance: Any) -> tuple[Array, Array]:
        told = []
        for argument, value in (("mean", mean), ("variance", variance)):
            where = self._where(argument)
            array = np.asarray(value)
            if array.dtype.kind not in "fiu":
                raise DTypeError(f"{where}: {value!r} came, wanted a number, or one for each channel")
            if array.ndim > (self.axis is not None):
                wanted = "a number" if self.axis is None else "a number, or a list of one for each channel"
                raise ShapeError(f"{where}: shape {array.shape} came, wanted {wanted}")
            if not np.isfinite(array).all() or (argument == "variance" and (array < 0).any()):
                raise ArgumentError(f"{where}: {value!r} came, wanted finite numbers, variances of 0 or more")
            told.append(array.astype(np.float32))
        if told[0].shape != told[1].shape:
            raise ShapeError(f"{self._where('variance')}: {told[1].shape} came, mean has {told[0].shape}")
        return told[0], told[1]

    @property
    def told(self) -> bool:
        """Its numbers are arguments, and no weights."""
        return self._given is not None

    @property
    def mean(self) -> Array | None:
        """What is subtracted, shaped to be broadcast; None before there is any."""
        return self._broadcast(0)

    @property
    def variance(self) -> Array | None:
        """Whose root is divided by, shaped to be broadcast; None before there is any."""
        return self._broadcast(1)

    def _broadcast(self, which: int) -> Array | None:
        values = self._given or self._measured
        if values is None or self._rank is None:
            return None if values is None else values[which]
        built = self.network is not None  # set_weights may have come since
        value = self.get_weights()[which] if built else values[which]
        shape = [1] * self._rank
        if self.axis is None:
            return value.ravel()[:1].reshape(shape)
        shape[self.axis] = value.size
        return value.reshape(shape)

    def adapt(self, data: Any) -> None:
        """Measure mean and variance.

        Parameters
        ----------
        data
            An array of samples, or batches: a `utils.PyDataset`, a generator, a list of arrays; of tuples, as
            they are given to ``fit``, the first.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            There is no data, its batches do not fit each other or the layer, or mean and variance were given;
            nothing has changed.
        """
        where = self._where("adapt")
        if self.told or self.invert:
            given = "mean and variance were given" if self.told else "the layer inverts"
            raise ArgumentError(f"{where}: {given}, wanted a layer without to adapt")
        moments = _Moments(self.axis, where)
        for batch in _batches(data, where):
            moments.add(batch)
        mean, variance = moments.result()
        if self.network is not None:
            shape = self.get_weights()[0].shape
            if self.axis is not None and mean.shape != shape:
                raise ShapeError(f"{where}: data of {mean.size} channels came, the layer has {shape[0]}")
            self.set_weights([np.broadcast_to(each, shape) for each in (mean, variance)])
        self._measured, self._rank = (mean, variance), moments.rank

    @property
    def weight_initializers(self) -> dict[str, Initializer]:
        """What mean and variance start from."""
        values: Sequence[Array] | None = self._given or self._measured
        if values is None:
            return {"moving_mean": Zeros(), "moving_variance": Ones()}
        if self.invert:
            mean, deviation = values[0], _deviation(values[1])
            values = (-mean / deviation, deviation**-2)
        return dict(zip(self._statistics, (_Known(each, self._where()) for each in values), strict=True))

    def nodes(self) -> list[Node]:
        """One operator, and its axis."""
        if self._given is not None and self._given[0].ndim == 0:
            mean, deviation = (float(each) for each in (self._given[0], _deviation(self._given[1])))
            if self.invert:
                return [{"op": "rescaling", "scale": deviation, "offset": mean}]
            return [{"op": "rescaling", "scale": 1 / deviation, "offset": -mean / deviation}]
        node: Node = {"op": "batch_norm", "epsilon": _EPSILON**2, "momentum": 0.0, "training": False}
        axis = -1 if self.axis is None else self.axis
        return _axes.over(axis, [{**node, "center": False, "scale": False}])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values; what `adapt` measured are weights."""
        given = [None, None] if self._given is None else [each.tolist() for each in self._given]
        return {**super().get_config(), "mean": given[0], "variance": given[1]}


class _Known(Initializer):
    """Numbers that are there: one for each channel, or one for all."""

    def __init__(self, values: Array, where: str) -> None:
        self._values, self._where = values, where

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        if self._values.ndim and self._values.shape != shape:
            raise ShapeError(
                f"{self._where}: mean: {self._values.size} numbers came, the input has {shape[0]} channels"
            )
        return np.broadcast_to(self._values, shape)


class _Moments:
    """Mean and variance of batches, in float64, as B. P. Welford (1962) adds them up."""

    def __init__(self, axis: int | None, where: str) -> None:
        self._axis, self._where = axis, where
        self.rank: int | None = None
        self._count = 0
        self._mean = self._squares = np.zeros(())

    def add(self, batch: Any) -> None:
        """More samples, a piece at a time."""
        array = np.asarray(batch)
        if array.dtype.kind not in "fiub" or array.ndim < 2:
            raise DTypeError(
                f"{self._where}: {array.dtype} of shape {array.shape} came, wanted numbers, the batch first"
            )
        if self.rank not in (None, array.ndim):
            raise ShapeError(f"{self._where}: {array.ndim} axes came after batches of {self.rank}")
        self.rank = array.ndim
        if self._axis is not None and not (-array.ndim < self._axis < array.ndim and self._axis % array.ndim):
            raise ArgumentError(f"{self._where}: axis is {self._axis}, the data has {array.ndim} axes")
        rows = max(1, _PIECE // max(1, math.prod(array.shape[1:])))
        for begin in range(0, len(array), rows):
            self._add(array[begin : begin + rows].astype(np.float64))

    def _add(self, piece: Any) -> None:
        flat = piece.reshape(-1) if self._axis is None else np.moveaxis(piece, self._axis, -1)
        if self._axis is not None:
            flat = flat.reshape(-1, flat.shape[-1])
        if self._count and flat.shape[1:] != self._mean.shape:
            raise ShapeError(f"{self._where}: {flat.shape[-1]} channels came after {self._mean.size}")
        if not len(flat):
            return
        mean = flat.mean(axis=0)
        total = self._count + len(flat)
        apart = mean - self._mean
        squares = ((flat - mean) ** 2).sum(axis=0) + apart**2 * (self._count * len(flat) / total)
        self._mean = self._mean + apart * (len(flat) / total)
        self._squares, self._count = self._squares + squares, total

    def result(self) -> tuple[Array, Array]:
        """Of all that was added."""
        if not self._count:
            raise ArgumentError(f"{self._where}: no data came, wanted at least one sample")
        mean, variance = np.asarray(self._mean), np.asarray(self._squares / self._count)
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise ArgumentError(f"{self._where}: the data has entries that are not finite")
        return mean.astype(np.float32), variance.astype(np.float32)


def _batches(data: Any, where: str) -> Iterable[Any]:
    if isinstance(data, np.ndarray):
        return [data]
    if isinstance(data, str | bytes) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise DTypeError(f"{where}: {type(data).__name__} came, wanted an array or batches")
    batches = data if hasattr(data, "__iter__") else (data[index] for index in range(len(data)))
    return (each[0] if isinstance(each, tuple) else each for each in batches)


def _deviation(variance: Array) -> Array:
    return np.maximum(np.sqrt(variance), np.float32(_EPSILON))

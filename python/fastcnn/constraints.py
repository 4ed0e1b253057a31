# SPDX-License-Identifier: Apache-2.0
"""What weights are brought back to after each update; natively, in the same step.

A layer takes them as ``kernel_constraint`` and the like. Norms are Euclidean and taken along some axes: 0 of
a dense kernel for the weights of one output, ``[0, 1, 2]`` of a convolution's.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastcnn._arguments import integer, listed, real
from fastcnn._config import Configurable, named, reading, resolve, serialize
from fastcnn.errors import ArgumentError, ShapeError

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "serialize",
]


class Constraint(Configurable, abc.ABC):
    """Base of all constraints.

    Examples
    --------
    >>> from fastcnn import constraints
    >>> constraints.NonNeg()([-1.0, 2.0])
    array([0., 2.])
    """

    @abc.abstractmethod
    def __call__(self, w: ArrayLike) -> Any:
        """The weights as they are allowed."""

    @abc.abstractmethod
    def native(self, rank: int, where: str) -> tuple[Any, ...]:
        """The description that the native module reads, for weights of this rank."""


class NonNeg(Constraint):
    """Weights below 0 become 0."""

    def __call__(self, w: ArrayLike) -> Any:
        """The weights as they are allowed."""
        weights = np.asarray(w)
        return np.where(weights < 0, 0, weights)

    def native(self, rank: int, where: str) -> tuple[Any, ...]:
        """The description that the native module reads."""
        return "non_negative", 0.0, 0.0, 0.0, 0, rank


class MinMaxNorm(Constraint):
    """Norms between two bounds: ``w (rate clip(norm, min, max) + (1 - rate) norm) / (norm + 1e-7)``.

    Parameters
    ----------
    min_value, max_value
        The bounds.
    rate
        How far to go towards them in one step, in [0, 1].
    axis
        One, or a list of neighbouring ones, along which norms are taken.

    Examples
    --------
    >>> from fastcnn import constraints
    >>> constraints.MinMaxNorm(max_value=1.0)([[3.0, 0.6], [4.0, 0.8]]).round(4)
    array([[0.6, 0.6],
           [0.8, 0.8]])
    """

    _fields: ClassVar[tuple[str, ...]] = ("min_value", "max_value", "rate", "axis")

    min_value: float
    max_value: float
    rate: float

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = real(min_value, f"{type(self).__name__}: min_value", least=0)
        self.max_value = real(max_value, f"{type(self).__name__}: max_value", least=0)
        self.rate = real(rate, f"{type(self).__name__}: rate", least=0)
        self._set_axis(axis)
        if self.rate > 1:
            raise ArgumentError(f"{type(self).__name__}: rate: {rate} came, wanted 0 to 1")
        if self.min_value > self.max_value:
            raise ArgumentError(
                f"{type(self).__name__}: min_value: {min_value} is above {max_value}, max_value"
            )

    def _set_axis(self, axis: int | Sequence[int]) -> None:
        where = f"{type(self).__name__}: axis"
        several = isinstance(axis, (list, tuple))
        axes = [integer(each, where) for each in (listed(axis, where, "axes") if several else [axis])]
        if not axes:
            raise ArgumentError(f"{where}: no axis came, wanted one or more")
        self.axis: int | list[int] = axes if several else axes[0]

    def _axes(self, rank: int, where: str) -> tuple[int, ...]:
        given = self.axis if isinstance(self.axis, list) else [self.axis]
        axes = tuple(sorted(axis + rank if axis < 0 else axis for axis in given))
        if axes != tuple(range(axes[0], axes[0] + len(axes))) or axes[0] < 0 or axes[-1] >= rank:
            raise ShapeError(
                f"{where}: axis: {self.axis} came for weights of rank {rank}, wanted neighbouring axes"
            )
        return axes

    def __call__(self, w: ArrayLike) -> Any:
        """The weights as they are allowed."""
        weights = np.asarray(w)
        axes = self._axes(weights.ndim, type(self).__name__)
        norms = np.sqrt((weights**2).sum(axis=axes, keepdims=True))
        clipped = np.clip(norms, self.min_value, self.max_value)
        return weights * (self.rate * clipped + (1 - self.rate) * norms) / (norms + 1e-7)

    def native(self, rank: int, where: str) -> tuple[Any, ...]:
        """The description that the native module reads."""
        axes = self._axes(rank, where)
        return "norm", self.min_value, self.max_value, self.rate, axes[0], axes[-1] + 1


class MaxNorm(MinMaxNorm):
    """Norms of at most ``max_value``. N. Srivastava et al., JMLR 15, 2014.

    Parameters
    ----------
    max_value
        The bound.
    axis
        One, or a list of neighbouring ones, along which norms are taken.

    Examples
    --------
    >>> from fastcnn import Sequential, constraints, layers
    >>> bounded = layers.Dense(2, kernel_constraint=constraints.MaxNorm(2), input_shape=(3,))
    >>> Sequential([bounded]).count_params()
    8
    """

    _fields = ("max_value", "axis")

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        super().__init__(0.0, max_value, 1.0, axis)


class UnitNorm(MinMaxNorm):
    """Norms of 1.

    Parameters
    ----------
    axis
        One, or a list of neighbouring ones, along which norms are taken.
    """

    _fields = ("axis",)

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        super().__init__(1.0, 1.0, 1.0, axis)


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

_CLASSES: dict[str, type[Constraint]] = named(MaxNorm, MinMaxNorm, NonNeg, UnitNorm)


def get(identifier: object, where: str = "constraints.get") -> Constraint | None:
    """A constraint from its name ("non_neg"), its description or itself; None of None.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    if identifier is None:
        return None
    return resolve(identifier, Constraint, _CLASSES, where)  # type: ignore[type-abstract]


deserialize = reading(get)

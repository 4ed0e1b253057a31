# SPDX-License-Identifier: Apache-2.0
"""Penalties of weights, added to the loss: `L1`, `L2` and both. Their gradients are computed natively.

A layer takes them as ``kernel_regularizer`` and the like. Only weights that train are penalized.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastcnn._absent import absences
from fastcnn._arguments import real
from fastcnn._config import Configurable, named, reading, resolve, serialize

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "serialize",
]


class Regularizer(Configurable, abc.ABC):
    """Base of all regularizers: ``l1 sum |w| + l2 sum w^2``.

    Examples
    --------
    >>> from fastcnn import regularizers
    >>> regularizers.L1L2(l1=0.5, l2=0.25)([[1.0, -2.0]])
    2.75
    """

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, x: ArrayLike) -> float:
        """The penalty of weights."""
        weights = np.asarray(x, np.float64)
        return float(self.l1 * np.abs(weights).sum() + self.l2 * (weights**2).sum())

    def _factor(self, value: Any, name: str) -> float:
        return 0.0 if value is None else real(value, f"{type(self).__name__}: {name}", least=0)


class L1(Regularizer):
    """``l1 sum |w|``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers, regularizers
    >>> model = Sequential([layers.Dense(1, kernel_regularizer=regularizers.L1(0.1), input_shape=(3,))])
    >>> model.set_weights([[[1.0], [-2.0], [0.0]], [0.0]])
    >>> model.compile("sgd", "mse")
    >>> round(model.evaluate([[0.0, 0.0, 0.0]], [[0.0]], verbose=0), 4)
    0.3
    """

    _fields = ("l1",)

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = self._factor(l1, "l1")


class L2(Regularizer):
    """``l2 sum w^2``."""

    _fields = ("l2",)

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = self._factor(l2, "l2")


class L1L2(Regularizer):
    """``l1 sum |w| + l2 sum w^2``."""

    _fields = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = self._factor(l1, "l1"), self._factor(l2, "l2")


l1, l2, l1_l2 = L1, L2, L1L2

_CLASSES: dict[str, type[Regularizer]] = named(L1, L2, l1_l2=L1L2, L1L2=L1L2)


def get(identifier: object, where: str = "regularizers.get") -> Regularizer | None:
    """A regularizer from its name ("l2"), its description or itself; None of None.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    if identifier is None:
        return None
    return resolve(identifier, Regularizer, _CLASSES, where)


deserialize = reading(get)

__getattr__ = absences(__name__)

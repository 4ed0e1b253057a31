# SPDX-License-Identifier: Apache-2.0
"""Layers that join several inputs.

Element by element, samples are aligned at their last axes and sizes of 1 are repeated: ``[1, 1, C]`` scales
every pixel of ``[H, W, C]``. More than two inputs are taken from left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn._arguments import integer
from fastcnn._graph.symbolic import SymbolicTensor
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Merge(Layer):
    _op: ClassVar[str]

    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": self._op}]


class Add(_Merge):
    """``x_0 + x_1 + ...``. The gradient goes to every input unchanged: no step for it.

    Raises
    ------
    ShapeError, ArgumentError
        There is one input alone, or their shapes do not broadcast; raised when they are known.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> a, b = Input((2,)), Input((2,))
    >>> model = Model([a, b], layers.Add()([a, b]))
    >>> model.predict([[[1, 2]], [[10, 20]]], verbose=0).tolist()
    [[11.0, 22.0]]
    """

    _op = "add"


class Subtract(_Merge):
    """``x_0 - x_1``, of exactly two inputs. Errors are those of `Add`.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> a, b = Input((2,)), Input((2,))
    >>> model = Model([a, b], layers.Subtract()([a, b]))
    >>> model.predict([[[1, 2]], [[10, 20]]], verbose=0).tolist()
    [[-9.0, -18.0]]
    """

    _op = "subtract"


class Multiply(_Merge):
    """``x_0 * x_1 * ...``. Errors are those of `Add`.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> image, scale = Input((4, 4, 3)), Input((1, 1, 3))
    >>> Model([image, scale], layers.Multiply()([image, scale])).output_shape
    (None, 4, 4, 3)
    """

    _op = "multiply"


class Average(_Merge):
    """Mean of the inputs. Errors are those of `Add`.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> a, b = Input((2,)), Input((2,))
    >>> model = Model([a, b], layers.Average()([a, b]))
    >>> model.predict([[[1, 2]], [[3, 4]]], verbose=0).tolist()
    [[2.0, 3.0]]
    """

    _op = "average"


class Maximum(_Merge):
    """Largest of the inputs; the gradient goes to the first of equal ones. Errors are those of `Add`.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> a, b = Input((2,)), Input((2,))
    >>> model = Model([a, b], layers.Maximum()([a, b]))
    >>> model.predict([[[1, 5]], [[3, 4]]], verbose=0).tolist()
    [[3.0, 5.0]]
    """

    _op = "maximum"


class Minimum(_Merge):
    """Smallest of the inputs; the gradient goes to the first of equal ones. Errors are those of `Add`.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> a, b = Input((2,)), Input((2,))
    >>> model = Model([a, b], layers.Minimum()([a, b]))
    >>> model.predict([[[1, 5]], [[3, 4]]], verbose=0).tolist()
    [[1.0, 4.0]]
    """

    _op = "minimum"


class Concatenate(Layer):
    """The inputs one after the other along an axis.

    Parameters
    ----------
    axis
        Counted with that of the samples, which it may not be; the last one by default.

    Raises
    ------
    ShapeError, ArgumentError
        The inputs differ on another axis, or there is no such axis; raised when they are known.

    Examples
    --------
    >>> from fastcnn import Input, Model, layers
    >>> a, b = Input((8, 8, 3)), Input((8, 8, 5))
    >>> Model([a, b], layers.Concatenate()([a, b])).output_shape
    (None, 8, 8, 8)
    """

    _fields = ("axis",)

    def __init__(self, axis: int = -1, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.axis = integer(axis, self._where("axis"))

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "concatenate", "axis": self.axis}]


Tensors = Sequence[SymbolicTensor]


def add(inputs: Tensors, **arguments: Any) -> SymbolicTensor:
    """`Add` of a list of inputs."""
    return Add(**arguments)(inputs)


def subtract(inputs: Tensors, **arguments: Any) -> SymbolicTensor:
    """`Subtract` of a list of inputs."""
    return Subtract(**arguments)(inputs)


def multiply(inputs: Tensors, **arguments: Any) -> SymbolicTensor:
    """`Multiply` of a list of inputs."""
    return Multiply(**arguments)(inputs)


def average(inputs: Tensors, **arguments: Any) -> SymbolicTensor:
    """`Average` of a list of inputs."""
    return Average(**arguments)(inputs)


def maximum(inputs: Tensors, **arguments: Any) -> SymbolicTensor:
    """`Maximum` of a list of inputs."""
    return Maximum(**arguments)(inputs)


def minimum(inputs: Tensors, **arguments: Any) -> SymbolicTensor:
    """`Minimum` of a list of inputs."""
    return Minimum(**arguments)(inputs)


def concatenate(inputs: Tensors, axis: int = -1, **arguments: Any) -> SymbolicTensor:
    """`Concatenate` of a list of inputs."""
    return Concatenate(axis, **arguments)(inputs)

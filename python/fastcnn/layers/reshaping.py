# SPDX-License-Identifier: Apache-2.0
"""Layers that change the shape of their input, or the order of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastcnn._arguments import integer, listed
from fastcnn.errors import ArgumentError
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Identity(Layer):
    """The input itself.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Identity(input_shape=(2,))]).predict([[1, 2]], verbose=0).tolist()
    [[1.0, 2.0]]
    """

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "identity"}]


class Reshape(Layer):
    """Each sample in another shape; nothing is moved.

    Parameters
    ----------
    target_shape
        Sizes without the samples; one of them may be -1: what is left.

    Raises
    ------
    ShapeError
        The sizes do not multiply to those of the input; raised when its shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Reshape((-1, 7), input_shape=(28, 28, 1))]).output_shape
    (None, 112, 7)
    """

    _fields = ("target_shape",)

    def __init__(
        self,
        target_shape: Sequence[int],
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        where = self._where("target_shape")
        self.target_shape = tuple(integer(size, where) for size in listed(target_shape, where, "integers"))
        if any(size < 1 and size != -1 for size in self.target_shape) or self.target_shape.count(-1) > 1:
            raise ArgumentError(
                f"{where}: {self.target_shape} came, wanted sizes of 1 or more and at most one -1"
            )

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "reshape", "target_shape": self.target_shape}]


class Permute(Layer):
    """Change the order of the axes: axis i of the output is axis ``dims[i - 1]`` of the input, from 1.

    Parameters
    ----------
    dims
        Each axis of a sample once.

    Raises
    ------
    ArgumentError, ShapeError
        They are not; raised when the input's shape is known if they fit none.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Permute((3, 1, 2), input_shape=(28, 20, 3))]).output_shape
    (None, 3, 28, 20)
    """

    _fields = ("dims",)

    def __init__(self, dims: Sequence[int], **common: Unpack[Common]) -> None:
        super().__init__(**common)
        where = self._where("dims")
        self.dims = tuple(integer(axis, where) for axis in listed(dims, where, "integers"))
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(f"{where}: {self.dims} came, wanted each of the axes from 1 on once")

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "permute", "dims": self.dims}]


class RepeatVector(Layer):
    """``[N, F]`` to ``[N, n, F]``: the input n times.

    Parameters
    ----------
    n
        How often.

    Raises
    ------
    ArgumentError, ShapeError
        n is not positive, or the input has more than one axis.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.RepeatVector(3, input_shape=(5,))]).output_shape
    (None, 3, 5)
    """

    _fields = ("n",)

    def __init__(self, n: int, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.n = integer(n, self._where("n"), least=1)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "repeat_vector", "n": self.n}]

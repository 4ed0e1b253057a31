# SPDX-License-Identifier: Apache-2.0
"""Outputs of layers before there are any numbers: what a graph is written with.

A tensor knows the layer that makes it and the tensors which that layer reads, so a graph is whatever can be
reached from its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastcnn import _native
from fastcnn.errors import DTypeError

if TYPE_CHECKING:
    from fastcnn._network import Call
    from fastcnn.layers import Layer


class SymbolicTensor:
    """The output of one call of a layer.

    Attributes
    ----------
    layer
        That makes it.
    inputs
        The tensors that the layer reads.
    shape
        ``(None, ...)``, where None is the batch.
    """

    def __init__(self, layer: Layer, inputs: tuple[SymbolicTensor, ...]) -> None:
        from fastcnn._network import describe

        self.layer = layer
        self.inputs = inputs
        description = describe(calls_of(ordered([self])))
        shapes = _native.infer_shapes(description.nodes)
        self.shape: tuple[int | None, ...] = (None, *shapes[description.ends[-1]])

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    @property
    def dtype(self) -> str:
        """Always "float32"."""
        return "float32"

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, name={self.name}>"


def symbolic_inputs(value: object, where: str) -> tuple[SymbolicTensor, ...]:
    """One or several tensors as a tuple."""
    given = value if isinstance(value, (list, tuple)) else [value]
    for each in given:
        if not isinstance(each, SymbolicTensor):
            raise DTypeError(
                f"{where}: {type(each).__name__} came, wanted what fastcnn.Input or another layer returned"
            )
    return tuple(given)


def ordered(outputs: Sequence[SymbolicTensor], inputs: Sequence[SymbolicTensor] = ()) -> list[SymbolicTensor]:
    """What leads to the outputs, each tensor after those it is made from.

    First the inputs given, then any others, then the rest in the order of a search from the first output on.
    """
    found = reachable(outputs)
    others = [tensor for tensor in found if not tensor.inputs and tensor not in inputs]
    return [*inputs, *others, *(tensor for tensor in found if tensor.inputs)]


def calls_of(tensors: Sequence[SymbolicTensor]) -> list[Call]:
    """The calls that make the tensors, each of which is made from some before it."""
    from fastcnn._network import Call

    position = {tensor: index for index, tensor in enumerate(tensors)}
    return [Call(tensor.layer, tuple(position[each] for each in tensor.inputs)) for tensor in tensors]


def reachable(outputs: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """All tensors that the outputs depend on, and these, each after those it is made from."""
    order: dict[SymbolicTensor, None] = {}
    stack = [(tensor, False) for tensor in reversed(outputs)]
    while stack:  # not by recursion: a graph may be deeper than the interpreter's stack
        tensor, ready = stack.pop()
        if tensor in order:
            continue
        if ready:
            order[tensor] = None
        else:
            stack.append((tensor, True))
            stack.extend((each, False) for each in reversed(tensor.inputs))
    return list(order)

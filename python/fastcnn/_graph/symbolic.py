# SPDX-License-Identifier: Apache-2.0
"""Outputs of layers before there are any numbers: what a graph is written with.

A tensor knows the layer, or the model, that makes it and the tensors which that one reads, so a graph is
whatever can be reached from its outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _native
from fastcnn._graph.walk import Call, Part, Walk, outputs_of
from fastcnn.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    from fastcnn.layers import Layer
    from fastcnn.models.base import BaseModel


class SymbolicTensor:
    """An output of one call of a layer or a model.

    Attributes
    ----------
    layer
        That makes it.
    inputs
        The tensors that the layer reads.
    shape
        ``(None, ...)``, where None is the batch.
    index
        Which of the call's outputs.
    call
        The same object for all outputs of a call.
    training
        False: the call is that of prediction, whatever the model does.

    ``+``, ``-``, ``*`` and ``/`` with another tensor or a number make a layer each, and so does ``** 2``.
    """

    def __init__(
        self,
        layer: Layer | BaseModel,
        inputs: tuple[SymbolicTensor, ...],
        index: int = 0,
        call: object = None,
        shape: tuple[int, ...] | None = None,
        training: bool | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.index = index
        self.call = object() if call is None else call
        self.training = training
        if shape is None:
            calls, position = numbered(ordered([self]))
            walk = Walk(calls)
            walk.keep([position[self]])
            shape = _native.infer_shapes(walk.nodes)[walk.ends[position[self]]]
        self._sample = tuple(shape)
        self.shape: tuple[int | None, ...] = (None, *shape)
        layer.made(self)

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    @property
    def dtype(self) -> str:
        """Always "float32"."""
        return "float32"

    @property
    def ndim(self) -> int:
        """How many axes it has, the batch included."""
        return len(self.shape)

    def __add__(self, other: object) -> SymbolicTensor:
        if isinstance(other, SymbolicTensor):
            return _joined("Add", self, other)
        return _scaled(self, 1.0, _number(other, "+"))

    __radd__ = __add__

    def __sub__(self, other: object) -> SymbolicTensor:
        if isinstance(other, SymbolicTensor):
            return _joined("Subtract", self, other)
        return _scaled(self, 1.0, -_number(other, "-"))

    def __rsub__(self, other: object) -> SymbolicTensor:
        return _scaled(self, -1.0, _number(other, "-"))

    def __mul__(self, other: object) -> SymbolicTensor:
        if isinstance(other, SymbolicTensor):
            return _joined("Multiply", self, other)
        return _scaled(self, _number(other, "*"), 0.0)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> SymbolicTensor:
        if isinstance(other, SymbolicTensor):
            return self.__rtruediv__(other)
        number = _number(other, "/")
        if number == 0:
            raise ArgumentError(f"{self.name!r} / 0: wanted a number other than 0")
        return _scaled(self, 1.0 / number, 0.0)

    def __rtruediv__(self, other: object) -> SymbolicTensor:
        raise DTypeError(f"{self!r} came behind /, wanted a number: no layer divides by what a layer gives")

    def __pow__(self, other: object) -> SymbolicTensor:
        if other != 2:
            raise ArgumentError(f"{self.name!r} ** {other!r}: wanted 2, the only power")
        return _joined("Multiply", self, self)

    def __neg__(self) -> SymbolicTensor:
        return _scaled(self, -1.0, 0.0)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: object) -> Any:
        """What NumPy's numbers do with a tensor: + - * / are the tensor's own, the rest is refused."""
        names = _OPERATORS.get(ufunc.__name__)
        if names is None or method != "__call__" or named:
            raise DTypeError(self._no_numbers(f"numpy.{ufunc.__name__}"))
        own = isinstance(inputs[0], SymbolicTensor)
        return getattr(self, names[0 if own else 1])(*(inputs[1:] if own else inputs[:1]))

    def __array_function__(self, function: Any, types: object, given: object, named: object) -> Any:
        if function.__name__ in ("ndim", "shape"):
            return getattr(self, function.__name__)
        raise DTypeError(self._no_numbers(f"numpy.{function.__name__}"))

    def __array__(self, *arguments: object, **named: object) -> Any:
        raise DTypeError(self._no_numbers("NumPy"))

    def __getitem__(self, key: object) -> Any:
        raise DTypeError(
            f"{self!r} has no numbers yet, so no part of it can be taken; layers.Cropping2D does so to images"
        )

    def _no_numbers(self, wanting: str) -> str:
        from fastcnn.ops.symbolic import LAYERS

        name = wanting.rpartition(".")[2]
        instead = f"fastcnn.ops.{name}" if name in LAYERS else "layers, fastcnn.activations or + - * /"
        return f"{self!r} has no numbers yet, which {wanting} wants; use {instead}"

    def __bool__(self) -> bool:
        raise DTypeError(f"{self!r} has no numbers yet, so nothing can depend on them; layers can")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape without the batch."""
        return self._sample

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, name={self.name}>"


_OPERATORS = {
    "add": ("__add__", "__radd__"),
    "subtract": ("__sub__", "__rsub__"),
    "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"),
}
"""By NumPy's names: where the tensor comes first, and where it comes second."""


class Phase:
    """What ``call`` gets as ``training``: layers that it is passed to do what the model does.

    Where ``call`` asks for its truth it runs twice, and both runs must come to the same.
    """

    def __init__(self, value: bool) -> None:
        self.value, self.asked = value, False

    def __bool__(self) -> bool:
        self.asked = True
        return self.value


def phase_of(training: object, where: str) -> bool | None:
    """False where a call asks for prediction; None where it leaves that to the model."""
    if training is None or isinstance(training, Phase):
        return None
    if training is False:
        return False
    raise ArgumentError(f"{where}: training: {training!r} came for a layer of a model, where fit says so")


def operation(layer: Layer, inputs: Any) -> Any:
    """What a layer makes, which stands for an operator or a function."""
    layer.is_operation = True
    return layer(inputs)


def _joined(kind: str, a: SymbolicTensor, b: SymbolicTensor) -> SymbolicTensor:
    from fastcnn import layers

    made: SymbolicTensor = operation(getattr(layers, kind)(), [a, b])
    return made


def _scaled(x: SymbolicTensor, scale: float, offset: float) -> SymbolicTensor:
    from fastcnn import layers

    made: SymbolicTensor = operation(layers.Rescaling(scale, offset), x)
    return made


def _number(value: object, sign: str) -> float:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        also = "" if sign == "/" else ", or what a layer gave"
        hint = "; layers.Normalization has one for each channel" if isinstance(value, np.ndarray) else ""
        raise DTypeError(
            f"{type(value).__name__} came with {sign} of a symbolic tensor, wanted a number{also}{hint}"
        )
    return float(value)


def symbolic_inputs(value: object, where: str) -> tuple[SymbolicTensor, ...]:
    """One or several tensors as a tuple."""
    given: list[Any] = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        given += each if isinstance(each, list) else [each]  # scripts write Model([model.inputs], ...)
    for each in given:
        if not isinstance(each, SymbolicTensor):
            hint = ", or a list of them: data may be dicts by their names" if isinstance(each, dict) else ""
            raise DTypeError(
                f"{where}: {type(each).__name__} came, wanted what fastcnn.Input or another layer "
                f"returned{hint}"
            )
    return tuple(given)


def ordered(outputs: Sequence[SymbolicTensor], inputs: Sequence[SymbolicTensor] = ()) -> list[SymbolicTensor]:
    """What leads to the outputs, each tensor after those it is made from.

    First the inputs given, then any others, then the rest in the order of a search from the first output on.
    """
    found = reachable(outputs)
    others = [tensor for tensor in found if not tensor.inputs and tensor not in inputs]
    return [*inputs, *others, *(tensor for tensor in found if tensor.inputs)]


def numbered(tensors: Iterable[SymbolicTensor]) -> tuple[list[Call], dict[SymbolicTensor, int]]:
    """The calls that make the tensors, each made from some before it, and the tensors' numbers."""
    calls: list[Call] = []
    firsts: dict[object, int] = {}
    position: dict[SymbolicTensor, int] = {}
    count = 0
    for tensor in tensors:
        if tensor.call not in firsts:
            firsts[tensor.call] = count
            reads = tuple(position[each] for each in tensor.inputs)
            calls.append(Call(tensor.layer, reads, tensor.training))
            count += outputs_of(tensor.layer)
        position[tensor] = firsts[tensor.call] + tensor.index
    return calls, position


def reachable(
    outputs: Sequence[SymbolicTensor],
    entered: dict[Part, int] | None = None,
    stops: Sequence[SymbolicTensor] = (),
) -> list[SymbolicTensor]:
    """All tensors that the outputs depend on, and these, each after those it is made from.

    ``entered`` is told of the layers, numbered as the search first meets them; nothing is searched behind
    ``stops``.
    """
    ends = set(stops)
    order: dict[SymbolicTensor, None] = {}
    stack = [(tensor, False) for tensor in reversed(outputs)]
    while stack:  # not by recursion: a graph may be deeper than the interpreter's stack
        tensor, ready = stack.pop()
        if tensor in order:
            continue
        if ready:
            order[tensor] = None
        else:
            if entered is not None:
                entered.setdefault(tensor.layer, len(entered))
            stack.append((tensor, True))
            if tensor not in ends:
                stack.extend((each, False) for each in reversed(tensor.inputs))
    return list(order)


def by_depth(outputs: Sequence[SymbolicTensor]) -> list[Part]:
    """The layers that lead to the outputs, in Keras's order, that of weights.

    Those farthest from an output come first; of those equally far the one that a search from the first output
    on, along the inputs in their order, enters first.
    """
    entered: dict[Part, int] = {}
    calls: dict[object, SymbolicTensor] = {}
    for tensor in reachable(outputs, entered):
        calls.setdefault(tensor.call, tensor)
    depths: dict[object, int] = {}
    of_layers: dict[Part, int] = {}
    for call, tensor in reversed(calls.items()):  # what reads a tensor comes before what makes it
        depth = max(depths.get(call, 0), of_layers.get(tensor.layer, 0))
        depths[call] = of_layers[tensor.layer] = depth
        for each in tensor.inputs:
            depths[each.call] = max(depths.get(each.call, 0), depth + 1)
    return sorted(of_layers, key=lambda layer: (-of_layers[layer], entered[layer]))

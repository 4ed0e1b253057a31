# SPDX-License-Identifier: Apache-2.0
"""A network as a graph: whatever leads from some inputs to some outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from fastcnn._arguments import integer, listed
from fastcnn._graph.network import Network, Shape
from fastcnn._graph.symbolic import SymbolicTensor, by_depth, numbered, ordered, reachable, symbolic_inputs
from fastcnn._graph.walk import Call, outputs_of
from fastcnn.errors import ArgumentError
from fastcnn.layers import InputLayer, Layer
from fastcnn.models.base import BaseModel, from_description

T = TypeVar("T")
Tensors = SymbolicTensor | Sequence[SymbolicTensor]


class Model(BaseModel):
    """Layers joined by calling them: branches, residuals, shared layers, several inputs and outputs.

    Parameters
    ----------
    inputs
        What `fastcnn.Input` gave; a list for several.
    outputs
        What layers gave; a list for several.
    name
        The model's name; None means "functional", "functional_1", ...

    Raises
    ------
    ArgumentError
        The outputs depend on an input that is not given, or not on one that is; two layers have the same
        name; a layer stands in another model already.

    Examples
    --------
    >>> import fastcnn
    >>> from fastcnn import layers
    >>> x = fastcnn.Input((8, 8, 3))
    >>> y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    >>> model = fastcnn.Model(x, layers.Dense(2)(layers.Flatten()(y)))
    >>> model.output_shape
    (None, 2)
    """

    def __init__(self, inputs: Tensors, outputs: Tensors, name: str | None = None) -> None:
        super().__init__(name)
        self._inputs = list(symbolic_inputs(inputs, f"{self._where}: inputs"))
        self._outputs = list(symbolic_inputs(outputs, f"{self._where}: outputs"))
        self._check_ends()
        self._tensors = ordered(self._outputs, self._inputs)
        self._calls, self._position = numbered(self._tensors)
        self._layers = by_depth(self._outputs)
        self._check_names()
        for layer in self._layers:
            layer.attach(self)
        self._shape = self._inputs[0].shape[1:]  # type: ignore[assignment]  # only the batch is None
        self._bind()  # so that a graph that does not fit is told of here

    def _check_ends(self) -> None:
        if not self._outputs:
            raise ArgumentError(f"{self._where}: outputs: none came, wanted at least one")
        found = reachable(self._outputs)
        for tensor in self._inputs:
            where = f"{self._where}: inputs: {tensor.name!r}"
            if not isinstance(tensor.layer, InputLayer):
                raise ArgumentError(f"{where} is no Input; begin with Input(shape)")
            if tensor not in found:
                raise ArgumentError(f"{where}: no output depends on it")
        for tensor in found:
            if not tensor.inputs and tensor not in self._inputs:
                raise ArgumentError(
                    f"{self._where}: inputs: {tensor.name!r} is missing: the outputs depend on it"
                )
        for kind, tensors in (("inputs", self._inputs), ("outputs", self._outputs)):
            if len(set(tensors)) != len(tensors):
                raise ArgumentError(f"{self._where}: {kind}: a tensor came twice")

    def _check_names(self) -> None:
        names: dict[str, Layer | BaseModel] = {}
        for layer in self._layers:
            if names.setdefault(layer.name, layer) is not layer:
                raise ArgumentError(
                    f"{self._where}: the name {layer.name!r} is taken; names must be unique within a model"
                )

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs."""
        return list(self._inputs)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""
        return list(self._outputs)

    @property
    def layers(self) -> list[Layer | BaseModel]:
        """The layers, inputs included, and models that were called, in Keras's order.

        Those with the longest way to an output come first.
        """
        return list(self._layers)

    @property
    def tensors(self) -> list[SymbolicTensor]:
        """All symbolic tensors, each after those it is made from, the inputs first."""
        return list(self._tensors)

    def inner_calls(self) -> tuple[list[Call], list[int]]:
        """The calls of layers that a call of this model stands for, and which tensors are its outputs."""
        return self._calls[len(self._inputs) :], self._output_positions()

    def trace(self) -> None:
        """Nothing to do: the tensors are there."""

    def _input_shapes(self) -> list[Shape | None]:
        return [tensor.shape[1:] for tensor in self._inputs]  # type: ignore[misc]  # only the batch is None

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return [tensor.name for tensor in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the outputs; a second output of a layer has a number besides."""
        names: list[str] = []
        for tensor in self._outputs:
            before = sum(name == tensor.name or name.startswith(f"{tensor.name}_") for name in names)
            names.append(tensor.name if tensor.name not in names else f"{tensor.name}_{before}")
        return names

    def _join(self, shape: Shape) -> Network:
        return Network(self._calls, self._output_positions(), self._layers)

    def _output_positions(self) -> list[int]:
        return [self._position[tensor] for tensor in self._outputs]

    @contextlib.contextmanager
    def _binding(self) -> Iterator[None]:
        yield  # the shape has been known from the start

    def _parts(self, described: Callable[[Any], Any]) -> dict[str, Any]:
        """Layers, then calls as ``[layer, [calls that it reads]]``."""
        layers = {layer: index for index, layer in enumerate(self._layers)}
        return {
            "name": self.name,
            "layers": [described(layer) for layer in self._layers],
            "calls": [[layers[call.layer], list(call.inputs)] for call in self._calls],
            "outputs": self._output_positions(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """Make the model that `get_config` described, with new weights.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The description is not of this package.
        """
        keys = {"name", "layers", "calls", "outputs"}
        if not isinstance(config, Mapping) or set(config) != keys:
            raise ArgumentError(f"Model.from_config: wanted a dict of {', '.join(sorted(keys))}")
        where = f"Model {config['name']!r}"
        layers = [
            from_description(layer, f"{where}: layers")
            for layer in listed(config["layers"], f"{where}: layers", "layers")
        ]
        tensors: list[SymbolicTensor] = []
        for call in listed(config["calls"], f"{where}: calls", "calls"):
            if not isinstance(call, (list, tuple)) or len(call) != 2:
                raise ArgumentError(f"{where}: calls: {call!r} came, wanted a layer and a list of calls")
            layer, read = call
            called, inputs_read = _entries(layers, [layer], where)[0], _entries(tensors, read, where)
            token = object()
            for index in range(outputs_of(called)):
                tensors.append(SymbolicTensor(called, inputs_read, index, token))
        inputs = [tensor for tensor in tensors if not tensor.inputs]
        return cls(inputs, _entries(tensors, config["outputs"], where), config["name"])


def _entries(items: Sequence[T], indices: object, where: str) -> tuple[T, ...]:
    found = []
    for index in listed(indices, f"{where}: calls", "numbers"):
        position = integer(index, f"{where}: calls", least=0)
        if position >= len(items):
            raise ArgumentError(f"{where}: calls: {position} came, wanted the number of an earlier entry")
        found.append(items[position])
    return tuple(found)

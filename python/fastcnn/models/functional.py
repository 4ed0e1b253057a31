# SPDX-License-Identifier: Apache-2.0
"""A network as a graph: whatever leads from some inputs to some outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from fastcnn._arguments import integer, listed
from fastcnn._config import deserialize, serialize
from fastcnn._network import Network, Shape
from fastcnn._symbolic import SymbolicTensor, calls_of, ordered, reachable, symbolic_inputs
from fastcnn.errors import ArgumentError
from fastcnn.layers import CLASSES, InputLayer, Layer
from fastcnn.models.base import BaseModel

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
        The model's name; None means "model", "model_1", ...

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
        self.inputs = list(symbolic_inputs(inputs, f"{self._where}: inputs"))
        self.outputs = list(symbolic_inputs(outputs, f"{self._where}: outputs"))
        self._check_ends()
        self._tensors = ordered(self.outputs, self.inputs)
        self._calls = calls_of(self._tensors)
        self._layers = list(dict.fromkeys(call.layer for call in self._calls))
        self._check_names()
        for layer in self._layers:
            layer.attach(self)
        self._shape = self.inputs[0].shape[1:]  # type: ignore[assignment]  # only the batch is None
        self._bind()  # so that a graph that does not fit is told of here

    def _check_ends(self) -> None:
        if not self.outputs:
            raise ArgumentError(f"{self._where}: outputs: none came, wanted at least one")
        found = reachable(self.outputs)
        for tensor in self.inputs:
            where = f"{self._where}: inputs: {tensor.name!r}"
            if not isinstance(tensor.layer, InputLayer):
                raise ArgumentError(f"{where} is no Input; begin with Input(shape)")
            if tensor not in found:
                raise ArgumentError(f"{where}: no output depends on it")
        for tensor in found:
            if not tensor.inputs and tensor not in self.inputs:
                raise ArgumentError(
                    f"{self._where}: inputs: {tensor.name!r} is missing: the outputs depend on it"
                )
        for kind, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            if len(set(tensors)) != len(tensors):
                raise ArgumentError(f"{self._where}: {kind}: a tensor came twice")

    def _check_names(self) -> None:
        names: dict[str, Layer] = {}
        for layer in self._layers:
            if names.setdefault(layer.name, layer) is not layer:
                raise ArgumentError(
                    f"{self._where}: the name {layer.name!r} is taken; names must be unique within a model"
                )

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of their first call, inputs included."""
        return list(self._layers)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the outputs; a second output of a layer has a number besides."""
        names: list[str] = []
        for tensor in self.outputs:
            before = sum(name == tensor.name or name.startswith(f"{tensor.name}_") for name in names)
            names.append(tensor.name if tensor.name not in names else f"{tensor.name}_{before}")
        return names

    def _join(self, shape: Shape) -> Network:
        return Network(self._calls, self._output_positions())

    def _output_positions(self) -> list[int]:
        return [self._tensors.index(tensor) for tensor in self.outputs]

    @contextlib.contextmanager
    def _binding(self) -> Iterator[None]:
        yield  # the shape has been known from the start

    def get_config(self) -> dict[str, Any]:
        """The architecture as plain values: layers, then calls as ``[layer, [calls that it reads]]``."""
        layers = {layer: index for index, layer in enumerate(self._layers)}
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in self._layers],
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
            deserialize(layer, CLASSES, f"{where}: layers")
            for layer in listed(config["layers"], f"{where}: layers", "layers")
        ]
        tensors: list[SymbolicTensor] = []
        for call in listed(config["calls"], f"{where}: calls", "calls"):
            if not isinstance(call, (list, tuple)) or len(call) != 2:
                raise ArgumentError(f"{where}: calls: {call!r} came, wanted a layer and a list of calls")
            layer, read = call
            tensors.append(
                SymbolicTensor(_entries(layers, [layer], where)[0], _entries(tensors, read, where))
            )
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

# SPDX-License-Identifier: Apache-2.0
"""A native model together with the layers that its nodes and parameters come from. Models hold one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, listed
from fastcnn._summary import Row
from fastcnn.errors import ArgumentError
from fastcnn.layers import InputLayer, Layer

Shape: TypeAlias = tuple[int, ...]
Carried: TypeAlias = Mapping[Layer, Sequence[Array]]


class Parameter(NamedTuple):
    """One parameter of the native model."""

    layer: Layer
    role: str  # "kernel", "bias"
    shape: Shape


class Network:
    """Layers joined into a chain of native nodes.

    Parameters
    ----------
    layers
        Without the input.
    shape
        Of one sample.

    Raises
    ------
    ShapeError, ArgumentError
        A layer does not fit its input.
    """

    def __init__(self, layers: Sequence[Layer], shape: Shape) -> None:
        nodes = [{"op": "input", "name": "input", "inputs": [], "shape": shape}]
        owners: list[Layer] = [InputLayer(shape, name="input")]
        self._spans: dict[Layer, range] = {}  # a layer's nodes; none for a linear activation
        for layer in layers:
            begin = len(nodes)
            for node in layer.nodes():
                nodes.append({**node, "name": layer.name, "inputs": [len(nodes) - 1]})
                owners.append(layer)
            self._spans[layer] = range(begin, len(nodes))
        self._operators = [node["op"] for node in nodes]
        self.native = _native.Model(nodes)
        self.parameters = [
            Parameter(owners[each["node"]], each["role"], tuple(each["shape"]))
            for each in self.native.parameters
        ]
        self.input_shape: Shape = shape
        self.output_shape: Shape = tuple(self.native.output_shapes[-1])

    def initialize(self, seed: int, carried: Carried) -> None:
        """Draw the weights anew, but keep those of ``carried`` where they fit."""
        kept = {layer: iter(weights) for layer, weights in carried.items()}
        values = []
        for index, (layer, role, shape) in enumerate(self.parameters):
            value = next(kept.get(layer, iter(())), None)
            if value is None or value.shape != shape:
                value = layer.weight_initializers[role](shape, rng=_random.weights(seed, index))
            values.append(value)
        self.native.set_parameters(values)
        self.native.seed = seed

    def of(self, layer: Layer) -> list[int]:
        """Indices of a layer's parameters."""
        return [index for index, parameter in enumerate(self.parameters) if parameter.layer is layer]

    def get_weights(self, layer: Layer | None = None) -> list[Array]:
        """Copies of the weights, of one layer or of all."""
        weights = self.native.get_parameters()
        return weights if layer is None else [weights[index] for index in self.of(layer)]

    def set_weights(self, weights: Iterable[Any], layer: Layer) -> None:
        """Replace the weights of one layer."""
        where = f"{type(layer).__name__} {layer.name!r}: set_weights"
        given = listed(weights, where, "arrays")
        indices = self.of(layer)
        if len(given) != len(indices):
            raise ArgumentError(f"{where}: {len(given)} arrays came, wanted {len(indices)}")
        everything = self.native.get_parameters()
        for index, value in zip(indices, given, strict=True):
            everything[index] = np.asarray(value)
        self.native.set_parameters(everything)

    def rows(self) -> list[Row]:
        """One row of the summary for each layer."""
        shapes, flops = self.native.output_shapes, self.native.flops
        rows = []
        for layer, span in self._spans.items():
            before, after = tuple(shapes[span.start - 1]), tuple(shapes[span.stop - 1])
            moves = any(self._operators[node] != "flatten" for node in span)
            rows.append(
                Row(
                    name=layer.name,
                    kind=type(layer).__name__,
                    output_shape=after,
                    parameters=sum(math.prod(self.parameters[index].shape) for index in self.of(layer)),
                    flops=sum(flops[node] for node in span),
                    bytes=4 * (math.prod(before) + math.prod(after)) if moves else 0,
                )
            )
        return rows

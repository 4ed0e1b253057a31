# SPDX-License-Identifier: Apache-2.0
"""A native model together with the layers that its nodes and parameters come from. Models hold one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, listed
from fastcnn._graph.summary import Row
from fastcnn._graph.walk import Call, Span, Walk
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.layers import InputLayer, Layer

if TYPE_CHECKING:
    from fastcnn.models.base import BaseModel

Shape: TypeAlias = tuple[int, ...]
Carried: TypeAlias = Mapping[Layer, Sequence[Array]]


class Parameter(NamedTuple):
    """One parameter of the native model."""

    layer: Layer
    role: str  # "kernel", "bias"
    shape: Shape
    trainable: bool  # False: moving statistics
    name: str  # in the native model
    number: int  # there


class Network:
    """Calls of layers joined into one native model.

    Parameters
    ----------
    calls
        Those of input layers first, each of the others after those whose outputs it reads.
    outputs
        Positions of the calls whose outputs are the model's.
    layers
        In the order of `parameters`; None: that of the calls, in which the native model has them.

    Raises
    ------
    ShapeError, ArgumentError
        A layer does not fit its input.
    """

    def __init__(
        self, calls: Sequence[Call], outputs: Sequence[int], layers: Iterable[Layer | BaseModel] = ()
    ) -> None:
        walk, ends = _walked(calls, outputs)
        self._nodes, self._spans = walk.nodes, walk.spans
        self.native = _native.Model(walk.nodes, ends)
        every = [
            Parameter(
                walk.owners[each["node"]],
                each["role"],
                tuple(each["shape"]),
                each["trainable"],
                each["name"],
                i,
            )
            for i, each in enumerate(self.native.parameters)
        ]
        self._constants = [each for each in every if each.layer.told]
        found = [each for each in every if not each.layer.told]
        self._parts = {part: rank for rank, part in enumerate(layers)}
        ranks: dict[Layer, int] = {}
        for layer in (inner for part in self._parts for inner in layers_within(part)):
            ranks.setdefault(layer, len(ranks))
        self.parameters = sorted(found, key=lambda each: ranks.get(each.layer, 0))
        shapes = [tuple(each) for each in self.native.output_shapes]
        self.input_shapes = [shapes[index] for index, node in enumerate(walk.nodes) if node["op"] == "input"]
        self.output_shapes = [shapes[each] for each in ends]
        self.tensor_shapes = [shapes[min(end, len(shapes) - 1)] for end in walk.ends]
        self._layers = list(dict.fromkeys(each.layer for each in self.parameters))
        self._seen: dict[Layer, int] = {}  # which version of its weights stands here
        self.shares = False  # a layer stands in other networks, too
        self._tell_models(self._spans)
        _warn_of_ones(walk.nodes, shapes)

    def _tell_models(self, spans: Iterable[Span]) -> None:
        """Models within this one learn what shapes they have."""
        shapes = self.native.output_shapes
        for span in spans:
            if not span.inner:
                continue
            first = next((each for each in span.inner if each.nodes), None)
            reads = self._nodes[first.nodes.start]["inputs"] if first is not None else []
            if len(reads) == 1:
                cast("BaseModel", span.layer).adopt_shape(tuple(shapes[reads[0]]))
            self._tell_models(span.inner)

    def rules(self) -> list[tuple[int, dict[str, Any]]]:
        """What holds for single parameters in training, by their numbers."""
        found = [(each.number, each.layer.rule(each.role, len(each.shape))) for each in self.parameters]
        return [(number, rule) for number, rule in found if rule]

    def frozen(self) -> list[int]:
        """Numbers of the parameters whose layer does not train."""
        return [each.number for each in self.parameters if not each.layer.trainable]

    def trained(self) -> list[int]:
        """Indices of the parameters that training changes."""
        return [i for i, each in enumerate(self.parameters) if each.trainable and each.layer.trainable]

    def initialize(self, seed: int, carried: Carried) -> None:
        """Draw the weights anew, but keep those of ``carried``, and those of layers in other networks."""
        kept = {layer: iter(weights) for layer, weights in carried.items()}
        known = {layer: iter(self._elsewhere(layer)) for layer in self._layers if layer not in kept}
        values = []
        for layer, role, shape, _, _, number in self.parameters:
            value = next(kept.get(layer, known.get(layer, iter(()))), None)
            if value is None or value.shape != shape:
                value = layer.weight_initializers[role](shape, rng=_random.weights(seed, number))
            values.append(value)
        self.set_all(values)
        if self._constants:
            told = [each.layer.weight_initializers[each.role](each.shape) for each in self._constants]
            self.native.set_parameters(told, [each.number for each in self._constants])
        self.native.seed = seed
        for layer in self._layers:
            self._seen[layer] = layer.join(self)

    def _elsewhere(self, layer: Layer) -> list[Array]:
        """A layer's weights in another network."""
        network = layer.network
        if network is None:
            return []
        shapes = [each.shape for each in self.parameters if each.layer is layer]
        weights = network.get_weights(layer)
        if [each.shape for each in weights] != shapes:
            raise ShapeError(
                f"{type(layer).__name__} {layer.name!r}: it has weights of shapes "
                f"{[each.shape for each in weights]} in another model, and would have {shapes} here"
            )
        return weights

    def room_for_predictions(self, samples: int) -> tuple[Array, ...]:
        """One array for each output, with nothing in it yet."""
        return tuple([np.empty((samples, *shape), np.float32) for shape in self.output_shapes])

    # Weights that several networks share: each has its own copy; the one changed last has the right ones.

    def pull(self) -> None:
        """Take over what other networks have changed."""
        if not self.shares:
            return
        stale = {layer for layer in self._layers if layer.version != self._seen[layer]}
        sources = {layer: layer.network for layer in stale}
        for layer, network in sources.items():
            if network is not None and network is not self:
                self._replace(layer, network.get_weights(layer))
        for layer in stale:
            self._seen[layer] = layer.version

    def changed(self) -> None:
        """Tell other networks that the weights here are the right ones."""
        if self.shares:
            for layer in self._layers:
                self._seen[layer] = layer.changed_in(self)

    def of(self, layer: Layer | BaseModel) -> list[int]:
        """Indices of the parameters of a layer, or of all layers of a model."""
        inside = set(layers_within(layer))
        return [index for index, parameter in enumerate(self.parameters) if parameter.layer in inside]

    def get_weights(self, layer: Layer | BaseModel | None = None) -> list[Array]:
        """Copies of the weights, of one layer or of all."""
        numbers = [each.number for each in self.parameters] if layer is None else self._numbers(layer)
        return self.native.get_parameters(numbers)

    def _numbers(self, layer: Layer | BaseModel) -> list[int]:
        return [self.parameters[index].number for index in self.of(layer)]

    def _replace(self, layer: Layer | BaseModel, weights: Sequence[Any]) -> None:
        self.native.set_parameters(list(weights), self._numbers(layer))

    def set_all(self, weights: Sequence[Any]) -> None:
        """Replace all weights, in the order of `parameters`."""
        self.native.set_parameters(list(weights), [each.number for each in self.parameters])

    def set_weights(self, weights: Iterable[Any], layer: Layer | BaseModel) -> None:
        """Replace the weights of one layer."""
        where = f"{type(layer).__name__} {layer.name!r}: set_weights"
        given = [np.asarray(value) for value in listed(weights, where, "arrays")]
        wanted = len(self._numbers(layer))
        if len(given) != wanted:
            raise ArgumentError(f"{where}: {len(given)} arrays came, wanted {wanted}")
        self._replace(layer, given)
        self.changed()

    def rows(self, nested: bool, connections: Mapping[Any, str]) -> list[Row]:
        """One row of the summary for each layer, in their order; a layer's calls count together."""
        rows: dict[Any, Row] = {}
        spans = sorted(self._spans, key=lambda span: self._parts.get(span.layer, 0))
        self._add_rows(rows, spans, 0, nested)
        return [
            row if depth else row._replace(connected=connections.get(layer))
            for (layer, depth), row in rows.items()
        ]

    def _add_rows(self, rows: dict[Any, Row], spans: Iterable[Span], depth: int, nested: bool) -> None:
        for span in spans:
            if isinstance(span.layer, InputLayer) and span.layer not in self._parts:
                continue  # a stack begins with its first layer, as in Keras
            rows[span.layer, depth] = self._row(span, depth, rows.get((span.layer, depth)))
            if nested and span.inner:
                self._add_rows(rows, span.inner, depth + 1, nested)

    def _row(self, span: Span, depth: int, before: Row | None) -> Row:
        layer, shapes, flops = span.layer, self.native.output_shapes, self.native.flops
        indices = self.of(layer)
        return Row(
            name=layer.name,
            kind=type(layer).__name__,
            output_shape=tuple(shapes[min(span.ends[0], len(shapes) - 1)])
            if before is None
            else before.output_shape,
            parameters=sum(math.prod(self.parameters[index].shape) for index in indices),
            flops=sum(flops[node] for node in span.nodes) + ((before.flops or 0.0) if before else 0.0),
            bytes=self._moved(span) + ((before.bytes or 0) if before else 0),
            fixed=sum(
                math.prod(self.parameters[index].shape)
                for index in indices
                if not (self.parameters[index].layer.trainable and self.parameters[index].trainable)
            ),
            depth=depth,
            trainable=layer.trainable,
        )

    def _moved(self, span: Span) -> int:
        """Bytes of activations that a sample's call reads and writes."""
        if span.inner:
            return sum(map(self._moved, span.inner))
        if all(self._nodes[node]["op"] in _RENAMING for node in span.nodes):
            return 0
        shapes = self.native.output_shapes
        read = sum(math.prod(shapes[each]) for each in self._nodes[span.nodes.start]["inputs"])
        return 4 * (int(read) + math.prod(shapes[span.nodes.stop - 1]))


def parameter_shapes(calls: Sequence[Call], outputs: Sequence[int]) -> dict[str, Shape]:
    """What the parameters of a network of these calls would be, by their names; none is made."""
    walk, ends = _walked(calls, outputs)
    return {each["name"]: tuple(each["shape"]) for each in _native.infer_parameters(walk.nodes, ends)}


def _walked(calls: Sequence[Call], outputs: Sequence[int]) -> tuple[Walk, list[int]]:
    """The nodes that lead to these outputs, and which of them the outputs are."""
    walk = Walk(calls)
    walk.keep(outputs)
    return walk, [walk.ends[each] for each in outputs]


def _warn_of_ones(nodes: Sequence[Mapping[str, Any]], shapes: Sequence[Shape]) -> None:
    """As Keras does: of one class alone no loss learns anything."""
    for node, shape in zip(nodes, shapes, strict=True):
        if node["op"] in ("softmax", "log_softmax") and math.prod(shape[-node.get("axes", 1) :]) == 1:
            warnings.warn(
                f"{node['layer']} {node['name']!r}: {node['op']} over an axis of size 1 gives "
                f"{0 if node['op'] == 'log_softmax' else 1} always; did you mean sigmoid?",
                UserWarning,
                stacklevel=2,
            )


def layers_within(layer: Layer | BaseModel) -> Iterator[Layer]:
    """The layer, or those of a model and of models in it."""
    if not layer.composed:
        yield cast("Layer", layer)
    else:
        for each in layer.layers:
            yield from layers_within(each)


_RENAMING = frozenset(row["name"] for row in _native.operators() if row["forward"] == "none") | {"input"}

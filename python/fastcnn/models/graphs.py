# SPDX-License-Identifier: Apache-2.0
"""Graphs of calls as plain values and back, and parts of graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from fastcnn._arguments import integer, listed
from fastcnn._config import serialize
from fastcnn._graph.composed import Trace
from fastcnn._graph.symbolic import SymbolicTensor, reachable
from fastcnn._graph.walk import Call, Part, outputs_of
from fastcnn.errors import ArgumentError
from fastcnn.layers import InputLayer
from fastcnn.models.base import from_description

T = TypeVar("T")


def graph_parts(
    name: str,
    parts: Sequence[Part],
    calls: Sequence[Call],
    outputs: list[int],
    described: Callable[[Any], Any],
) -> dict[str, Any]:
    """What `Model.from_config` reads."""
    layers = {layer: index for index, layer in enumerate(parts)}
    return {
        "name": name,
        "layers": [described(layer) for layer in parts],
        "calls": [
            [layers[call.layer], list(call.inputs), *([False] if call.training is False else [])]
            for call in calls
        ],
        "outputs": outputs,
    }


def graph_config(name: str, traced: Trace) -> dict[str, Any]:
    """Of a layer of the user's own."""
    entries = [Call(each.layer, ()) for each in traced.inputs]
    calls = [*entries, *traced.calls]
    return graph_parts(name, list(dict.fromkeys(each.layer for each in calls)), calls, traced.ends, serialize)


def described_graph(config: Mapping[str, Any]) -> tuple[list[SymbolicTensor], tuple[SymbolicTensor, ...]]:
    """Inputs and outputs of what `graph_parts` described, of new layers."""
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
        if not isinstance(call, (list, tuple)) or len(call) not in (2, 3):
            raise ArgumentError(f"{where}: calls: {call!r} came, wanted a layer and a list of calls")
        layer, read, *training = call
        if training not in ([], [False]):
            raise ArgumentError(f"{where}: calls: training is {training[0]!r}, wanted False or nothing")
        called, inputs_read = _entries(layers, [layer], where)[0], _entries(tensors, read, where)
        if called.composed:
            called.prepare([partial(getattr, each, "sample_shape") for each in inputs_read])
        token = object()
        for index in range(outputs_of(called)):
            phase = False if training else None
            tensors.append(SymbolicTensor(called, inputs_read, index, token, training=phase))
    inputs = [tensor for tensor in tensors if not tensor.inputs]
    return inputs, _entries(tensors, config["outputs"], where)


def cut(
    inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
) -> tuple[list[SymbolicTensor], list[SymbolicTensor]]:
    """The graph between them, with an input in place of each tensor that layers made."""
    if all(isinstance(each.layer, InputLayer) for each in inputs):
        return list(inputs), list(outputs)
    made = {
        each: each
        if isinstance(each.layer, InputLayer)
        else SymbolicTensor(InputLayer(each.sample_shape), ())
        for each in inputs
    }
    calls: dict[object, object] = {}
    for tensor in reachable(outputs, stops=inputs):
        if tensor in made:
            continue
        read = tuple(made[each] for each in tensor.inputs)
        call = calls.setdefault(tensor.call, object())
        shape, training = tensor.sample_shape, tensor.training
        made[tensor] = SymbolicTensor(tensor.layer, read, tensor.index, call, shape, training)
    return [made[each] for each in inputs], [made[each] for each in outputs]


def _entries(items: Sequence[T], indices: object, where: str) -> tuple[T, ...]:
    found = []
    for index in listed(indices, f"{where}: calls", "numbers"):
        position = integer(index, f"{where}: calls", least=0)
        if position >= len(items):
            raise ArgumentError(f"{where}: calls: {position} came, wanted the number of an earlier entry")
        found.append(items[position])
    return tuple(found)

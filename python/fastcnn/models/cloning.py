# SPDX-License-Identifier: Apache-2.0
"""New models of the form of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastcnn._graph.symbolic import SymbolicTensor
from fastcnn.errors import DTypeError
from fastcnn.layers import InputLayer, Layer
from fastcnn.models.base import BaseModel
from fastcnn.models.functional import Model
from fastcnn.models.sequential import Sequential


def clone_model(
    model: Any, input_tensors: Any = None, clone_function: Callable[[Any], Any] | None = None
) -> Any:
    """A model of the same layers, with new weights, not compiled.

    Parameters
    ----------
    model
        A `Sequential` or a `Model`; models among its layers are cloned, too.
    input_tensors
        What the new model begins with, from `fastcnn.Input`; None means inputs of the same shapes.
    clone_function
        Makes a new layer of each; None means ``type(layer).from_config(layer.get_config())``. It is not asked
        for inputs.

    Raises
    ------
    DTypeError
        It is no model, or what the function made is no layer.

    Examples
    --------
    >>> from fastcnn import Sequential, layers, models
    >>> model = Sequential([layers.Dense(2, input_shape=(3,))])
    >>> clone = models.clone_model(model)
    >>> clone.count_params(), bool((clone.get_weights()[0] == model.get_weights()[0]).all())
    (8, False)
    """
    if not isinstance(model, BaseModel):
        raise DTypeError(f"clone_model: model: {type(model).__name__} came, wanted a Sequential or a Model")
    parts = [each.layer for each in model.tensors] if isinstance(model, Model) else model.layers
    new = {layer: _new(layer, clone_function) for layer in dict.fromkeys(parts)}
    given = None if input_tensors is None else _as_list(input_tensors)
    if isinstance(model, Sequential):
        shape = (
            None
            if model.declared_shape is None
            else InputLayer(model.declared_shape, name=model.input_names[0])
        )
        first: list[Any] = given if given is not None else [] if shape is None else [shape]
        return Sequential([*first, *(new[layer] for layer in model.layers)], name=model.name)
    assert isinstance(model, Model)
    return _graph(model, new, given)


def _graph(model: Model, new: dict[Any, Any], given: list[Any] | None) -> Model:
    made: dict[SymbolicTensor, SymbolicTensor] = {}
    calls: dict[object, list[SymbolicTensor]] = {}
    if given is not None:
        made = dict(zip(model.inputs, given, strict=True))
    for tensor in model.tensors:
        if tensor in made:
            continue
        if not tensor.inputs:
            made[tensor] = SymbolicTensor(new[tensor.layer], ())
            continue
        if tensor.call not in calls:
            read = [made[each] for each in tensor.inputs]
            inputs = read[0] if len(read) == 1 else read
            calls[tensor.call] = _as_list(new[tensor.layer](inputs, training=tensor.training))
        made[tensor] = calls[tensor.call][tensor.index]
    outputs = [made[each] for each in model.outputs]
    return Model([made[each] for each in model.inputs], outputs, name=model.name)


def _new(layer: Any, function: Callable[[Any], Any] | None) -> Any:
    if isinstance(layer, BaseModel):
        return clone_model(layer, None, function)
    if function is None or isinstance(layer, InputLayer):
        return type(layer).from_config(layer.get_config())
    made = function(layer)
    if not isinstance(made, Layer):
        raise DTypeError(f"clone_model: clone_function: {made!r} came for {layer.name!r}, wanted a layer")
    return made


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]

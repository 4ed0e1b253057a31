# SPDX-License-Identifier: Apache-2.0
"""Layers and models of the user's own: a class whose ``call`` is written with other layers.

``call`` is run once, on symbolic tensors; from then on the calls of layers that it made stand for it, as
those of a nested model do. So it is Python at the beginning and native ever after.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcnn._graph.symbolic import Phase, SymbolicTensor, numbered, ordered
from fastcnn._graph.walk import Call, Part, has_weights, is_idle, is_model
from fastcnn.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    Shape = tuple[int, ...]


class Trace(NamedTuple):
    """What a run of ``call`` left."""

    inputs: list[SymbolicTensor]
    outputs: list[SymbolicTensor]
    calls: list[Call]  # behind the inputs
    ends: list[int]  # which tensors are the outputs


def trace(part: Any, where: str, shapes: Sequence[Shape]) -> Trace:
    """Run ``part.call`` on inputs of these shapes."""
    from fastcnn.layers import InputLayer

    inputs = [SymbolicTensor(InputLayer(shape), ()) for shape in shapes]
    phase = Phase(True)
    outputs = _run(part, inputs, phase)
    if phase.asked:
        predicted = [SymbolicTensor(each.layer, ()) for each in inputs]
        if not _alike(outputs, _run(part, predicted, Phase(False))):
            raise ArgumentError(
                f"{where}: training: call asks for its truth and does something else in prediction than to "
                "leave out dropout, noise and augmentation; pass it on to layers, which know what to do"
            )
    for each in outputs:
        if not isinstance(each, SymbolicTensor):
            raise DTypeError(
                f"{where}: call returned {type(each).__name__}, wanted what layers give; NumPy's functions "
                "cannot be part of a model"
            )
    tensors = ordered(outputs, inputs)
    foreign = [each for each in tensors if not each.inputs and each not in inputs]
    if foreign:
        raise ArgumentError(f"{where}: call reads {foreign[0].name!r}, which is no input of it")
    if len(set(outputs)) != len(outputs) or any(each in inputs for each in outputs):
        raise ArgumentError(
            f"{where}: call returned an input or a tensor twice, wanted the outputs of layers"
        )
    calls, position = numbered(tensors)
    return Trace(inputs, outputs, calls[len(inputs) :], [position[each] for each in outputs])


def _run(part: Any, inputs: list[SymbolicTensor], phase: Phase) -> list[Any]:
    made = part.call(*_arguments(part.call, inputs, phase))
    return list(made) if isinstance(made, (list, tuple)) else [made]


def _alike(trained: Sequence[Any], predicted: Sequence[Any]) -> bool:
    """Whether two runs of ``call`` made the same graph, but for layers that do nothing in prediction."""
    if len(trained) != len(predicted):
        return False
    stack, seen = list(zip(trained, predicted, strict=True)), set()
    while stack:
        a, b = map(_acting, stack.pop())
        if a is b or (a, b) in seen:
            continue
        seen.add((a, b))
        both = isinstance(a, SymbolicTensor) and isinstance(b, SymbolicTensor)
        if not both or len(a.inputs) != len(b.inputs) or (a.index, a.training) != (b.index, b.training):
            return False
        if a.layer is not b.layer and (not a.inputs or _plainly(a.layer) != _plainly(b.layer)):
            return False
        stack += zip(a.inputs, b.inputs, strict=True)
    return True


def _acting(tensor: Any) -> Any:
    """The tensor, or the one that it is in prediction."""
    while isinstance(tensor, SymbolicTensor) and len(tensor.inputs) == 1 and is_idle(tensor.layer):
        tensor = tensor.inputs[0]
    return tensor


def _plainly(layer: Part) -> Any:
    """What two layers that ``call`` makes have in common; of those with weights nothing."""
    if is_model(layer) or has_weights(layer):
        return layer
    return type(layer), {key: value for key, value in layer.get_config().items() if key != "name"}


def _arguments(call: Any, inputs: list[SymbolicTensor], phase: Phase) -> list[Any]:
    """As many positions as ``call`` has for inputs, then what it calls ``training``."""
    parameters = list(inspect.signature(call).parameters.values())
    positions = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.name not in ("training", "mask")
    ]
    wanted = sum(each.default is each.empty for each in positions)
    given: list[Any] = (
        [*inputs] if wanted > 1 and len(inputs) > 1 else [inputs if len(inputs) > 1 else inputs[0]]
    )
    named = {each.name: phase for each in parameters if each.name == "training"}
    bound = inspect.signature(call).bind(*given, **named)
    bound.apply_defaults()
    return list(bound.args)


def parts_of(owner: Any, own: frozenset[str]) -> list[Part]:
    """Layers and models among the attributes of an object, lists and dicts of them too, in their order."""
    found: dict[Part, None] = {}
    for name, value in vars(owner).items():
        if name not in own:
            found.update(dict.fromkeys(_parts(value)))
    return list(found)


def _parts(value: Any) -> Iterator[Part]:
    from fastcnn.layers.base import Layer
    from fastcnn.models.base import BaseModel

    if isinstance(value, (Layer, BaseModel)):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _parts(each)


def used(owner: Any, own: frozenset[str], calls: Sequence[Call]) -> list[Part]:
    """The layers that ``call`` uses: those of the owner's attributes in their order, then the others."""
    called = dict.fromkeys(call.layer for call in calls)
    kept = dict.fromkeys(part for part in parts_of(owner, own) if part in called)
    return [*kept, *(part for part in called if part not in kept)]


def shown(owner: Any, own: frozenset[str], parts: Sequence[Part]) -> list[Part]:
    """The owner's attributes, whether ``call`` uses them or not, as in Keras; and what else has weights."""
    kept = dict.fromkeys(parts_of(owner, own))
    return [*kept, *(part for part in parts if part not in kept and has_weights(part))]

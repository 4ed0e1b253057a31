# SPDX-License-Identifier: Apache-2.0
"""A network as a graph: whatever leads from some inputs to some outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastcnn._arguments import flag, listed
from fastcnn._arguments import shape as as_shape
from fastcnn._graph.composed import parts_of, shown, trace, used
from fastcnn._graph.network import Shape
from fastcnn._graph.symbolic import SymbolicTensor, by_depth, numbered, ordered, reachable, symbolic_inputs
from fastcnn._graph.walk import Call, Part, outputs_of
from fastcnn.errors import ArgumentError
from fastcnn.layers import InputLayer, Layer
from fastcnn.models.base import BaseModel, Graph
from fastcnn.models.graphs import cut, described_graph, graph_parts

Tensors = SymbolicTensor | Sequence[SymbolicTensor]


class Model(BaseModel):
    """Layers joined by calling them: branches, residuals, shared layers, several inputs and outputs.

    Parameters
    ----------
    inputs
        What `fastcnn.Input` gave, or what layers gave on the way to the outputs; a list for several.
    outputs
        What layers gave; a list for several.
    name
        The model's name; None means "functional", "functional_1", ...
    trainable
        Whether the layers train.

    A class of your own takes no inputs and outputs: its ``call`` is written with the layers that its
    ``__init__`` makes, and run once, on symbolic tensors, when the input's shape is known.

    Raises
    ------
    ArgumentError
        The outputs depend on an input that is not given, or not on one that is; two layers have the same
        name.

    Examples
    --------
    >>> import fastcnn
    >>> from fastcnn import layers
    >>> x = fastcnn.Input((8, 8, 3))
    >>> y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    >>> model = fastcnn.Model(x, layers.Dense(2)(layers.Flatten()(y)))
    >>> model.output_shape
    (None, 2)
    >>> class Small(fastcnn.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.flatten, self.dense = layers.Flatten(), layers.Dense(2)
    ...     def call(self, x):
    ...         return self.dense(self.flatten(x))
    >>> small = Small()
    >>> small.build((None, 8, 8, 3))
    >>> small.output_shape
    (None, 2)
    """

    _kind = "Model"

    def __init__(
        self,
        inputs: Tensors | None = None,
        outputs: Tensors | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name)
        self._inputs: list[SymbolicTensor] = []
        self._outputs: list[SymbolicTensor] = []
        self._tensors: list[SymbolicTensor] = []
        self._calls: list[Call] = []
        self._position: dict[SymbolicTensor, int] = {}
        self._layers: list[Layer | BaseModel] = []
        self._trains = flag(trainable, f"{self._where}: trainable")
        self._subclassed = inputs is None and outputs is None and type(self).call is not Model.call
        self._own = frozenset((*vars(self), "_own"))  # attributes that are not the user's
        if self._subclassed:
            return
        if inputs is None or outputs is None:
            missing = "inputs" if inputs is None else "outputs"
            raise ArgumentError(f"{self._where}: {missing}: none came, wanted at least one")
        given = symbolic_inputs(inputs, f"{self._where}: inputs")
        ends = symbolic_inputs(outputs, f"{self._where}: outputs")
        self._check_ends(given, ends)
        self._set(*cut(given, ends))
        self._settle()

    def _set(self, inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._tensors = ordered(outputs, inputs)
        self._calls, self._position = numbered(self._tensors)
        self._layers = by_depth(outputs)
        if self._subclassed:
            entered = {layer: None for layer in self._layers if isinstance(layer, InputLayer)}
            self._layers = [
                *entered,
                *(each for each in used(self, self._own, self._calls) if each not in entered),
            ]
        self._check_names()
        for layer in dict.fromkeys((*self._layers, *self.layers)):
            layer.attach(self)
        if not self._trains:
            self.trainable = False
        self._shape = inputs[0].shape[1:]  # type: ignore[assignment]  # only the batch is None

    def call(self, inputs: Any) -> Any:
        """What a model of your own computes, written with layers; run once, on symbolic tensors."""
        raise ArgumentError(
            f"{self._where}: call: the model is joined into another, or predicts, by calling it"
        )

    # Of the user's own

    @property
    def traced(self) -> bool:
        """Whether the layers are known: of a model of your own once its input's shape is."""
        return bool(self._outputs)

    def prepare(self, shapes: Sequence[Callable[[], Shape]]) -> None:
        """Run ``call`` if it has not been run, on inputs of these shapes."""
        if not self._outputs:
            self._trace([each() for each in shapes])

    def _trace(self, shapes: Sequence[Shape]) -> None:
        found = trace(self, self._where, shapes)
        self._set(found.inputs, found.outputs)

    def _traced(self, what: str) -> None:
        if not self._outputs:
            raise ArgumentError(
                f"{self._where}: {what}: the input's shape is not known; call build(input_shape) or fit first"
            )

    def build(self, input_shape: Any = None) -> None:
        """Of a model of your own: run ``call`` and draw weights now.

        Parameters
        ----------
        input_shape
            With the batch, as in Keras: ``(None, 28, 28, 1)``; a list of them for several inputs.

        Raises
        ------
        ShapeError, ArgumentError
            A layer does not fit its input, or ``call`` does what cannot be made native.
        """
        if input_shape is None or self._outputs:
            self._bind()
            return
        where = f"{self._where}: build: input_shape"
        several = isinstance(input_shape, list) and not any(
            each is None or isinstance(each, int) for each in input_shape
        )
        shapes = [
            as_shape(listed(each, where, "integers")[1:], where)
            for each in (input_shape if several else [input_shape])
        ]
        with self._lock:
            self._trace(shapes)
            self._bind()

    def _check_ends(self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> None:
        if not outputs:
            raise ArgumentError(f"{self._where}: outputs: none came, wanted at least one")
        found = reachable(outputs)
        for tensor in inputs:
            if tensor not in found:
                raise ArgumentError(f"{self._where}: inputs: {tensor.name!r}: no output depends on it")
        found = reachable(outputs, stops=inputs)
        for tensor in found:
            if not tensor.inputs and tensor not in inputs:
                raise ArgumentError(
                    f"{self._where}: inputs: {tensor.name!r} is missing: the outputs depend on it"
                )
        for kind, tensors in (("inputs", inputs), ("outputs", outputs)):
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
        self._traced("inputs")
        return list(self._inputs)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""
        self._traced("outputs")
        return list(self._outputs)

    @property
    def layers(self) -> list[Layer | BaseModel]:
        """The layers, inputs included, and models that were called, in Keras's order.

        Those with the longest way to an output come first; of a model of your own those of its attributes,
        whether ``call`` uses them or not. What ``+ - * /`` and functions of ``ops`` made is not among them.
        """
        if not self._outputs:
            return parts_of(self, self._own)
        if self._subclassed:
            return shown(self, self._own, self._layers)
        return [each for each in self._layers if isinstance(each, BaseModel) or not each.is_operation]

    @property
    def tensors(self) -> list[SymbolicTensor]:
        """All symbolic tensors, each after those it is made from, the inputs first."""
        return list(self._tensors)

    def _connections(self) -> dict[Any, str]:
        """As Keras names them; none where each layer reads the one before and no other does."""
        chain = all(
            call.inputs == ((number - 1,) if number else ()) for number, call in enumerate(self._calls)
        )
        if self._subclassed or (chain and len({call.layer for call in self._calls}) == len(self._calls)):
            return {}
        times: dict[Part, int] = {}
        labels: list[str] = []  # of each tensor
        reads: dict[Any, list[str]] = {}
        for call in self._calls:
            number = times[call.layer] = times.get(call.layer, -1) + 1
            reads.setdefault(call.layer, []).extend(labels[each] for each in call.inputs)
            labels += [f"{call.layer.name}[{number}][{index}]" for index in range(outputs_of(call.layer))]
        return {layer: ", ".join(found) or "-" for layer, found in reads.items()}

    def inner_calls(self) -> tuple[list[Call], list[int]]:
        """The calls of layers that a call of this model stands for, and which tensors are its outputs."""
        self._traced("call")
        return self._calls[len(self._inputs) :], self._output_positions()

    def trace(self) -> None:
        """Nothing to do: the tensors are there."""

    def _input_shapes(self) -> list[Shape | None]:
        return [tensor.shape[1:] for tensor in self._inputs]  # type: ignore[misc]  # only the batch is None

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return ["input"] if not self._outputs else [tensor.name for tensor in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the outputs; a second output of a layer has a number besides."""
        if not self._outputs:
            return ["output"]
        names: list[str] = []
        for tensor in self._outputs:
            before = sum(name == tensor.name or name.startswith(f"{tensor.name}_") for name in names)
            names.append(tensor.name if tensor.name not in names else f"{tensor.name}_{before}")
        return names

    def _graph(self, shape: Shape) -> Graph:
        if not self._outputs:
            self._trace([shape])
        return self._calls, self._output_positions(), self._layers

    def _output_positions(self) -> list[int]:
        return [self._position[tensor] for tensor in self._outputs]

    def _binding(self) -> contextlib.AbstractContextManager[None]:
        known = not self._subclassed  # the shape, from the start
        return contextlib.nullcontext() if known else super()._binding()

    def _parts(self, described: Callable[[Any], Any]) -> dict[str, Any]:
        """Layers, then calls as ``[layer, [calls that it reads]]``."""
        self._traced("get_config")
        return graph_parts(self.name, self._layers, self._calls, self._output_positions(), described)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """Make the model that `get_config` described, with new weights.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The description is not of this package.
        """
        inputs, outputs = described_graph(config)
        kind = (
            cls if cls.__init__ is Model.__init__ else Model
        )  # one of the user's own may take other arguments
        return kind(inputs, outputs, config["name"])

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and ``copy.deepcopy``; one of your own keeps its attributes."""
        if not self._subclassed:
            return super().__reduce__()
        mine = {name: value for name, value in vars(self).items() if name not in self._own}
        shapes = [each.sample_shape for each in self._inputs]
        state = self.get_state() if self.built else None
        return _restore, (type(self), self.name, mine, shapes, state, self._settings)


def _restore(
    kind: type[Model], name: str, mine: Mapping[str, Any], shapes: list[Shape], state: Any, settings: Any
) -> Model:
    """What `Model.__reduce__` took apart."""
    model = kind.__new__(kind)
    Model.__init__(model, name=name)
    vars(model).update(mine)
    model._settings = settings
    if shapes:
        model._trace(shapes)
    if state is not None:
        if settings is not None:
            settings.apply(model._bind())
        model.set_state(state)
    return model

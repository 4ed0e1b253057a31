# SPDX-License-Identifier: Apache-2.0
"""A network as a stack of layers.

It is built when it is first needed and the input's shape is known: from an `Input`, from the first layer's
``input_shape=``, from `build`, or from the first batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastcnn._arguments import flag, listed
from fastcnn._arguments import shape as as_shape
from fastcnn._graph.network import Shape, layers_within
from fastcnn._graph.symbolic import SymbolicTensor
from fastcnn._graph.walk import Call, outputs_of
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.layers import InputLayer, Layer
from fastcnn.models.base import BaseModel, Graph, from_description


class Sequential(BaseModel):
    """Layers, each fed by the one before.

    Parameters
    ----------
    layers
        The layers in order; an `Input` may stand first. More can be added.
    trainable
        Whether the layers given train.
    name
        The model's name; None means "sequential", "sequential_1", ...

    Raises
    ------
    ArgumentError
        Two layers have the same name, or a layer stands in another model already.
    ShapeError
        A layer does not fit its input; the message names it.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([
    ...     layers.Conv2D(6, 5, padding="same", activation="relu", input_shape=(28, 28, 1)),
    ...     layers.MaxPooling2D(),
    ...     layers.Flatten(),
    ...     layers.Dense(10, activation="softmax"),
    ... ])
    >>> model.output_shape, model.count_params()
    ((None, 10), 11926)
    """

    _kind = "Sequential"

    def __init__(
        self,
        layers: Sequence[Layer | BaseModel | SymbolicTensor] | Layer | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._layers: list[Layer | BaseModel] = []  # an InputLayer, if any, stands first
        self._traced: list[SymbolicTensor] = []  # of the input, then of each layer
        stack = [layers] if isinstance(layers, (Layer, BaseModel)) else layers
        for layer in listed(stack, self._where, "layers") if stack is not None else []:
            self.add(layer)
        if not flag(trainable, f"{self._where}: trainable"):
            self.trainable = False
        if self._shape is not None and self.layers:
            self._settle()

    # The stack

    @property
    def layers(self) -> list[Layer | BaseModel]:
        """The layers in order, and models that stand among them, without the input."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def add(self, layer: Layer | BaseModel | SymbolicTensor) -> None:
        """Put a layer, or a model, on top. Weights of the others stay; optimizer state starts anew.

        Raises
        ------
        ArgumentError
            The name is taken, the layer stands in another model, or an `Input` comes second.
        DTypeError
            It is not a layer.
        """
        where = f"{self._where}: add"
        if isinstance(layer, SymbolicTensor) and isinstance(layer.layer, InputLayer):  # what Input() returns
            layer = layer.layer
        if not isinstance(layer, (Layer, BaseModel)):
            raise DTypeError(f"{where}: {layer!r} came, wanted a layer of fastcnn.layers")
        if any(layer.name == other.name for other in self._layers):
            raise ArgumentError(
                f"{where}: the name {layer.name!r} is taken; names must be unique within a model"
            )
        if isinstance(layer, InputLayer) and self._layers:
            raise ArgumentError(f"{where}: an Input must stand first, after it came {self._layers[0].name!r}")
        layer.attach(self)
        if not self._layers and layer.declared_shape is not None and not isinstance(layer, InputLayer):
            self.add(InputLayer(layer.declared_shape))
        with self._changing():
            self._layers.append(layer)
            if isinstance(layer, InputLayer):
                self._shape = layer.shape

    def pop(self) -> Any:
        """Take the topmost layer off and return it.

        Raises
        ------
        ArgumentError
            There is none.
        """
        if not self.layers:
            raise ArgumentError(f"{self._where}: pop: there is no layer")
        with self._changing():
            layer = self._layers.pop()
        layer.detach(self)
        return layer

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """A change of the stack: the native model goes, weights are carried over to the next."""
        with self._lock:
            if self._network is not None:
                self._network.pull()
                within = [each for layer in self.layers for each in layers_within(layer)]
                self._carried = {layer: self._network.get_weights(layer) for layer in within}
            yield
            self._network, self._traced = None, []

    @property
    def input_names(self) -> list[str]:
        """The name of the one input."""
        return [self._layers[0].name if self._layers and isinstance(self._layers[0], InputLayer) else "input"]

    @property
    def output_names(self) -> list[str]:
        """The name of the last layer."""
        return [self._layers[-1].name if self._layers else "output"]

    # Building

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Bind shapes and draw weights now.

        Parameters
        ----------
        input_shape
            With the batch, as in Keras: ``(None, 28, 28, 1)``; None if the model knows its shape.

        Raises
        ------
        ShapeError
            A layer does not fit its input.
        """
        if input_shape is None:
            self._bind()
            return
        where = f"{self._where}: build: input_shape"
        shape = as_shape(listed(input_shape, where, "integers")[1:], where)
        if self._shape not in (None, shape):
            raise ShapeError(f"{self._where}: build: {shape} came, the model has {self._shape}")
        with self._binding():
            self._settle(shape)

    def _graph(self, shape: Shape) -> Graph:
        calls, outputs = self.inner_calls()
        return [Call(InputLayer(shape, name="input"), ()), *calls], outputs, ()

    # As a part of another model

    def inner_calls(self) -> tuple[list[Call], list[int]]:
        """The calls of layers that a call of this model stands for, and which tensor is its output."""
        chain = self.layers
        for layer in chain:
            if outputs_of(layer) != 1:
                raise ArgumentError(f"{self._where}: {layer.name!r} has several outputs, wanted one")
        return [Call(layer, (index,)) for index, layer in enumerate(chain)], [len(chain)]

    def trace(self) -> None:
        """Make the symbolic tensors of all layers, if there are none."""
        network = self._bind()
        if self._traced:
            return
        first = self._layers[0]
        if not isinstance(first, InputLayer):
            assert self._shape is not None
            first = InputLayer(self._shape)
        traced = [SymbolicTensor(first, ())]
        for layer, shape in zip(self.layers, network.tensor_shapes[1:], strict=True):
            traced.append(SymbolicTensor(layer, (traced[-1],), shape=shape))
        self._traced = traced

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic input."""
        self.trace()
        return self._traced[:1]

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic output."""
        self.trace()
        return self._traced[-1:]

    # Descriptions

    def _parts(self, described: Callable[[Any], Any]) -> dict[str, Any]:
        """Layers, an input first if there is one, and its shape."""
        return {
            "name": self.name,
            "layers": [described(layer) for layer in self._layers],
            "build_input_shape": None if self._shape is None else [None, *self._shape],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Sequential:
        """Make the model that `get_config` described, with new weights.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The description is not of this package.
        """
        if not isinstance(config, Mapping) or set(config) != {"name", "layers", "build_input_shape"}:
            raise ArgumentError("Sequential.from_config: wanted a dict of name, layers and build_input_shape")
        where = f"Sequential {config['name']!r}: layers"
        stack = [from_description(layer, where) for layer in listed(config["layers"], where, "layers")]
        model = cls(stack, name=config["name"])
        if config["build_input_shape"] is not None:
            model.build(config["build_input_shape"])
        return model

# SPDX-License-Identifier: Apache-2.0
"""A network as a stack of layers.

The layers' native nodes, joined into one list, make the native model, which owns weights and optimizer state.
It is built when it is first needed and the input's shape is known: from an `Input`, from the first layer's
``input_shape=``, from `build`, or from the first batch.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _names, _random
from fastcnn._arguments import Array, choose, integer, listed
from fastcnn._arguments import shape as as_shape
from fastcnn._config import deserialize, serialize
from fastcnn._network import Carried, Network, Shape
from fastcnn._summary import Row, render
from fastcnn._trainer import Trainer
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.layers import CLASSES, InputLayer, Layer

if TYPE_CHECKING:
    from fastcnn.io import load_model
    from fastcnn.io.safetensors import Path

__all__ = ["Sequential", "load_model"]


class Sequential(Trainer):
    """Layers, each fed by the one before.

    Parameters
    ----------
    layers
        The layers in order; an `Input` may stand first. More can be added.
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

    def __init__(self, layers: Sequence[Layer] | Layer | None = None, name: str | None = None) -> None:
        super().__init__()
        self.name = _names.name_for(self, name)
        self._layers: list[Layer] = []  # an InputLayer, if any, stands first
        self._shape: Shape | None = None  # of one sample
        self._network: Network | None = None
        self._carried: Carried = {}  # weights that outlive a change of the stack
        self._seed = _random.next_seed()
        self._lock = threading.RLock()
        stack = [layers] if isinstance(layers, Layer) else layers
        for layer in listed(stack, self._where, "layers") if stack is not None else []:
            self.add(layer)
        if self._shape is not None and self.layers:
            self._bind()  # so that a layer that does not fit is told of here

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}>"

    @property
    def _where(self) -> str:
        return f"Sequential {self.name!r}"

    # The stack

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def add(self, layer: Layer) -> None:
        """Put a layer on top. Weights of the others stay; optimizer state starts anew.

        Raises
        ------
        ArgumentError
            The name is taken, the layer stands in another model, or an `Input` comes second.
        DTypeError
            It is not a layer.
        """
        where = f"{self._where}: add"
        if not isinstance(layer, Layer):
            raise DTypeError(f"{where}: {layer!r} came, wanted a layer of fastcnn.layers")
        if any(layer.name == other.name for other in self._layers):
            raise ArgumentError(
                f"{where}: the name {layer.name!r} is taken; names must be unique within a model"
            )
        if isinstance(layer, InputLayer) and self._layers:
            raise ArgumentError(f"{where}: an Input must stand first, after it came {self._layers[0].name!r}")
        layer.attach(self)
        if not self._layers and layer.declared_shape is not None:
            self.add(InputLayer(layer.declared_shape))
        with self._changing():
            self._layers.append(layer)
            if isinstance(layer, InputLayer):
                self._shape = layer.shape

    def pop(self) -> Layer:
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
        layer.attach(None)
        return layer

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by its name or by its index.

        Raises
        ------
        ArgumentError
            There is no such layer, or not exactly one of both was given.
        """
        where = f"{self._where}: get_layer"
        if (name is None) == (index is None):
            raise ArgumentError(f"{where}: wanted either a name or an index")
        if index is not None:
            position = integer(index, f"{where}: index")
            if not -len(self.layers) <= position < len(self.layers):
                raise ArgumentError(
                    f"{where}: index: {position} came, the model has {len(self.layers)} layers"
                )
            return self.layers[position]
        return choose(name, {layer.name: layer for layer in self.layers}, where)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """A change of the stack: the native model goes, weights are carried over to the next."""
        with self._lock:
            if self._network is not None:
                self._carried = {layer: self._network.get_weights(layer) for layer in self.layers}
            yield
            self._network = None

    # Building

    @property
    def built(self) -> bool:
        """Whether shapes are bound and weights exist."""
        return self._network is not None

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
            self._bind(shape)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """``(None, ...)``, where None is the batch."""
        return None, *self._bind().input_shape

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """``(None, ...)``, where None is the batch."""
        return None, *self._bind().output_shape

    def _bind(self, shape: Shape | None = None) -> Network:
        network = self._network
        if network is not None:  # without the lock, which a forked child might find taken
            return network
        with self._lock:
            if self._network is None:
                shape = self._shape or shape
                if shape is None:
                    raise ArgumentError(
                        f"{self._where}: the input's shape is not known; begin with Input(shape=...), "
                        "or call build(input_shape) or fit first"
                    )
                network = Network(self.layers, shape)
                network.initialize(self._seed, self._carried)
                if self._settings is not None:
                    self._settings.apply(network.native)
                self._network, self._shape, self._carried = network, shape, {}
            return self._network

    @contextlib.contextmanager
    def _binding(self) -> Iterator[None]:
        bound = self._shape is not None
        try:
            yield
        except BaseException:
            if not bound:
                self._network = self._shape = None
            raise

    # Weights and state

    def get_weights(self) -> list[Array]:
        """Copies of all weights, layer by layer, kernel before bias.

        Kernels are ``[R, S, C / groups, K]`` or ``[C, K]``, biases ``[K]``.

        Raises
        ------
        ArgumentError
            The model is not built.
        """
        return self._bind().get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights, in the order and shapes of `get_weights`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The weights do not fit; nothing has changed.
        """
        arrays = [np.asarray(value) for value in listed(weights, f"{self._where}: set_weights", "arrays")]
        self._bind().native.set_parameters(arrays)

    def get_layer_weights(self, layer: Layer) -> list[Array]:
        """What ``layer.get_weights()`` returns."""
        return self._bind().get_weights(layer)

    def set_layer_weights(self, layer: Layer, weights: Sequence[Any]) -> None:
        """What ``layer.set_weights(weights)`` does."""
        self._bind().set_weights(weights, layer)

    def count_params(self, layer: Layer | None = None) -> int:
        """How many numbers the model, or one of its layers, learns."""
        return sum(
            math.prod(parameter.shape)
            for parameter in self._bind().parameters
            if layer is None or parameter.layer is layer
        )

    def get_state(self) -> dict[str, Array]:
        """All that changes in training: weights, optimizer slots, step, seed, orders drawn. Copies.

        With `get_config` and `get_compile_config` it makes a model that goes on to the same bits.
        """
        native = self._bind().native
        if self._settings is not None:
            native.learning_rate = self.optimizer.learning_rate  # may have been assigned since the last step
        return {**native.get_state(), _PERMUTATIONS: np.array(self._permutations, np.int64)}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Take over what `get_state` gave.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The state is another model's; nothing has changed.
        """
        if _PERMUTATIONS not in state:
            raise ArgumentError(f"{self._where}: set_state: {_PERMUTATIONS!r} is missing")
        permutations = integer(state[_PERMUTATIONS], f"{self._where}: set_state: {_PERMUTATIONS}", least=0)
        native = self._bind().native
        native.set_state({key: value for key, value in state.items() if key != _PERMUTATIONS})
        self._permutations, self._seed = permutations, native.seed
        if self._settings is not None:
            self.optimizer.learning_rate = native.learning_rate

    def save(self, path: Path) -> None:
        """Write the model into one safetensors file; `fastcnn.load_model` reads it.

        See `fastcnn.io.save_model`.
        """
        from fastcnn.io import save_model

        save_model(self, path)

    # Descriptions

    def get_config(self) -> dict[str, Any]:
        """The architecture as plain values."""
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in self._layers],
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
        model = cls([deserialize(layer, CLASSES, where) for layer in config["layers"]], config["name"])
        if config["build_input_shape"] is not None:
            model.build(config["build_input_shape"])
        return model

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the table of layers: output shape, parameters, arithmetic and memory traffic of one sample.

        A multiplication and an addition count as two FLOPs; bytes are the activations that a layer reads and
        writes, float32.

        Parameters
        ----------
        print_fn
            Takes the text in place of ``print``.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> Sequential([layers.Dense(10, input_shape=(784,), name="dense")], name="article").summary()
        Model: "article"
        ┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━━┓
        ┃ Layer (type)  ┃ Output Shape ┃ Param # ┃  FLOPs ┃ Bytes ┃
        ┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━━┩
        │ dense (Dense) │ (None, 10)   │   7,850 │ 15,680 │ 3,176 │
        └───────────────┴──────────────┴─────────┴────────┴───────┘
         Total params: 7,850 (30.66 KB)
         Trainable params: 7,850 (30.66 KB)
         Non-trainable params: 0 (0.00 B)
         Forward pass of one sample: 15,680 FLOPs, 3.10 KB of activations moved
        """
        if self._shape is None:
            rows = [Row(layer.name, type(layer).__name__, None, None, None, None) for layer in self.layers]
        else:
            rows = self._bind().rows()
        (print_fn or print)(render(self.name, rows))

    def describe(self, mode: str = "train", batch_size: int = 32) -> str:
        """The steps that a batch takes: kernel, shapes, FLOPs, bytes, place in memory, and time once run.

        Parameters
        ----------
        mode
            "train", "evaluate" or "predict".
        batch_size
            Samples in the batch.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(10, input_shape=(784,))])
        >>> "gemm" in model.describe("predict", batch_size=1)
        True
        """
        return self._bind().native.describe(mode, integer(batch_size, "describe: batch_size", least=1))


_PERMUTATIONS = "permutations"


def __getattr__(name: str) -> Any:
    if name == "load_model":  # late, since files are a slow import
        from fastcnn.io import load_model

        return load_model
    raise AttributeError(f"module 'fastcnn.models' has no attribute {name!r}")

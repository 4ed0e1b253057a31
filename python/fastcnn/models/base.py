# SPDX-License-Identifier: Apache-2.0
"""What all models share: a native model, which owns weights and optimizer state, built when first needed."""

from __future__ import annotations

import abc
import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _names, _random
from fastcnn._arguments import Array, choose, flag, integer, listed
from fastcnn._config import deserialize, serialize
from fastcnn._network import Carried, Network, Shape
from fastcnn._summary import Row, render
from fastcnn._symbolic import SymbolicTensor, symbolic_inputs
from fastcnn._trainer import Trainer
from fastcnn._walk import Call
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.layers import CLASSES, Layer

if TYPE_CHECKING:
    from fastcnn.io.safetensors import Path


class BaseModel(Trainer, abc.ABC):
    """A network of layers: weights, state, files, tables; `Sequential` and `Model` say how layers join."""

    def __init__(self, name: str | None) -> None:
        super().__init__()
        self.name = _names.name_for(self, name)
        self._shape: Shape | None = None  # of one sample of the first input; None as long as it is not known
        self._network: Network | None = None
        self._carried: Carried = {}  # weights that outlive a change of the layers
        self._seed = _random.next_seed()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    @property
    def _where(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    @property
    @abc.abstractmethod
    def layers(self) -> list[Layer | BaseModel]:
        """The layers in order, and models that stand among them."""

    @abc.abstractmethod
    def inner_calls(self) -> tuple[list[Call], list[int]]:
        """The calls of layers that a call of this model stands for, and which tensors are its outputs.

        Tensors are numbered after those that the model reads.
        """

    @abc.abstractmethod
    def trace(self) -> None:
        """Make the symbolic tensors of all layers, if there are none."""

    @property
    @abc.abstractmethod
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs."""

    @property
    @abc.abstractmethod
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""

    @property
    def input(self) -> Any:
        """The symbolic input; of several a list."""
        return _one_or_list(self.inputs)

    @property
    def output(self) -> Any:
        """The symbolic output; of several a list.

        >>> from fastcnn import Model, Sequential, layers
        >>> base = Sequential([layers.Dense(4, activation="relu", input_shape=(3,))])
        >>> Model(base.input, layers.Dense(1)(base.output)).count_params()
        21
        """
        return _one_or_list(self.outputs)

    # As a part of another model

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """Join the model into a graph, as layers are; or predict, if arrays come.

        The other model shares the weights: whichever of both is trained, both have changed.

        Parameters
        ----------
        inputs
            What `fastcnn.Input` or another layer gave, or samples; a list for several inputs.
        training
            False: with arrays nothing is trained, and dropout does nothing.

        Raises
        ------
        ShapeError, ArgumentError, DTypeError
            The inputs do not fit the model.

        Examples
        --------
        >>> import fastcnn
        >>> from fastcnn import layers
        >>> inner = fastcnn.Sequential([layers.Dense(4, input_shape=(3,))])
        >>> left, right = fastcnn.Input((3,)), fastcnn.Input((3,))
        >>> y = layers.Concatenate()([inner(left), inner(right)])
        >>> fastcnn.Model([left, right], y).count_params()
        16
        """
        where = f"{self._where}: inputs"
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if not any(isinstance(each, SymbolicTensor) for each in given):
            if training:
                raise ArgumentError(f"{self._where}: training: True came with arrays, wanted False")
            return self.predict_on_batch(inputs)
        tensors = symbolic_inputs(inputs, where)
        if len(tensors) != len(self.input_names):
            raise ArgumentError(f"{where}: {len(tensors)} came, wanted {len(self.input_names)}")
        for tensor, shape in zip(tensors, self._input_shapes(), strict=True):
            if shape is not None and tensor.shape[1:] != shape:
                raise ShapeError(f"{where}: {tensor.name!r} has {tensor.shape[1:]}, the model wants {shape}")
        call = object()
        count = len(self.inner_calls()[1])
        return _one_or_list([SymbolicTensor(self, tensors, index, call) for index in range(count)])

    def _input_shapes(self) -> list[Shape | None]:
        return [self._shape]

    @property
    def declared_shape(self) -> Shape | None:
        """Of one sample, if it is known."""
        return self._shape

    def adopt_shape(self, shape: Shape) -> None:
        """A network that this model is part of knows its input's shape."""
        if self._shape is None:
            self._shape = shape

    def attach(self, model: BaseModel) -> None:
        """Enter another model: nothing to do, as the layers know their networks."""

    def detach(self, model: BaseModel) -> None:
        """Leave another model."""

    def made(self, tensor: SymbolicTensor) -> None:
        """A call made this tensor."""

    @abc.abstractmethod
    def _join(self, shape: Shape) -> Network:
        """The layers as a network, for samples of ``shape``."""

    @abc.abstractmethod
    def _parts(self, described: Callable[[Any], Any]) -> dict[str, Any]:
        """The architecture, each layer as `described` has it."""

    def get_config(self) -> dict[str, Any]:
        """The architecture as plain values."""
        return self._parts(serialize)

    @classmethod
    @abc.abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> BaseModel:
        """Make the model that `get_config` described, with new weights."""

    def to_json(self, **options: Any) -> str:
        """`get_config` as JSON for `models.model_from_json`; ``options`` are those of ``json.dumps``.

        Examples
        --------
        >>> from fastcnn import Sequential, layers, models
        >>> model = Sequential([layers.Dense(2, input_shape=(3,))])
        >>> models.model_from_json(model.to_json()).output_shape
        (None, 2)
        """
        import json  # only now, as it is slow

        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **options)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
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

    @property
    def trainable(self) -> bool:
        """Whether any layer trains. Setting it sets all layers; it holds from the next `compile` on."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    # Building

    @property
    def built(self) -> bool:
        """Whether shapes are bound and weights exist."""
        return self._network is not None

    @property
    def input_shape(self) -> Any:
        """``(None, ...)``, where None is the batch; of several inputs a list."""
        return _one_or_list([(None, *shape) for shape in self._bind().input_shapes])

    @property
    def output_shape(self) -> Any:
        """``(None, ...)``, where None is the batch; of several outputs a list."""
        return _one_or_list([(None, *shape) for shape in self._bind().output_shapes])

    def _bind(self, shape: Shape | None = None) -> Network:
        if self._measuring is not None and self._measuring == threading.get_ident():
            raise ArgumentError(
                f"{self._where}: in use: a loss of your own must not use the model that it measures"
            )
        network = self._network
        if network is not None:  # without the lock, which a forked child might find taken
            network.pull()
            return network
        with self._lock:
            if self._network is None:
                shape = self._shape or shape
                if shape is None:
                    raise ArgumentError(
                        f"{self._where}: the input's shape is not known; begin with Input(shape=...), "
                        "or call build(input_shape) or fit first"
                    )
                network = self._join(shape)
                network.initialize(self._seed, self._carried)
                if self._settings is not None:
                    self._settings.apply(network)
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
        """Copies of all weights in the order of `layers`, kernel before bias.

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
        network = self._bind()
        network.set_all(arrays)
        network.changed()

    @property
    def weights(self) -> list[Array]:
        """What `get_weights` returns."""
        return self.get_weights()

    @property
    def trainable_weights(self) -> list[Array]:
        """Copies of the weights that training changes, in the order of `get_weights`. May be assigned."""
        network = self._bind()
        weights = network.get_weights()
        return [weights[index] for index in network.trained()]

    @trainable_weights.setter
    def trainable_weights(self, weights: Sequence[Any]) -> None:
        network = self._bind()
        where = f"{self._where}: trainable_weights"
        given, indices = listed(weights, where, "arrays"), network.trained()
        if len(given) != len(indices):
            raise ArgumentError(f"{where}: {len(given)} arrays came, wanted {len(indices)}")
        everything = network.get_weights()
        for index, value in zip(indices, given, strict=True):
            everything[index] = np.asarray(value)
        self.set_weights(everything)

    @property
    def trainable_variables(self) -> list[Array]:
        """What `trainable_weights` returns."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Array]:
        """What `non_trainable_weights` returns."""
        return self.non_trainable_weights

    @property
    def non_trainable_weights(self) -> list[Array]:
        """Copies of the others: frozen ones, and moving statistics."""
        network = self._bind()
        trained = set(network.trained())
        return [each for index, each in enumerate(network.get_weights()) if index not in trained]

    def get_layer_weights(self, layer: Layer) -> list[Array]:
        """What ``layer.get_weights()`` returns."""
        return self._bind().get_weights(layer)

    def set_layer_weights(self, layer: Layer, weights: Sequence[Any]) -> None:
        """What ``layer.set_weights(weights)`` does."""
        self._bind().set_weights(weights, layer)

    def count_params(self) -> int:
        """How many numbers the model learns."""
        return sum(math.prod(parameter.shape) for parameter in self._bind().parameters)

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
        self._bind().changed()
        self._permutations, self._seed = permutations, native.seed
        if self._settings is not None:
            self.optimizer.follow(native.step, native.learning_rate)

    def save(self, filepath: Path, overwrite: bool = True) -> None:
        """Write the model into one safetensors file; `fastcnn.load_model` reads it.

        See `fastcnn.io.save_model`.
        """
        from fastcnn.io import save_model

        save_model(self, filepath, overwrite)

    def save_weights(self, filepath: Path, overwrite: bool = True) -> None:
        """Write the weights alone into a safetensors file; `load_weights` reads it.

        Parameters
        ----------
        filepath
            The file.
        overwrite
            Whether an existing one may be replaced.

        Raises
        ------
        OSError
            The file cannot be written, or exists and ``overwrite`` is False.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from fastcnn import Sequential, layers
        >>> first, second = (Sequential([layers.Dense(1, input_shape=(2,))]) for _ in range(2))
        >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
        >>> first.save_weights(path)
        >>> second.load_weights(path)
        >>> bool((first.get_weights()[0] == second.get_weights()[0]).all())
        True
        """
        from fastcnn.io import save_weights

        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Path, skip_mismatch: bool = False) -> None:
        """Take over weights that `save_weights` wrote, by their order: names of layers may differ.

        Parameters
        ----------
        filepath
            The file.
        skip_mismatch
            Whether weights of other shapes than the model's are left out, rather than refused.

        Raises
        ------
        FormatError
            The file is damaged, holds no weights of a model, or others than this model's.
        OSError
            The file cannot be read.
        """
        from fastcnn.io import load_weights

        load_weights(self, filepath, skip_mismatch)

    # Copies

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and ``copy.deepcopy``: layers, weights, optimizer state, random-number position.

        Models that share layers and are copied together share the copies. What is compiled is pickled as it
        is, functions of your own among it.
        """
        state = self.get_state() if self.built else None
        if state is None and self._carried:
            raise ArgumentError(f"{self._where}: it cannot be copied before it is built anew")
        return _restore, (
            type(self),
            self._parts(lambda layer: layer),
            self._settings,
            state,
            self._seed,
            self._permutations,
        )

    # Descriptions

    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print the table of layers: output shape, parameters, arithmetic and memory traffic of one sample.

        A multiplication and an addition count as two FLOPs; bytes are the activations that a layer reads and
        writes, float32.

        Parameters
        ----------
        line_length
            Characters of a line of the table; None means as many as it needs.
        print_fn
            Takes the text in place of ``print``.
        expand_nested
            Whether the layers of models among the layers have rows of their own.
        show_trainable
            Whether a column says which layers train.

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
            rows = [
                Row(layer.name, type(layer).__name__, None, None, None, None, trainable=layer.trainable)
                for layer in self.layers
            ]
        else:
            rows = self._bind().rows(flag(expand_nested, "summary: expand_nested"))
        length = None if line_length is None else integer(line_length, "summary: line_length", least=1)
        (print_fn or print)(render(self.name, rows, length, flag(show_trainable, "summary: show_trainable")))

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


def _restore(
    kind: type[BaseModel],
    config: Mapping[str, Any],
    settings: Any,
    state: Mapping[str, Array] | None,
    seed: int,
    permutations: int,
) -> BaseModel:
    """What `BaseModel.__reduce__` took apart."""
    model = kind.from_config(config)
    model._seed, model._permutations, model._settings = seed, permutations, settings
    if state is not None:
        if settings is not None:
            settings.apply(model._bind())
        model.set_state(state)
    return model


def from_description(description: object, where: str) -> Any:
    """A layer, or a model that stood among layers; one that is made already as it is."""
    from fastcnn import models

    if isinstance(description, (Layer, BaseModel)):
        return description

    kinds: dict[str, Any] = {**CLASSES, "Model": models.Model, "Sequential": models.Sequential}
    return deserialize(description, kinds, where)


def _one_or_list(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values

# SPDX-License-Identifier: Apache-2.0
"""What all models share: layers that are joined into a native model when it is first needed."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from fastcnn import _names, _random
from fastcnn._absent import without
from fastcnn._arguments import Array, choose, integer, listed
from fastcnn._arguments import shape as as_shape
from fastcnn._config import deserialize, serialize
from fastcnn._graph.network import Carried, Network, Shape, layers_within, parameter_shapes
from fastcnn._graph.symbolic import SymbolicTensor, phase_of, symbolic_inputs
from fastcnn._graph.walk import Call
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.layers import CLASSES, InputLayer, Layer, Normalization
from fastcnn.layers.augmentation import Augmentation
from fastcnn.models.tables import Described

Graph: TypeAlias = tuple[Sequence[Call], Sequence[int], Sequence["Layer | BaseModel"]]
"""Calls, which of them are outputs, and the layers in the order of the weights; of none that of the calls."""

_STEPS = ("train_step", "test_step", "predict_step", "compute_loss")  # that classes of one's own may not have

_UNBUILT: ContextVar[bool] = ContextVar("unbuilt", default=False)


@contextlib.contextmanager
def unbuilt() -> Iterator[None]:
    """Models that are made within it are built when they are first used: no weights exist before."""
    token = _UNBUILT.set(True)
    try:
        yield
    finally:
        _UNBUILT.reset(token)


class BaseModel(Described, abc.ABC):
    """A network of layers; `Sequential` and `Model` say how they join."""

    def __init__(self, name: str | None) -> None:
        super().__init__()
        self.name = _names.name_for(self, name)
        for method in _STEPS:
            if hasattr(type(self), method):
                raise ArgumentError(
                    f"{self._where}: {method}: a step is one native call, wanted a loop of your own with "
                    "gradients(x, y) and optimizer.apply, or a loss (value, gradient)"
                )
        self._shape: Shape | None = None  # of one sample of the first input; None as long as it is not known
        self._network: Network | None = None
        self._carried: Carried = {}  # weights that outlive a change of the layers
        self._seed = _random.next_seed()
        self._lock = threading.RLock()
        self.at_once: dict[Any, Any] = {}  # models of calls on arrays

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    if not TYPE_CHECKING:  # for which there are no other attributes

        def __getattr__(self, name: str) -> Any:
            raise without(type(self).__name__, name)

    _kind: ClassVar[str]  # the class that describes it
    composed = True  # its calls stand for those of its layers

    @property
    def traced(self) -> bool:
        """Whether the layers are known."""
        return True

    def prepare(self, shapes: Sequence[Callable[[], Shape]]) -> None:
        """A call on inputs of these shapes comes: the first one says the layers of a model of your own."""

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

    def __call__(self, inputs: Any, training: Any = None) -> Any:
        """Join the model into a graph, as layers are; or predict, if arrays come.

        The other model shares the weights: whichever of both is trained, both have changed.

        Parameters
        ----------
        inputs
            What `fastcnn.Input` or another layer gave, or samples; a list for several inputs.
        training
            False: batch norm takes its moving statistics, dropout and augmentation do nothing, in training
            of the other model too. None: as that model does. With arrays nothing is trained; True computes
            what training does: dropout and augmentation draw, batch norm follows the batch. None means
            False, but a model that does nothing but augment draws, as in Keras.

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
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if not any(isinstance(each, SymbolicTensor) for each in given):
            return self._of_arrays(inputs, training)
        where = f"{self._where}: inputs"
        tensors, phase = symbolic_inputs(inputs, where), phase_of(training, self._where)
        self.prepare([partial(getattr, each, "sample_shape") for each in tensors])
        if len(tensors) != len(self.input_names):
            raise ArgumentError(f"{where}: {len(tensors)} came, wanted {len(self.input_names)}")
        for tensor, shape in zip(tensors, self._input_shapes(), strict=True):
            if shape is not None and tensor.shape[1:] != shape:
                raise ShapeError(f"{where}: {tensor.name!r} has {tensor.shape[1:]}, the model wants {shape}")
        call = object()
        count = len(self.inner_calls()[1])
        made = [SymbolicTensor(self, tensors, index, call, training=phase) for index in range(count)]
        return _one_or_list(made)

    def _of_arrays(self, inputs: Any, training: Any) -> Any:
        if training is None and self._augments():
            training = True
        if training is None or training is False:
            return self.predict_on_batch(inputs)
        from fastcnn.models.at_once import called

        return called(self, inputs, training, self._where)

    def _augments(self) -> bool:
        """Whether all that the model does is to change images."""
        if not self.traced or any(
            each.weight_initializers and not isinstance(each, Normalization) for each in layers_within(self)
        ):
            return False
        return any(isinstance(each, Augmentation) for each in layers_within(self))

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
    def _graph(self, shape: Shape) -> Graph:
        """What a `Network` is made of, for samples of ``shape``."""

    def parameter_shapes(self) -> dict[str, Shape]:
        """Of the native model's parameters, by their names; the model need not be built, and is not."""
        calls, outputs, _ = self._graph(self._known(self._shape))
        return parameter_shapes(calls, outputs)

    @abc.abstractmethod
    def _parts(self, described: Callable[[Any], Any]) -> dict[str, Any]:
        """The architecture, each layer as `described` has it."""

    def get_config(self) -> dict[str, Any]:
        """The architecture as plain values; a model of your own is described as a `Model` of its layers."""
        return self._parts(serialize)

    def described(self) -> dict[str, Any]:
        """``{"class_name": ..., "config": ...}``, of a class of the package."""
        return {"class_name": self._kind, "config": self._parts(serialize)}

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

        return json.dumps(self.described(), **options)

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
        """Whether shapes are bound and weights exist. An assignment, as in Keras's models, says nothing."""
        return self._network is not None

    @built.setter
    def built(self, value: bool) -> None:
        pass

    @property
    def input_shape(self) -> Any:
        """``(None, ...)``, where None is the batch; of several inputs a list."""
        return _one_or_list([(None, *shape) for shape in self._bind().input_shapes])

    @property
    def output_shape(self) -> Any:
        """``(None, ...)``, where None is the batch; of several outputs a list."""
        return _one_or_list([(None, *shape) for shape in self._bind().output_shapes])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """What the model makes of ``(None, ...)``, or of a list of them.

        >>> from fastcnn import Sequential, layers
        >>> Sequential([layers.Conv2D(8, 3), layers.Flatten()]).compute_output_shape((None, 5, 5, 1))
        (None, 72)
        """
        several = isinstance(input_shape, list)
        where = f"{self._where}: compute_output_shape: input_shape"
        inputs = [
            SymbolicTensor(InputLayer(as_shape(listed(each, where, "integers")[1:], where)), ())
            for each in (input_shape if several else [input_shape])
        ]
        made = self(inputs if several else inputs[0])
        return [each.shape for each in made] if isinstance(made, list) else made.shape

    @property
    def dtype(self) -> str:
        """Always "float32"."""
        return "float32"

    compute_dtype = variable_dtype = dtype

    def export(self, *arguments: Any, **named: Any) -> None:
        """Formats of other libraries are refused: ``save`` writes a file that `fastcnn.load_model` reads.

        Raises
        ------
        ArgumentError
            Always.
        """
        raise ArgumentError(
            f"{self._where}: export: wanted save(path) and fastcnn.load_model(path), the one format there is"
        )

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
                shape = self._known(self._shape or shape)
                network = Network(*self._graph(shape))
                network.initialize(self._seed, self._carried)
                if self._settings is not None:
                    self._settings.apply(network)
                self._network, self._shape, self._carried = network, shape, {}
            return self._network

    def _known(self, shape: Shape | None) -> Shape:
        if shape is None:
            raise ArgumentError(
                f"{self._where}: the input's shape is not known; begin with Input(shape=...), "
                "or call build(input_shape) or fit first"
            )
        return shape

    def _settle(self, shape: Shape | None = None) -> None:
        """Build a model whose shape is known, so that a layer that does not fit is told of here."""
        if _UNBUILT.get():
            self._shape = self._shape or shape
        else:
            self._bind(shape)

    def _binding(self) -> contextlib.AbstractContextManager[None]:
        return self._bound_or_not()

    @contextlib.contextmanager
    def _bound_or_not(self) -> Iterator[None]:
        bound = self._shape is not None
        try:
            yield
        except BaseException:
            if not bound:
                self._network = self._shape = None
            raise

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

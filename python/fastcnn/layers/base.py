# SPDX-License-Identifier: Apache-2.0
"""What all layers share: a name, a configuration, native nodes, and weights through the model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from fastcnn import _names, constraints, initializers, regularizers
from fastcnn._absent import unexpected, without
from fastcnn._arguments import choose, flag, integer, real, shape
from fastcnn._config import Configurable, serialize
from fastcnn._graph.symbolic import Phase, SymbolicTensor, phase_of, symbolic_inputs
from fastcnn.constraints import Constraint
from fastcnn.errors import ArgumentError
from fastcnn.layers.common import Common as Common
from fastcnn.layers.common import Idle as Idle
from fastcnn.layers.own import Own
from fastcnn.regularizers import Regularizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


L = TypeVar("L", bound="Layer")

Node: TypeAlias = dict[str, Any]
"""One operator for the native module: "op" and its attributes."""

_PLAIN = (
    "relu", "sigmoid", "tanh", "softmax", "log_softmax", "relu6", "selu", "gelu", "gelu_tanh", "silu", "mish",
    "softplus", "softsign", "log_sigmoid", "exponential", "hard_sigmoid", "hard_silu", "hard_tanh",
    "tanh_shrink", "sparse_plus", "sparse_sigmoid",
)  # fmt: skip

ACTIVATIONS: dict[str, list[Node]] = {
    "linear": [],
    **{name: [{"op": name}] for name in _PLAIN},
    # With Keras's defaults for what a name alone does not say.
    "leaky_relu": [{"op": "leaky_relu", "negative_slope": 0.2}],
    "elu": [{"op": "elu", "alpha": 1.0}],
    "celu": [{"op": "celu", "alpha": 1.0}],
    "hard_shrink": [{"op": "hard_shrink", "threshold": 0.5}],
    "soft_shrink": [{"op": "soft_shrink", "threshold": 0.5}],
    "squareplus": [{"op": "squareplus", "b": 4.0}],
    "swish": [{"op": "silu"}],
    "hard_swish": [{"op": "hard_silu"}],
}


class Layer(Configurable, Own):
    """Base of all layers. These arguments every layer takes, by keyword.

    Parameters
    ----------
    name
        Unique within a model; None means Keras's automatic name (``conv2d``, ``conv2d_1``).
    input_shape
        Of one sample, for the first layer of a `fastcnn.Sequential`; of rows ``input_dim=8`` says the same.
    trainable
        Whether `fit` changes the weights.
    dtype
        None or "float32".
    autocast
        True or False, without effect.
    learning_rate_multiplier
        Above 0: the layer learns at so many times the optimizer's rate.
    kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint
        None, or what `fastcnn.regularizers` and `fastcnn.constraints` hold, by name or as objects; where a
        layer's weights are called otherwise, so are these: ``depthwise_regularizer``, ``gamma_constraint``.
    seed, noise_shape
        Of layers that draw, for Keras's sake: a number without effect, as what they draw follows from the
        model's seed and its step; None.
    """

    _prefixes: ClassVar[dict[str, str]] = {}  # of regularizers and constraints, by the role of weights
    _statistics: ClassVar[tuple[str, ...]] = ()  # roles of weights that are not learnt
    _idle: ClassVar[tuple[str, ...]] = ()  # arguments that change nothing
    is_operation = False  # made by + - * /, or by a function: no layer in Keras's ``model.layers``

    def __init__(self, **common: Unpack[Idle]) -> None:
        super().__init__()
        given: dict[str, Any] = dict(common)
        self.name = _names.name_for(self, given.pop("name", None))
        declared, size = given.pop("input_shape", None), given.pop("input_dim", None)
        if declared is None and size is not None:
            declared = [size]
        self.declared_shape = None if declared is None else shape(declared, self._where("input_shape"))
        self._tensors: list[weakref.ref[SymbolicTensor]] = []  # that calls made
        self._trainable = flag(given.pop("trainable", True), self._where("trainable"))
        if given.pop("dtype", None) not in (None, "float32"):
            where = self._where("dtype")
            raise ArgumentError(f"{where}: {common['dtype']!r} came, wanted 'float32', the only one")
        flag(given.pop("autocast", True), self._where("autocast"))
        self.learning_rate_multiplier = given.pop("learning_rate_multiplier", 1.0)
        for argument in self._idle:
            self._check_idle(argument, given.pop(argument, None))
        if given.pop("activity_regularizer", None) is not None:
            raise ArgumentError(
                f"{self._where('activity_regularizer')}: {common['activity_regularizer']!r} came, wanted "
                "None: only weights can be regularized"
            )
        self._trace = None
        self._rules: dict[str, Regularizer | Constraint | None] = {}  # by argument
        for prefix in self._prefixes.values():
            for kind, module in (("regularizer", regularizers), ("constraint", constraints)):
                argument = f"{prefix}_{kind}"
                self._rules[argument] = module.get(given.pop(argument, None), self._where(argument))
        if given:
            known = (*self._fields, *Common.__annotations__)
            raise unexpected(type(self).__name__, next(iter(given)), known)
        self._own = frozenset((*self.__dict__, "_own"))

    def _check_idle(self, argument: str, value: object) -> None:
        where = self._where(argument)
        if value is not None and argument == "seed":
            integer(value, where)
        elif value is not None:
            raise ArgumentError(f"{where}: {value!r} came, wanted None")

    def __call__(self, inputs: Any, *more: Any, training: Any = None, mask: None = None) -> SymbolicTensor:
        """Join the layer into a graph, for `fastcnn.Model`. Called again, it shares its weights.

        Parameters
        ----------
        inputs
            What `fastcnn.Input` or another layer gave; a list for a layer that reads several. Or arrays, of
            which the layer makes arrays at once.
        more
            Of a layer of your own, what else its ``call`` takes.
        training
            False: batch norm takes its moving statistics, dropout and augmentation do nothing, in training
            too (where Keras 3.15 forgets it). None, or what ``call`` was given: as the model does. Of arrays
            False, which None means, or True.
        mask
            None.

        Raises
        ------
        ShapeError, ArgumentError, DTypeError
            The inputs do not fit the layer; the message names it.
        """
        if mask is not None:
            raise ArgumentError(f"{self._where('mask')}: {mask!r} came, wanted None")
        given = [inputs, *more] if more else inputs
        first = given[0] if isinstance(given, (list, tuple)) and given else given
        if isinstance(first, np.ndarray):
            from fastcnn.models.at_once import called

            phase = None if isinstance(training, Phase) else training
            return called(self, given, phase, self._where())  # type: ignore[no-any-return]  # arrays
        tensors, phase = symbolic_inputs(given, self._where("inputs")), phase_of(training, self._where())
        if not self.composed:
            return SymbolicTensor(self, tensors, training=phase)
        self.prepare([partial(getattr, each, "sample_shape") for each in tensors])
        call, count = object(), len(self.inner_calls()[1])
        made = [SymbolicTensor(self, tensors, index, call, training=phase) for index in range(count)]
        return made[0] if count == 1 else made  # type: ignore[return-value]  # as many as call returned

    @property
    def trainable(self) -> bool:
        """Whether `fit` changes the weights. An assignment holds from the next `compile` on, as in Keras."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(value, self._where("trainable"))
        if self.composed and (not self._trainable or self.traced):
            for each in self.layers:
                each.trainable = self._trainable

    @property
    def learning_rate_multiplier(self) -> float:
        """Times the optimizer's learning rate. An assignment holds from the next `compile` on."""
        return self._multiplier

    @learning_rate_multiplier.setter
    def learning_rate_multiplier(self, value: float) -> None:
        where = self._where("learning_rate_multiplier")
        self._multiplier = real(value, where, least=0)
        if self._multiplier == 0:
            raise ArgumentError(f"{where}: 0 came, wanted a number above 0; trainable=False freezes a layer")

    def __getattr__(self, name: str) -> Any:
        rules = self.__dict__.get("_rules", {})
        if name in rules:
            return rules[name]
        if name in self._prefixes or name in self._statistics:
            return self.weight(name)
        raise without(type(self).__name__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._prefixes or name in self._statistics:
            self.set_weight(name, value)  # an attribute would hide the weights and change none
        else:
            super().__setattr__(name, value)

    def rule(self, role: str, rank: int) -> dict[str, Any]:
        """What holds for weights of a role in training, as the native module reads it."""
        rule: dict[str, Any] = {} if self._multiplier == 1 else {"rate": self._multiplier}
        prefix = self._prefixes.get(role, "")
        regularizer = self._rules.get(f"{prefix}_regularizer")
        if isinstance(regularizer, Regularizer):
            rule |= {"l1": regularizer.l1, "l2": regularizer.l2}
        constraint = self._rules.get(f"{prefix}_constraint")
        if isinstance(constraint, Constraint):
            rule["constraint"] = constraint.native(rank, self._where(f"{prefix}_constraint"))
        return rule

    def nodes(self) -> list[Node]:
        """The layer's native operators, each fed by the one before, or by what its "reads" names.

        Those are inputs of the layer, from 0 on, or nodes before this one, from -1 backwards.
        """
        raise ArgumentError(f"{self._where()}: the class has no call, wanted one written with other layers")

    @property
    def built(self) -> bool:
        """Whether the layer has its weights; an assignment, as Keras's layers make it, says nothing."""
        return self.network is not None or any(model.built for model in self._living())

    @built.setter
    def built(self, value: bool) -> None:
        pass

    @property
    def dtype(self) -> str:
        """Always "float32"."""
        return "float32"

    compute_dtype = variable_dtype = dtype

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What the layer's parameters start from, by role ("kernel", "bias")."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The name, whether it trains, and the constructor's arguments, as plain values."""
        rules = {key: serialize(value) for key, value in self._rules.items() if value is not None}
        changed: dict[str, Any] = {}
        if self._multiplier != 1:
            changed["learning_rate_multiplier"] = self._multiplier
        if self.is_operation:
            changed["is_operation"] = True
        return {"name": self.name, "trainable": self.trainable, **super().get_config(), **rules, **changed}

    @classmethod
    def from_config(cls: type[L], config: Mapping[str, Any]) -> L:
        """Make a layer from what `get_config` gave.

        Raises
        ------
        ArgumentError, DTypeError
            An argument is missing, unknown or wrong.
        """
        arguments = dict(config)
        trainable = arguments.pop("trainable", True)
        operation = arguments.pop("is_operation", False)
        layer = super().from_config(arguments)
        layer.trainable = trainable
        layer.is_operation = flag(operation, layer._where("is_operation"))
        return layer

    def made(self, tensor: SymbolicTensor) -> None:
        """A call made this tensor."""
        self._tensors = [each for each in self._tensors if each() is not None]
        self._tensors.append(weakref.ref(tensor))

    @property
    def output(self) -> SymbolicTensor:
        """What the layer's first call gave: the end of a model of what leads there, or more layers' input.

        Raises
        ------
        ArgumentError
            The layer has not been called, and stands in no model whose input's shape is known.

        Examples
        --------
        >>> from fastcnn import Model, Sequential, layers
        >>> model = Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 1)), layers.Flatten()])
        >>> features = Model(model.inputs, model.layers[0].output)
        >>> features.output_shape
        (None, 6, 6, 4)
        """
        tensor = self._first_tensor()
        if tensor is None:
            for model in self._living():
                model.trace()
            tensor = self._first_tensor()
        if tensor is None:
            raise ArgumentError(
                f"{self._where()}: output: the layer has not been called and stands in no model"
            )
        return tensor

    @property
    def input(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the layer's first call read; a list if it was several."""
        inputs = list(self.output.inputs)
        return inputs[0] if len(inputs) == 1 else inputs

    def _first_tensor(self) -> SymbolicTensor | None:
        return next((each for each in (ref() for ref in self._tensors) if each is not None), None)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without the models that the layer stands in, and so without weights."""
        outside: dict[str, Any] = {
            "_models": [],
            "_tensors": [],
            "_networks": (),
            "_latest": None,
            "version": 0,
            "_trace": None,
            "at_once": {},
        }
        return {**self.__dict__, **outside}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _networks=weakref.WeakSet())

    def _where(self, argument: str | None = None) -> str:
        where = f"{type(self).__name__} {self.name!r}"
        return where if argument is None else f"{where}: {argument}"


class Activated(Layer):
    """A layer with an activation."""

    _activation: str | None = None

    @property
    def activation(self) -> Callable[..., Any]:
        """A function of `fastcnn.activations`. Another, or a name, may be assigned before it is built."""
        from fastcnn import activations

        if self._activation == "gelu_tanh":  # which Keras has no name for
            return partial(activations.gelu, approximate=True)
        return activations.get(self._activation)

    @activation.setter
    def activation(self, value: Any) -> None:
        name = activation_name(value, self._where("activation"))
        if self._activation not in (None, name) and self.built:
            raise ArgumentError(
                f"{self._where('activation')}: {name!r} came for {self._activation!r} in a model that is "
                "built; make a layer with it, and set_weights what this one's get_weights gives"
            )
        self._activation = name

    def _argument(self, field: str) -> Any:
        return self._activation if field == "activation" else super()._argument(field)

    def _activating(self) -> list[Node]:
        """The activation's operator, if it is not linear."""
        return ACTIVATIONS[self._activation or "linear"]


class WeightedLayer(Activated):
    """A layer with a kernel, a bias and a fused activation."""

    _prefixes: ClassVar[dict[str, str]] = {"kernel": "kernel", "bias": "bias"}

    _fields: ClassVar[tuple[str, ...]] = (
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
    )

    use_bias: bool
    kernel_initializer: initializers.Initializer
    bias_initializer: initializers.Initializer

    def _set_weighted(
        self, activation: Any, use_bias: bool, kernel_initializer: Any, bias_initializer: Any
    ) -> None:
        self.activation = activation
        self.use_bias = flag(use_bias, self._where("use_bias"))
        self.kernel_initializer = initializers.get(kernel_initializer, self._where("kernel_initializer"))
        self.bias_initializer = initializers.get(bias_initializer, self._where("bias_initializer"))

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What kernel and bias start from."""
        return {"kernel": self.kernel_initializer, "bias": self.bias_initializer}


def activation_name(activation: Any, where: str) -> str:
    """The name of an activation given as its name, as None, or as a function of `fastcnn.activations`."""
    if activation is None:
        return "linear"
    if callable(activation):
        from fastcnn import activations, ops

        name = getattr(activation, "__name__", "")
        if activation in (getattr(activations, name, None), getattr(ops, name, None)):
            return str(name)
    choose(activation, ACTIVATIONS, where)
    return str(activation)

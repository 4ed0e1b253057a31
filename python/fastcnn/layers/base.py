# SPDX-License-Identifier: Apache-2.0
"""What all layers share: a name, a configuration, native nodes, and weights through the model."""

from __future__ import annotations

import abc
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from fastcnn import _names, initializers
from fastcnn._arguments import choose, flag, shape
from fastcnn._config import Configurable
from fastcnn._symbolic import SymbolicTensor, symbolic_inputs
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn._arguments import Array
    from fastcnn.models.base import BaseModel

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


class Layer(Configurable, abc.ABC):
    """Base of all layers.

    Attributes
    ----------
    name
        Unique within a model; Keras's automatic name (``conv2d``, ``conv2d_1``) if none was given.
    """

    def __init__(self, *, name: str | None = None, input_shape: Sequence[int] | None = None) -> None:
        self.name = _names.name_for(self, name)
        self.declared_shape = None if input_shape is None else shape(input_shape, self._where("input_shape"))
        self._model: weakref.ref[BaseModel] | None = None
        self._trainable = True

    def __call__(self, inputs: SymbolicTensor | Sequence[SymbolicTensor]) -> SymbolicTensor:
        """Join the layer into a graph, for `fastcnn.Model`. Called again, it shares its weights.

        Parameters
        ----------
        inputs
            What `fastcnn.Input` or another layer gave; a list for a layer that reads several.

        Raises
        ------
        ShapeError, ArgumentError, DTypeError
            The inputs do not fit the layer; the message names it.
        """
        return SymbolicTensor(self, symbolic_inputs(inputs, self._where("inputs")))

    @property
    def trainable(self) -> bool:
        """Whether `fit` changes the weights. An assignment holds from the next `compile` on, as in Keras."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(value, self._where("trainable"))

    @abc.abstractmethod
    def nodes(self) -> list[Node]:
        """The layer's native operators, each fed by the one before."""

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What the layer's parameters start from, by role ("kernel", "bias")."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The name, whether it trains, and the constructor's arguments, as plain values."""
        return {"name": self.name, "trainable": self.trainable, **super().get_config()}

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
        layer = super().from_config(arguments)
        layer.trainable = trainable
        return layer

    @property
    def model(self) -> BaseModel:
        """The model that the layer stands in.

        Raises
        ------
        ArgumentError
            There is none.
        """
        model = self._owner()
        if model is None:
            raise ArgumentError(f"{self._where()}: the layer stands in no model and has no weights yet")
        return model

    def attach(self, model: BaseModel | None) -> None:
        """Enter a model, or leave it (None); the model calls this."""
        owner = self._owner()
        if model is not None and owner is not None and owner is not model:
            raise ArgumentError(f"{self._where()}: the layer already stands in the model {owner.name!r}")
        self._model = None if model is None else weakref.ref(model)

    def get_weights(self) -> list[Array]:
        """Copies of the layer's weights: kernel, then bias."""
        return self.model.get_layer_weights(self)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the layer's weights, in the order and shapes of `get_weights`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The weights do not fit; nothing has changed.
        """
        self.model.set_layer_weights(self, weights)

    def count_params(self) -> int:
        """How many numbers the layer learns."""
        return self.model.count_params(self)

    def _owner(self) -> BaseModel | None:
        return None if self._model is None else self._model()

    def _where(self, argument: str | None = None) -> str:
        where = f"{type(self).__name__} {self.name!r}"
        return where if argument is None else f"{where}: {argument}"


class WeightedLayer(Layer):
    """A layer with a kernel, a bias and a fused activation."""

    _fields: ClassVar[tuple[str, ...]] = (
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
    )

    activation: str
    use_bias: bool
    kernel_initializer: initializers.Initializer
    bias_initializer: initializers.Initializer

    def _set_weighted(
        self, activation: Any, use_bias: bool, kernel_initializer: Any, bias_initializer: Any
    ) -> None:
        self.activation = activation_name(activation, self._where("activation"))
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
        from fastcnn import activations

        name = getattr(activation, "__name__", "")
        if getattr(activations, name, None) is activation:
            return str(name)
    choose(activation, ACTIVATIONS, where)
    return str(activation)

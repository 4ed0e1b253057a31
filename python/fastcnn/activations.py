# SPDX-License-Identifier: Apache-2.0
"""Activation functions on arrays, with Keras's names and defaults; on what layers give they make a layer.

Each may be given to a layer in place of its name; the layer then uses the default parameters.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import ops
from fastcnn._absent import absences
from fastcnn._arguments import choose
from fastcnn._config import reading
from fastcnn._graph.symbolic import SymbolicTensor, operation
from fastcnn.errors import ArgumentError
from fastcnn.layers.base import activation_name
from fastcnn.ops import (
    celu,
    elu,
    exponential,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
from fastcnn.ops.types import Array

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

swish = silu
hard_swish = hard_silu


def linear(x: Array) -> Array:
    """``x`` itself.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import activations
    >>> activations.linear(np.ones(1, np.float32))
    array([1.], dtype=float32)
    """
    return x


def relu(
    x: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """``max(x, 0)``, or what the parameters of `fastcnn.ops.general_relu` make of it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import activations
    >>> activations.relu(np.array([-2, 2, 9], np.float32), max_value=6)
    array([0., 2., 6.], dtype=float32)
    """
    if negative_slope == 0 and max_value is None and threshold == 0:
        return ops.relu(x)
    return ops.general_relu(x, negative_slope, max_value, threshold)


def gelu(x: Array, approximate: bool = False) -> Array:
    """`fastcnn.ops.gelu`, exact by default, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import activations
    >>> activations.gelu(np.ones(1, np.float32)).round(3)
    array([0.841], dtype=float32)
    """
    return ops.gelu(x, approximate)


def get(identifier: object) -> Callable[[Array], Array]:
    """An activation from its name, from None, which is `linear`, or itself.

    Raises
    ------
    ArgumentError
        The name is unknown.

    Examples
    --------
    >>> from fastcnn import activations
    >>> activations.get("relu") is activations.relu
    True
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    names = set(__all__) - {"get", "serialize", "deserialize"}
    found: Callable[[Array], Array] = choose(
        identifier, {name: globals()[name] for name in names}, "activations.get"
    )
    return found


def serialize(activation: Callable[..., Any]) -> str:
    """The name of a function of this module."""
    return activation_name(activation, "activations.serialize")


deserialize = reading(get)


def _on_either(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on arrays; of what layers give, a layer."""

    @functools.wraps(function)
    def call(x: Any, *parameters: Any, **named: Any) -> Any:
        if not isinstance(x, SymbolicTensor):
            return function(_as_float32(x), *parameters, **named)
        bound = inspect.signature(function).bind(x, *parameters, **named)
        bound.arguments.pop("x")
        return operation(_layer(function, bound.arguments), x)

    return call


def _as_float32(x: Any) -> Any:
    """Real numbers of another type, and lists of them, as Keras takes them."""
    if isinstance(x, (int, float, list, tuple)) or (isinstance(x, np.ndarray) and x.dtype.kind in "fiub"):
        return np.asarray(x, np.float32)
    return x


def _layer(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    from fastcnn import layers

    name = function.__name__
    kinds: dict[str, Any] = {"relu": layers.ReLU, "leaky_relu": layers.LeakyReLU, "elu": layers.ELU}
    kinds["softmax"] = layers.Softmax
    if name in kinds:
        defaults = {"negative_slope": 0.2} if name == "leaky_relu" else {}
        return kinds[name](**{**defaults, **given})
    defaults = {key: each.default for key, each in inspect.signature(function).parameters.items()}
    for key, value in given.items():
        if value != defaults[key]:
            raise ArgumentError(f"activations.{name}: {key}: {value!r} came, a layer takes the default alone")
    return layers.Activation(name)


_WRAPPED: dict[Any, Any] = {}  # two names of a function stay one
for _name in {*__all__} - {"get", "serialize", "deserialize"}:
    _function = globals()[_name]
    globals()[_name] = _WRAPPED.setdefault(_function, _on_either(_function))

__getattr__ = absences(__name__)

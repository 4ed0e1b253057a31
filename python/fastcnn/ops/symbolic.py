# SPDX-License-Identifier: Apache-2.0
"""Functions of ``ops`` on what layers give: a layer each, so that a ``call`` may be written with them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.ops.types import Array

Function = Callable[..., Any]


# What passes any arguments on takes a fifth of a small operator; so those below are the commonest by hand.
def activation(name: str, x: Any, parameters: tuple[float, ...], out: Array | None) -> Array:
    """The activation of an array; of what a layer gives, a layer."""
    try:
        return _native.activation(name, x, parameters, out)
    except TypeError:
        return _layer(name, (x, *parameters), out)


def of_two(function: Callable[..., Array], x: Any, y: Any, out: Array | None) -> Array:
    """The function of arrays, or of an array and axes; where one is what a layer gives, a layer.

    Of two numbers it is NumPy's: schedules of one's own are written so.
    """
    try:
        return function(x, y, out)
    except (TypeError, ShapeError):
        if out is None and function.__name__ in _OF_NUMBERS and _is_number(x) and _is_number(y):
            found: Array = getattr(np, function.__name__)(x, y)
            return found
        return _layer(function.__name__, (x, y), out)


def _layer(name: str, arguments: tuple[Any, ...], out: Array | None) -> Array:
    """In the place of a call that has just failed, unless that was for another reason."""
    if out is not None or not any(map(_is_symbolic, arguments)):
        raise  # what the call failed with
    layer: Array = LAYERS[name](*arguments)
    return layer


def on_either(name: str, function: Function) -> Function:
    """The function on arrays; on what layers give, what `LAYERS` has in its place."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:  # first, as arrays should not wait for a question
            return function(*arguments, **named)
        except TypeError:
            if not any(map(_is_symbolic, (*arguments, *named.values()))):
                raise
        return LAYERS[name](*arguments, **named)

    return call


_OF_NUMBERS = frozenset(("add", "maximum", "minimum", "multiply", "subtract"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.ndarray, np.generic)) and np.ndim(value) == 0


def _is_symbolic(value: Any) -> bool:
    from fastcnn._graph.symbolic import SymbolicTensor

    return isinstance(value[0] if isinstance(value, (list, tuple)) and value else value, SymbolicTensor)


def _activation(name: str) -> Function:
    def call(x: Any, *parameters: Any, **named: Any) -> Any:
        from fastcnn import activations

        return getattr(activations, name)(x, *parameters, **named)

    return call


def _merging(name: str) -> Function:
    def call(x1: Any, x2: Any) -> Any:
        from fastcnn import activations, layers
        from fastcnn._graph.symbolic import operation

        if name == "Maximum":
            for x, other in ((x1, x2), (x2, x1)):
                if isinstance(other, (int, float)) and other == 0:
                    return activations.relu(x)
        return operation(getattr(layers, name)(), [x1, x2])

    return call


def _concatenate(xs: Sequence[Any], axis: int = -1) -> Any:
    from fastcnn import layers
    from fastcnn._graph.symbolic import operation

    return operation(layers.Concatenate(axis), list(xs))


def _pooling(kind: str) -> Function:
    def call(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
        from fastcnn import layers
        from fastcnn._graph.symbolic import operation

        rank = x.ndim
        axes = [axis] if isinstance(axis, int) else list(axis or ())
        images = list(range(1, rank - 1))
        if not 3 <= rank <= 5 or sorted(each % rank for each in axes) != images:
            raise ArgumentError(
                f"ops.{_SHORT[kind]} of {x!r}: axis: {axis!r} came, wanted those that layers pool over, "
                f"{images}"
            )
        pooling = getattr(layers, f"Global{kind}Pooling{rank - 2}D")
        return operation(pooling(keepdims=keepdims), x)

    return call


def _reshape(x: Any, newshape: Sequence[int]) -> Any:
    from fastcnn import layers
    from fastcnn._graph.symbolic import operation

    if list(newshape[:1]) not in ([-1], [None]):
        raise ArgumentError(f"ops.reshape of {x!r}: {tuple(newshape)} came, wanted -1 first, for the batch")
    return operation(layers.Reshape(tuple(newshape[1:])), x)


def _transpose(x: Any, axes: Sequence[int]) -> Any:
    from fastcnn import layers
    from fastcnn._graph.symbolic import operation

    if not axes or axes[0] != 0:
        raise ArgumentError(f"ops.transpose of {x!r}: axes: {axes!r} came, wanted 0 first, for the batch")
    return operation(layers.Permute(tuple(axes[1:])), x)


def _expand_dims(x: Any, axis: int) -> Any:
    from fastcnn import layers
    from fastcnn._graph.symbolic import operation

    place = axis % (x.ndim + 1)
    if place == 0:
        raise ArgumentError(f"ops.expand_dims of {x!r}: axis: 0 came, which is the batch's")
    sizes = list(x.sample_shape)
    sizes.insert(place - 1, 1)
    return operation(layers.Reshape(tuple(sizes)), x)


def _squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    from fastcnn import layers
    from fastcnn._graph.symbolic import operation

    sizes = dict(enumerate(x.sample_shape, 1))
    given = [each for each in sizes if sizes[each] == 1] if axis is None else axis
    axes = [each % x.ndim for each in ([given] if isinstance(given, int) else given)]
    if any(sizes.get(each) != 1 for each in axes):
        raise ArgumentError(f"ops.squeeze of {x!r}: axis: {axis!r} came, wanted axes of size 1")
    left = [size for each, size in sizes.items() if each not in axes]
    return operation(layers.Reshape(tuple(left or [1])), x)


_SHORT = {"Average": "mean", "Max": "max", "Sum": "sum"}
LAYERS: dict[str, Function] = {
    **{
        name: _activation(name)
        for name in (
            *("celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid"),
            *("log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign"),
            *("squareplus", "tanh"),
        )
    },
    "exp": _activation("exponential"),
    **{name: _merging(name.title()) for name in ("maximum", "minimum")},
    "add": lambda x1, x2: x1 + x2,
    "subtract": lambda x1, x2: x1 - x2,
    "multiply": lambda x1, x2: x1 * x2,
    "divide": lambda x1, x2: x1 / x2,
    "square": lambda x: x**2,
    "negative": lambda x: -x,
    "concatenate": _concatenate,
    **{name: _pooling(kind) for kind, name in _SHORT.items()},
    "reshape": _reshape,
    "transpose": _transpose,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
}

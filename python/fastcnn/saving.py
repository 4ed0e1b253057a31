# SPDX-License-Identifier: Apache-2.0
"""Files of models, under the name that Keras has for them: `fastcnn.io` does the work.

Files hold no classes. What may be registered are losses and metrics of your own: `load_model` finds them by
name. A layer of your own is saved as those in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from fastcnn._absent import absences
from fastcnn.errors import DTypeError
from fastcnn.io import load_model, load_weights, save_model, save_weights
from fastcnn.layers import deserialize as deserialize_keras_object
from fastcnn.layers import serialize as serialize_keras_object

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]

T = TypeVar("T", bound=Callable[..., Any])

_registered: dict[str, Any] = {}


def get_custom_objects() -> dict[str, Any]:
    """Losses and metrics of your own that `load_model` knows without being told, by name."""
    return _registered


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Before a loss or a metric of your own: `load_model` knows it. Before a class of layers: no effect.

    Parameters
    ----------
    package
        Without effect.
    name
        None means the function's.

    Examples
    --------
    >>> from fastcnn import saving
    >>> @saving.register_keras_serializable()
    ... def halved(y_true, y_pred):
    ...     return ((y_true - y_pred) ** 2).mean() / 2
    >>> saving.get_custom_objects().pop("halved") is halved
    True
    """
    if callable(package):
        raise DTypeError(
            "register_keras_serializable: a function came, wanted () behind the decorator's name"
        )

    def register(thing: T) -> T:
        _registered[name or thing.__name__] = thing
        return thing

    return register


@contextlib.contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any]) -> Iterator[None]:
    """Losses and metrics of your own, by name, that `load_model` knows in a ``with`` block.

    Examples
    --------
    >>> from fastcnn import saving
    >>> with saving.custom_object_scope({"half": abs}):
    ...     "half" in saving.get_custom_objects()
    True
    >>> "half" in saving.get_custom_objects()
    False
    """
    before = dict(_registered)
    _registered.update(custom_objects)
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


CustomObjectScope = custom_object_scope

__getattr__ = absences(__name__)

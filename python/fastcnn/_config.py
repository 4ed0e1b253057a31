# SPDX-License-Identifier: Apache-2.0
"""Objects that a configuration of plain values describes: layers, initializers, optimizers, losses, metrics.

``{"class_name": ..., "config": {...}}`` holds the constructor's arguments. Classes are found by name in
closed tables, so a file can name nothing that is not in the package.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

from fastcnn._arguments import choose
from fastcnn.errors import ArgumentError, DTypeError

C = TypeVar("C", bound="Configurable")
T = TypeVar("T")


class Configurable:
    """An object made again by ``type(self)(**config)``."""

    _fields: ClassVar[tuple[str, ...]] = ()  # the constructor's arguments, each an attribute of the same name

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values."""
        return {field: _plain(self._argument(field)) for field in self._fields}

    def _argument(self, field: str) -> Any:
        """What the constructor was given, or what stands for it."""
        return getattr(self, field)

    @classmethod
    def from_config(cls: type[C], config: Mapping[str, Any]) -> C:
        """Make an object from what `get_config` gave.

        Raises
        ------
        ArgumentError, DTypeError
            An argument is missing, unknown or wrong.
        """
        try:
            return cls(**config)
        except DTypeError:
            raise
        except TypeError as error:
            raise ArgumentError(f"{cls.__name__}: {error}") from None

    def __repr__(self) -> str:
        arguments = ", ".join(f"{field}={self._argument(field)!r}" for field in self._fields)
        return f"{type(self).__name__}({arguments})"


def serialize(value: Configurable) -> dict[str, Any]:
    """``{"class_name": ..., "config": ...}``, plain values that the module's `deserialize` reads."""
    if getattr(value, "composed", False):  # a layer or model of the user's own is described by those in it
        return cast("dict[str, Any]", value.described())  # type: ignore[attr-defined]
    return {"class_name": type(value).__name__, "config": value.get_config()}


def reading(get: Callable[[Any], T]) -> Callable[..., T]:
    """A module's ``deserialize``, of its ``get``."""

    def deserialize(config: Any, custom_objects: object = None) -> T:
        """What `serialize` described; ``custom_objects`` has no effect: it is of a class of the package."""
        return get(config)

    return deserialize


def deserialize(description: object, classes: Mapping[str, type[C]], where: str) -> C:
    """The object that `serialize` described, its class out of ``classes``."""
    if not isinstance(description, Mapping) or set(description) != {"class_name", "config"}:
        raise ArgumentError(f"{where}: {description!r} came, wanted a class_name and a config")
    if not isinstance(description["config"], Mapping):
        raise ArgumentError(f"{where}: config is {description['config']!r}, wanted a dict")
    return choose(description["class_name"], classes, where).from_config(description["config"])


def named(*classes: type[C], **aliases: type[C]) -> dict[str, type[C]]:
    """A table of classes by snake-case name, class name and alias."""
    snakes = {snake_case(each.__name__): each for each in classes}
    return snakes | aliases | {each.__name__: each for each in classes}


def resolve(value: object, base: type[C], classes: Mapping[str, type[C]], where: str) -> C:
    """An object from itself, from its class, its name or its description."""
    if isinstance(value, base):
        return value
    if isinstance(value, type) and issubclass(value, base):
        return value()
    if isinstance(value, Mapping):
        return deserialize(value, classes, where)
    return choose(value, classes, where)()


@functools.lru_cache
def snake_case(name: str) -> str:
    """Keras's: ``MaxPooling2D`` is ``max_pooling2d``, ``ReLU`` is ``re_lu``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _plain(value: Any) -> Any:
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value

# SPDX-License-Identifier: Apache-2.0
"""Brings arguments into the one form that the native module reads: numbers, pairs, padding, names, arrays.

What can be told from one argument alone is told here, at the caller's own line; whatever needs shapes or data
(a kernel larger than its input, a label out of range) is for the native validator to say. ``where`` opens
each message: ``"Conv2D 'conv2d': kernel_size"``, ``"fit: x"``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fastcnn.errors import ArgumentError, DTypeError, ShapeError

T = TypeVar("T")
Array: TypeAlias = np.ndarray[Any, Any]
Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = str | int | Pair | tuple[Pair, Pair]
Sizes: TypeAlias = int | tuple[int, ...]
PaddingNd: TypeAlias = str | int | tuple[int, ...] | tuple[Pair, ...]


def choose(name: object, table: Mapping[str, T], where: str) -> T:
    """``table[name]``, or an error that names the nearest key."""
    if isinstance(name, str) and name in table:
        return table[name]
    hint = ""
    if isinstance(name, str):
        import difflib  # only now: it costs 3 ms

        near = difflib.get_close_matches(name.lower(), table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
    wanted = [key for key in table if key.islower()] or list(table)  # not both spellings of each name
    raise ArgumentError(f"{where}: unknown {name!r}, wanted one of {', '.join(map(repr, wanted))}{hint}")


def integer(value: object, where: str, least: int | None = None) -> int:
    """A whole number of any integer type, at least ``least``."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(f"{where}: {value!r} came, wanted an integer") from None
    if least is not None and number < least:
        raise ArgumentError(f"{where}: {number} came, wanted {least} or more")
    return number


def real(value: object, where: str, least: float = -math.inf, below: float = math.inf) -> float:
    """A finite real number of any type but str, with ``least <= number < below``."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DTypeError(f"{where}: {value!r} came, wanted a number") from None
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    if not (math.isfinite(number) and least <= number < below):
        bounds = [f"of {least:g} or more"] * (least > -math.inf) + [f"below {below:g}"] * (below < math.inf)
        raise ArgumentError(
            f"{where}: {number:g} came, wanted a finite number {' and '.join(bounds)}".rstrip()
        )
    return number


def flag(value: object, where: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise DTypeError(f"{where}: {value!r} came, wanted True or False")
    return bool(value)


def listed(value: object, where: str, what: str) -> list[Any]:
    """The items of a sequence."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise DTypeError(f"{where}: {value!r} came, wanted a list of {what}")
    return list(value)


def shape(value: object, where: str) -> tuple[int, ...]:
    """A sequence of sizes, each 1 or more."""
    sizes = tuple(integer(size, f"{where}: {value!r}") for size in listed(value, where, "integers"))
    if any(size < 1 for size in sizes):
        raise ShapeError(f"{where}: {sizes} came, wanted sizes of 1 or more")
    return sizes


def pair(value: object, where: str, least: int) -> Pair:
    """``n`` or ``(height, width)``."""
    return _both(value, lambda one: integer(one, where, least), where)


def padding(value: object, where: str) -> str | tuple[Pair, Pair]:
    """``"valid"``, ``"same"``, ``p``, ``(h, w)`` or ``((top, bottom), (left, right))``."""
    if isinstance(value, str):
        return choose(value.lower(), {"valid": "valid", "same": "same"}, where)
    return _both(value, lambda one: pair(one, where, 0), where)


def sizes(value: object, where: str, rank: int, least: int) -> tuple[int, ...]:
    """One number for all axes, or one for each."""
    return _each(value, lambda one: integer(one, where, least), where, rank)


def padding_nd(value: object, where: str, rank: int, causal: bool = False) -> str | tuple[Pair, ...]:
    """``"valid"``, ``"same"``, ``"causal"`` if it may be, ``p``, or for each axis a number or a pair."""
    if isinstance(value, str):
        names = ("valid", "same", "causal")[: 3 if causal else 2]
        return choose(value.lower(), {name: name for name in names}, where)
    return _each(value, lambda one: pair(one, where, 0), where, rank)


def _each(value: object, convert: Callable[[object], T], where: str, rank: int) -> tuple[T, ...]:
    if not isinstance(value, (tuple, list)):
        return (convert(value),) * rank
    if len(value) != rank:
        raise ArgumentError(f"{where}: {value!r} came, wanted one entry or {rank}")
    return tuple(convert(one) for one in value)


def _both(value: object, convert: Callable[[object], T], where: str) -> tuple[T, T]:
    first, second = _each(value, convert, where, 2)
    return first, second


def array(value: object, where: str) -> Array:
    """Anything array-like whose first axis counts samples; never a copy of what is an array already."""
    try:
        converted = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{where}: the rows differ in length: {error}") from None
    if converted.ndim == 0:
        raise ShapeError(
            f"{where}: {type(value).__name__} came, wanted an array whose first axis counts samples"
        )
    return converted


def match_rank(value: Array, shape: tuple[int, ...]) -> Array:
    """Keras's courtesy: a last axis of 1 may be missing or too many. ``shape`` is that of one sample."""
    rank = 1 + len(shape)
    if value.ndim == rank - 1 and shape[-1:] == (1,):
        return value[..., np.newaxis]
    if value.ndim == rank + 1 and value.shape[-1] == 1:
        return value[..., 0]
    return value

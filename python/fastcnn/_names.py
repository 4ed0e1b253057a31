# SPDX-License-Identifier: Apache-2.0
"""Names that Keras would give: ``conv2d``, ``conv2d_1``, counted over the whole process."""

from __future__ import annotations

import threading
from collections import Counter

from fastcnn._config import snake_case
from fastcnn.errors import ArgumentError, DTypeError

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def name_for(thing: object, name: str | None) -> str:
    """``name`` if it is one, else the next automatic name of the thing's class."""
    kind = type(thing).__name__
    if name is None:
        prefix = "functional" if kind == "Model" else snake_case(kind)  # as Keras calls what Model() makes
        with _lock:
            count = _counts[prefix]
            _counts[prefix] += 1
        return f"{prefix}_{count}" if count else prefix
    if not isinstance(name, str):
        raise DTypeError(f"{kind}: name: {name!r} came, wanted a string")
    if not name or "/" in name:
        raise ArgumentError(f"{kind}: name: {name!r} came, wanted a string that is not empty and has no '/'")
    return name


def reset() -> None:
    """Begin to count anew."""
    with _lock:
        _counts.clear()

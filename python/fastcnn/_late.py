# SPDX-License-Identifier: Apache-2.0
"""Names of a package whose modules are imported when they are first asked for: importing stays quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def listing(package: str) -> Callable[[], list[str]]:
    """The package's ``__dir__``, with the names that are imported late."""
    module = sys.modules[package]
    return lambda: sorted({*vars(module), *module.__all__})


def late(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The package's ``__getattr__``, for the names that its modules hold, or others by their full names."""
    table = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name not in table:
            from fastcnn._absent import absent

            raise absent(package, name)
        where = table[name] if "." in table[name] else f"{package}.{table[name]}"
        found = getattr(importlib.import_module(where), name)
        setattr(sys.modules[package], name, found)
        return found

    return find

# SPDX-License-Identifier: Apache-2.0
"""Every example in a docstring runs, and every public operator has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import fastcnn
from fastcnn import ops


def modules() -> list[str]:
    return [
        module.name
        for module in pkgutil.walk_packages(fastcnn.__path__, "fastcnn.")
        if not module.name.endswith(("._native", ".__main__"))
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", ops.__all__)
def test_every_operator_shows_an_example(name: str) -> None:
    assert ">>> " in (getattr(ops, name).__doc__ or "")

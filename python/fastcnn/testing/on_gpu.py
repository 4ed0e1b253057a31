# SPDX-License-Identifier: Apache-2.0
"""Sends the calls of tests to a GPU: NumPy arrays go there, results come back.

``FASTCNN_TEST_DEVICE=cuda`` runs the kernel tests this way, on a GPU or on the emulated one.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def _there(value: Any) -> Any:
    cupy = importlib.import_module("cupy")
    if isinstance(value, np.ndarray):
        return cupy.asarray(value) if value.dtype.kind in "biufc" else value  # a GPU has no text
    if isinstance(value, (list, tuple)) and any(isinstance(item, (np.ndarray, tuple)) for item in value):
        return type(value)(_there(item) for item in value)
    return value


def _back(value: Any) -> Any:
    cupy = importlib.import_module("cupy")
    if isinstance(value, cupy.ndarray):
        return cupy.asnumpy(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_back(item) for item in value)
    return value


def _into(out: Any, result: Any) -> Any:
    """The result, which is `out` itself where that is an array."""
    if isinstance(out, np.ndarray) and isinstance(result, tuple):  # the first of several
        return (_into(out, result[0]), *result[1:])
    if isinstance(out, np.ndarray):
        np.copyto(out, result)
        return out
    if isinstance(out, tuple):
        return tuple(_into(each, item) for each, item in zip(out, result, strict=True))
    return result


def on_gpu(operator: Callable[..., Any], out_at: int = sys.maxsize) -> Callable[..., Any]:
    """The operator, computed on a GPU; `out` is a keyword or argument `out_at`."""

    @functools.wraps(operator)
    def call(*arguments: Any, **options: Any) -> Any:
        result = operator(*map(_there, arguments), **{name: _there(value) for name, value in options.items()})
        out = options.get("out", arguments[out_at] if out_at < len(arguments) else None)
        return _into(out, _back(result))

    return call


def in_place(function: Callable[..., None]) -> Callable[..., None]:
    """The function, which writes its arguments, computed on a GPU."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> None:
        there = [_there(argument) for argument in arguments]
        named = {name: _there(value) for name, value in options.items()}
        function(*there, **named)
        for here, argument in [*zip(arguments, there, strict=True), *((options[n], named[n]) for n in named)]:
            _write_back(here, argument)

    return call


def _write_back(here: Any, there: Any) -> None:
    if isinstance(here, np.ndarray) and here.flags.writeable:
        np.copyto(here, _back(there))
    elif isinstance(here, (list, tuple)):
        for each, item in zip(here, there, strict=True):
            _write_back(each, item)


def install() -> None:
    """Replace every function of ``fastcnn.ops``, and let chains of nodes work on the GPU."""
    from fastcnn import _native, ops
    from fastcnn.testing import network

    for name in ops.__all__:
        setattr(ops, name, on_gpu(getattr(ops, name)))
    for name in ("optimizer_step", "clip_norm", "accumulate"):
        setattr(_native, name, in_place(getattr(_native, name)))
    _native.loss = on_gpu(_native.loss, out_at=5)
    _native.mix = on_gpu(_native.mix, out_at=4)
    _native.augment = on_gpu(_native.augment, out_at=5)
    _native.augment_bwd = on_gpu(_native.augment_bwd, out_at=5)
    network.device = "cuda"

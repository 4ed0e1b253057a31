# SPDX-License-Identifier: Apache-2.0
"""Convolutional networks on their own C++ kernels, with Keras's names.

`Sequential`, `layers`, `optimizers`, `losses`, `metrics`, `callbacks` and `datasets` train and run models;
`ops` has each kernel as a function on arrays. Modules that a model does not need are imported when they are
first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastcnn import (
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    utils,
)
from fastcnn._graph.symbolic import SymbolicTensor as KerasTensor
from fastcnn._native import get_num_threads, isas, set_num_threads
from fastcnn.errors import (
    ArgumentError,
    DeviceError,
    DeviceLostError,
    DTypeError,
    FormatError,
    OutOfMemoryError,
    ShapeError,
)
from fastcnn.initializers import Initializer
from fastcnn.layers import Input, Layer
from fastcnn.losses import Loss
from fastcnn.metrics import Metric
from fastcnn.models import Model, Sequential
from fastcnn.optimizers import Optimizer
from fastcnn.regularizers import Regularizer

if TYPE_CHECKING:
    from fastcnn import (
        activations,
        backend,
        config,
        datasets,
        io,
        math,
        models,
        ops,
        preprocessing,
        saving,
        visualize,
    )
    from fastcnn.io import load_model

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "DTypeError",
    "DeviceError",
    "DeviceLostError",
    "FormatError",
    "Initializer",
    "Input",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "OutOfMemoryError",
    "Regularizer",
    "Sequential",
    "ShapeError",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "get_num_threads",
    "initializers",
    "io",
    "isas",
    "layers",
    "load_model",
    "losses",
    "math",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "regularizers",
    "saving",
    "set_num_threads",
    "utils",
    "version",
    "visualize",
]

_LATE = (
    *("activations", "backend", "config", "datasets", "io", "math", "ops", "preprocessing", "saving"),
    "visualize",
)


def version() -> str:
    """The package's version."""
    return __version__


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return importlib.import_module(f"fastcnn.{name}")
    if name == "load_model":
        from fastcnn.io import load_model

        return load_model
    from fastcnn._absent import absent

    raise absent(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

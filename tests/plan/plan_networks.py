# SPDX-License-Identifier: Apache-2.0
"""Networks that the tests of the plan share, and short ways to run them on the native model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcnn import _native
from fastcnn.testing.fill import F32, poisoned

Node = dict[str, Any]

ADAM: Node = {"name": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
SGD: Node = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0, "nesterov": False}
MOMENTUM: Node = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True}
SPARSE: Node = {"name": "sparse_categorical_crossentropy", "from_logits": False}
CATEGORICAL: Node = {"name": "categorical_crossentropy", "from_logits": False}
SQUARED: Node = {"name": "mean_squared_error", "from_logits": False}


def conv2d(filters: Any, size: int = 3, **attributes: Any) -> Node:
    node = {
        "op": "conv2d",
        "filters": filters,
        "kernel_size": (size, size),
        "strides": (1, 1),
        "padding": "valid",
        "dilation_rate": (1, 1),
        "groups": 1,
        "use_bias": True,
    }
    return {**node, **attributes}


def convolution(kind: str, size: tuple[int, ...], **attributes: Any) -> Node:
    """A convolution of any kind and rank; `attributes` hold its filters or its depth_multiplier."""
    ones = (1,) * len(size)
    node = {
        "op": kind,
        "kernel_size": size,
        "strides": ones,
        "padding": "valid",
        "dilation_rate": ones,
        "use_bias": True,
    }
    groups = {} if kind.startswith("depthwise") else {"groups": 1}
    return {**node, **groups, **attributes}


def dense(units: int, use_bias: bool = True) -> Node:
    return {"op": "dense", "units": units, "use_bias": use_bias}


def pool(kind: str, size: int = 2, **attributes: Any) -> Node:
    node = {
        "op": f"{kind}_pool2d",
        "pool_size": (size, size),
        "strides": (size, size),
        "padding": "valid",
        "ceil_mode": False,
    }
    return {**node, **attributes}


def dropout(rate: float) -> Node:
    return {"op": "dropout", "rate": rate}


def rescaling(scale: float, offset: float = 0.0) -> Node:
    return {"op": "rescaling", "scale": scale, "offset": offset}


def op(name: str) -> Node:
    return {"op": name}


def chain(shape: tuple[int, ...], *nodes: Node) -> list[Node]:
    """Nodes in a row, named by operator and place."""
    row = [{"op": "input", "shape": shape}, *nodes]
    return [
        {"name": f"{node['op']}_{i}", "inputs": [i - 1] if i else [], **node} for i, node in enumerate(row)
    ]


def lenet() -> list[Node]:
    """LeNet-5 with ReLU and max-pools on 28 x 28 bytes."""
    return chain(
        (28, 28, 1),
        rescaling(1 / 255),
        conv2d(6, 5, padding="same"),
        op("relu"),
        pool("max"),
        conv2d(16, 5),
        op("relu"),
        pool("max"),
        op("flatten"),
        dense(120),
        op("relu"),
        dropout(0.25),
        dense(84),
        op("relu"),
        dense(10),
        op("softmax"),
    )


def initialize(model: Any, seed: int = 0) -> None:
    """Glorot uniform kernels, small biases."""
    rng = np.random.default_rng(seed)
    weights = []
    for parameter in model.parameters:
        limit = np.sqrt(6.0 / (parameter["fan_in"] + parameter["fan_out"]))
        weights.append(rng.uniform(-limit, limit, parameter["shape"]).astype(np.float32))
    model.set_parameters(weights)


def build(
    nodes: list[Node],
    optimizer: Node = ADAM,
    loss: Node = SPARSE,
    accuracy: str | None = "auto",
    precision: str = "float32",
) -> Any:
    """A compiled model with random weights."""
    model = _native.Model(nodes)
    initialize(model)
    model.compile(optimizer, loss, accuracy, "cpu", precision, "default")
    return model


def digits(rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Random bytes as images, and labels."""
    return rng.integers(0, 256, (count, 28, 28, 1), np.uint8), rng.integers(0, 10, count)


def run(session: Any, order: NDArray[np.int64] | None = None, seconds: float = 1.0) -> Any:
    """All batches; what the session has summed up."""
    done = 0
    while done < session.batches:
        done = session.run(order, done, seconds)
    return session.totals()[0]


def train(model: Any, x: NDArray[Any], y: NDArray[Any], batch_size: int = 32) -> Any:
    return run(model.session("train", x, y, None, batch_size))


def evaluate(model: Any, x: NDArray[Any], y: NDArray[Any], batch_size: int = 32) -> Any:
    return run(model.session("evaluate", x, y, None, batch_size))


def predict(model: Any, x: NDArray[Any], batch_size: int = 32) -> F32:
    out = poisoned((len(x), *model.output_shapes[-1]))
    run(model.session("predict", x, None, out, batch_size))
    return out


def bits(model: Any) -> list[bytes]:
    """The whole state, for comparison to the bit."""
    return [name.encode() + array.tobytes() for name, array in sorted(model.get_state().items())]

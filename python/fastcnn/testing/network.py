# SPDX-License-Identifier: Apache-2.0
"""Small networks on the native model, for operators that exist inside a network alone.

A training step of SGD with rate 1 leaves ``weights - gradient``; with the mean squared error and targets ``y
- g size / 2`` the gradient of the output is the chosen g. So the backward pass of every operator, a loss and
an update can be read off the weights, and in whole numbers without rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcnn import _native
from fastcnn.testing.fill import F32, poisoned

Node = dict[str, Any]

SGD: dict[str, Any] = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0, "nesterov": False}
MEAN_SQUARED_ERROR: dict[str, Any] = {"name": "mean_squared_error", "from_logits": False}


def dense(units: int, use_bias: bool = True) -> Node:
    return {"op": "dense", "units": units, "use_bias": use_bias}


def conv2d(filters: int, size: int = 3, padding: str = "same") -> Node:
    return {
        "op": "conv2d",
        "filters": filters,
        "kernel_size": (size, size),
        "strides": (1, 1),
        "padding": padding,
        "dilation_rate": (1, 1),
        "groups": 1,
        "use_bias": True,
    }


device, precision = "cpu", "float32"
"""Where chains work, and how."""


class Chain:
    """Nodes in a row, each fed by the one before."""

    def __init__(self, shape: tuple[int, ...], *nodes: Node) -> None:
        chain = [{"op": "input", "shape": shape}, *nodes]
        named = [
            {**node, "name": f"{node['op']}_{i}", "inputs": [i - 1] if i else []}
            for i, node in enumerate(chain)
        ]
        self.model = _native.Model(named)
        self.output_shape: tuple[int, ...] = tuple(self.model.output_shapes[-1])
        self.compile()

    def compile(self, optimizer: Node = SGD, loss: Node = MEAN_SQUARED_ERROR, math: str = "default") -> None:
        self.model.compile(optimizer, loss, None, device, precision, math)

    @property
    def weights(self) -> list[F32]:
        return list(self.model.get_parameters())

    @weights.setter
    def weights(self, values: list[F32]) -> None:
        self.model.set_parameters(values)

    def predict(self, x: NDArray[Any], batch_size: int = 32) -> F32:
        out = poisoned((len(x), *self.output_shape))
        self._run("predict", x, None, out, batch_size)
        return out

    def train(self, x: NDArray[Any], y: NDArray[Any]) -> float:
        """One step on all of x; the mean loss before it."""
        return self._run("train", x, y, None, len(x))

    def evaluate(self, x: NDArray[Any], y: NDArray[Any], batch_size: int = 32) -> float:
        """Mean loss."""
        return self._run("evaluate", x, y, None, batch_size)

    def gradients(self, x: NDArray[Any], dy: F32) -> list[F32]:
        """Take a step with `dy` as the gradient of the output; what it subtracted from each weight."""
        before = self.weights
        # Without dropout the output of a training step is that of a prediction.
        target = self.predict(x, len(x)) - dy * np.float32(dy.size / 2)
        self.train(x, target)
        return [old - new for old, new in zip(before, self.weights, strict=True)]

    def _run(
        self, mode: str, x: NDArray[Any], y: NDArray[Any] | None, out: F32 | None, batch_size: int
    ) -> float:
        session = self.model.session(mode, x, y, out, batch_size)
        begin = 0
        while begin < session.batches:
            begin = session.run(None, begin, 1.0)
        totals = session.totals()[0]
        return float(totals["loss"] / totals["samples"]) if mode != "predict" else 0.0

# SPDX-License-Identifier: Apache-2.0
"""Whole networks in whole numbers: predictions and gradients equal the float64 reference with no tolerance.

SGD with rate 1 leaves ``weights - gradient``; with the mean squared error and targets ``y - g size / 2`` the
gradient of the output is the chosen g. All numbers stay small enough for every sum to be exact in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastcnn.testing import reference
from fastcnn.testing.compare import assert_exact
from plan_networks import SGD, SQUARED, Node, build, chain, conv2d, dense, op, pool, predict, rescaling, train

Array = np.ndarray[Any, np.dtype[Any]]

NETWORKS: dict[str, list[Node]] = {
    "conv, relu, max-pool, dense": chain(
        (7, 6, 2), conv2d(3), op("relu"), pool("max"), op("flatten"), dense(4), op("relu"), dense(2)
    ),
    "relu after the pool": chain((8, 8, 1), conv2d(2, 3), pool("max"), op("relu"), op("flatten"), dense(3)),
    "two convolutions": chain(
        (6, 6, 2),
        conv2d(2, 3, padding="same", groups=2),
        op("relu"),
        conv2d(2, 3, strides=(2, 2)),
        op("flatten"),
    ),
    "sum pool, relu before it": chain(
        (5, 5, 3), conv2d(2, 2), op("relu"), pool("sum"), op("flatten"), dense(2)
    ),
    "average pool": chain((8, 8, 1), conv2d(2, 1), op("relu"), pool("average"), op("flatten"), dense(2)),
    "relu twice": chain((5,), dense(6), op("relu"), op("relu"), dense(3)),
    "relu at the end": chain((5,), dense(6), op("relu"), dense(3), op("relu")),
    "rescaling first": chain((5,), rescaling(2.0, -1.0), dense(4), op("relu"), dense(3)),
    "rescaling between": chain((5,), dense(4), rescaling(2.0, 3.0), op("relu"), dense(3)),
    "rescaling first, behind flatten": chain((5, 1), op("flatten"), rescaling(-2.0, 1.0), dense(3)),
    "no bias": chain((4, 4, 2), conv2d(3, 3, use_bias=False), op("relu"), op("flatten"), dense(2, False)),
    "dense on images": chain((3, 2, 4), dense(5), op("relu"), dense(2)),
    "flatten last": chain((3, 3, 1), conv2d(2, 2), op("flatten")),
    "max-pool first": chain((6, 6, 2), pool("max"), conv2d(2, 2), op("flatten"), dense(2)),
}


class Reference:
    """A chain of nodes in float64: values forward, gradients of the parameters backward."""

    def __init__(self, nodes: list[Node], weights: list[Array]) -> None:
        self.nodes = nodes
        self.kernels: dict[int, tuple[Array, Array | None]] = {}
        left = list(weights)
        for i, node in enumerate(nodes):
            if "use_bias" in node:
                self.kernels[i] = (left.pop(0), left.pop(0) if node["use_bias"] else None)
        self.values: list[Array] = []

    def forward(self, x: Array) -> Array:
        self.values = [x.astype(np.float64)]
        for i, node in enumerate(self.nodes[1:], start=1):
            self.values.append(self._apply(i, node, self.values[-1]))
        return self.values[-1]

    def _apply(self, i: int, node: Node, x: Array) -> Array:
        kind = node["op"]
        if kind == "conv2d":
            return reference.conv2d(x, *self.kernels[i], **self._window(node))
        if kind == "dense":
            kernel, bias = self.kernels[i]
            rows = reference.dense(x.reshape(-1, x.shape[-1]), kernel, bias)
            return rows.reshape(*x.shape[:-1], -1)
        if kind.endswith("pool2d"):
            return np.asarray(reference.OPERATORS[kind].forward(x, node["pool_size"], node["strides"]))
        if kind == "rescaling":
            return reference.rescaling(x, node["scale"], node["offset"])
        return np.asarray(reference.OPERATORS[kind].forward(x))

    def backward(self, dy: Array) -> list[Array]:
        gradients: list[Array] = []
        for i in range(len(self.nodes) - 1, 0, -1):
            dy, own = self._gradient(i, dy)
            gradients = own + gradients
        return gradients

    def _gradient(self, i: int, dy: Array) -> tuple[Array, list[Array]]:
        node, x, y = self.nodes[i], self.values[i - 1], self.values[i]
        kind = node["op"]
        if kind == "conv2d":
            kernel, bias = self.kernels[i]
            window = self._window(node)
            own = [reference.conv2d_wgrad(x, dy, node["kernel_size"], **window)]
            own += [] if bias is None else [reference.conv2d_bias_bwd(dy)]
            return reference.conv2d_dgrad(dy, kernel, x.shape, **window), own
        if kind == "dense":
            kernel, bias = self.kernels[i]
            flat_dy, flat_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
            dx, dw, db = reference.dense_bwd(flat_dy, flat_x, kernel)
            return dx.reshape(x.shape), [dw] if bias is None else [dw, db]
        if kind == "max_pool2d":
            return reference.max_pool2d_bwd(dy, x, node["pool_size"], node["strides"]), []
        if kind.endswith("pool2d"):
            bwd = reference.OPERATORS[kind].gradients[0]
            return np.asarray(bwd(dy, x.shape, node["pool_size"], node["strides"])), []
        if kind == "rescaling":
            return reference.rescaling_bwd(dy, node["scale"]), []
        if kind == "flatten":
            return reference.flatten_bwd(dy, x.shape), []
        return np.asarray(reference.OPERATORS[kind].gradients[0](dy, y)), []

    @staticmethod
    def _window(node: Node) -> Node:
        return {key: node[key] for key in ("strides", "padding", "dilation_rate", "groups")}


def small(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> Array:
    return (rng.integers(-2, 2, shape, endpoint=True) * scale).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_and_gradients(name: str, rng: np.random.Generator) -> None:
    nodes, batch = NETWORKS[name], 6
    model = build(nodes, SGD, SQUARED, accuracy=None)
    weights = [small(rng, p["shape"]) for p in model.parameters]
    model.set_parameters(weights)
    x = small(rng, (batch, *nodes[0]["shape"]))
    dy = small(rng, (batch, *model.output_shapes[-1]), 4.0)
    judge = Reference(nodes, weights)
    wanted = judge.forward(x)
    got = predict(model, x, batch)
    assert_exact(got, wanted, "predictions")

    loss = train(model, x, got - dy * np.float32(dy.size / 2), batch)
    expected_loss = (dy.astype(np.float64) * dy.size / 2) ** 2
    assert loss["loss"] / loss["samples"] == pytest.approx(expected_loss.mean(), rel=1e-6)
    for parameter, old, new, gradient in zip(
        model.parameters, weights, model.get_parameters(), judge.backward(dy), strict=True
    ):
        assert np.array_equal(old - new, gradient), parameter["name"]


def test_flatten_alone_copies() -> None:
    """A network without a single kernel: the gather writes the predictions."""
    model = build(chain((2, 3), op("flatten")), SGD, SQUARED, accuracy=None)
    x = np.arange(24, dtype=np.int16).reshape(4, 2, 3)
    assert np.array_equal(predict(model, x, 3), x.reshape(4, 6))
    totals = train(model, x, x.reshape(4, 6) + 1.0)
    assert (totals["loss"], totals["samples"]) == (4.0, 4)

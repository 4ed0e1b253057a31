# SPDX-License-Identifier: Apache-2.0
"""One training step on real numbers against float64, within bounds carried along through every layer.

Beside each value runs a bound of its error (running error analysis, Higham: "Accuracy and Stability of
Numerical Algorithms", 3.3): a sum of products passes on the bounds of its factors and adds gamma(terms) times
the sum of the absolute values, an activation passes on its slope times the bound and adds what its kernel
promises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import SGD, SPARSE, Node, build, chain, conv2d, dense, op, pool, predict, train
from plan_reference import Array, Reference

from fastcnn.testing import reference
from fastcnn.testing.compare import (
    UNIT,
    activation_bound,
    assert_within,
    crossentropy_bound,
    gamma,
    softmax_bound,
)

NETWORKS: dict[str, list[Node]] = {
    "lenet": chain(
        (12, 12, 2),
        conv2d(6, 3, padding="same"),
        op("relu"),
        pool("max"),
        conv2d(7, 3),
        op("relu"),
        pool("average"),
        op("flatten"),
        dense(20),
        op("relu"),
        dense(5),
        op("softmax"),
    ),
    "tanh and sigmoid": chain(
        (9, 9, 3),
        conv2d(8, 3, strides=(2, 2)),
        op("tanh"),
        op("flatten"),
        dense(17),
        op("sigmoid"),
        dense(6),
        op("softmax"),
    ),
    "perceptron": chain((50,), dense(33), op("sigmoid"), dense(33), op("tanh"), dense(10), op("softmax")),
}

SLACK = 1.01  # products of two bounds, left out below


class Bounded(Reference):
    """The reference with a bound of the error of each value."""

    def forward(self, x: Array) -> Array:
        values = super().forward(x)
        self.errors: list[Array] = [np.zeros(x.shape)]
        for i in range(1, len(self.nodes)):
            self.errors.append(self._error(i))
        return values

    def _error(self, i: int) -> Array:
        node, x, y, error = self.nodes[i], self.values[i - 1], self.values[i], self.errors[i - 1]
        kind = node["op"]
        if i in self.kernels:
            signed = self.kernels[i]
            kernel, bias = signed
            self.kernels[i] = (np.abs(kernel), None)
            passed = self._apply(i, node, error)
            self.kernels[i] = (np.abs(kernel), None if bias is None else np.abs(bias))
            magnitude = self._apply(i, node, np.abs(x) + error)
            self.kernels[i] = signed
            terms = int(np.prod(kernel.shape[:-1])) + 1
            return SLACK * (passed + gamma(terms + 1) * magnitude)
        if kind in ("tanh", "sigmoid"):
            return activation_bound(y, error, kind)
        if kind == "softmax":
            shift: Array = error.max(axis=-1, keepdims=True)
            passed = SLACK * 2 * shift * y
            return passed + softmax_bound(x, y)
        if kind == "average_pool2d":
            taps = int(np.prod(node["pool_size"]))
            return self._apply(i, node, error) + gamma(taps + 1) * self._apply(i, node, np.abs(x))
        return self._apply(i, node, error)  # relu, max-pool, flatten: no steeper than 1, no rounding

    def gradient_bounds(self, dy: Array, error: Array) -> list[Array]:
        """Bounds of the parameters' gradients, from a dy with this error at the input of the last node."""
        bounds: list[Array] = []
        for i in range(len(self.nodes) - 2, 0, -1):
            own, error = self._gradient_error(i, dy, error)
            dy = self._gradient(i, dy)[0]
            bounds = own + bounds
        return bounds

    def _gradient_error(self, i: int, dy: Array, error: Array) -> tuple[list[Array], Array]:
        kind, y = self.nodes[i]["op"], self.values[i]
        if i in self.kernels:
            return self._linear_error(i, dy, error)
        if kind == "tanh":
            return [], SLACK * (error * (1 - y**2) + np.abs(dy) * (2 * np.abs(y) * self.errors[i] + gamma(4)))
        if kind == "sigmoid":
            return [], SLACK * (error * y * (1 - y) + np.abs(dy) * (self.errors[i] + gamma(4) * y))
        return [], self._gradient(i, error)[0] + gamma(4) * np.abs(self._gradient(i, np.abs(dy))[0])

    def _linear_error(self, i: int, dy: Array, error: Array) -> tuple[list[Array], Array]:
        signed, x = self.kernels[i], self.values[i - 1]
        self.kernels[i] = (np.abs(signed[0]), signed[1])
        size, step = np.abs(dy) + error, gamma(int(np.prod(dy.shape[:-1])) + 2)

        def gradients(left: Array, right: Array) -> tuple[Array, list[Array]]:
            self.values[i - 1] = left
            return self._gradient(i, right)

        dx, by_dy = gradients(np.abs(x), error)
        dx_size, own_size = gradients(np.abs(x) + self.errors[i - 1], size)
        _, by_x = gradients(self.errors[i - 1], size)
        self.values[i - 1], self.kernels[i] = x, signed
        own = [SLACK * (by_dy[0] + by_x[0] + step * own_size[0])]
        own += [SLACK * (a + step * b) for a, b in zip(by_dy[1:], own_size[1:], strict=True)]
        terms = signed[0].size // signed[0].shape[-2]
        return own, SLACK * (dx + gamma(terms + 1) * dx_size)


@pytest.mark.parametrize("name", NETWORKS)
def test_step(name: str, rng: np.random.Generator) -> None:
    nodes, batch = NETWORKS[name], 8
    model = build(nodes, SGD, SPARSE)
    weights = model.get_parameters()
    x: Any = rng.standard_normal((batch, *nodes[0]["shape"])).astype(np.float32)
    labels = rng.integers(0, nodes[-2]["units"], batch)
    judge = Bounded(nodes, weights)
    probabilities = judge.forward(x)
    assert_within(predict(model, x, batch), probabilities, judge.errors[-1], "predictions")

    target = reference.one_hot(labels, nodes[-2]["units"])
    dy = (probabilities - target) / batch
    dy_error = judge.errors[-1] / batch + gamma(3) * np.abs(dy)
    totals = train(model, x, labels, batch)
    wanted = reference.sparse_categorical_crossentropy(labels, probabilities)
    loss_error = 2 * judge.errors[-2].max() + crossentropy_bound(target, judge.values[-2])
    assert abs(totals["loss"] / batch - wanted) <= loss_error

    gradients: list[Array] = []
    step = dy
    for i in range(len(nodes) - 2, 0, -1):
        step, own = judge._gradient(i, step)
        gradients = own + gradients
    bounds = judge.gradient_bounds(dy, dy_error)
    for parameter, old, new, gradient, bound in zip(
        model.parameters, weights, model.get_parameters(), gradients, bounds, strict=True
    ):
        update = UNIT * (np.abs(old) + np.abs(gradient)) * 2
        assert_within(new, old - gradient, bound + update, parameter["name"])
        assert bound.max() < 0.25 * np.abs(gradient).max(), "a looser bound would prove nothing"

# SPDX-License-Identifier: Apache-2.0
"""Networks compiled with precision="bfloat16": which steps round, what they compute, what stays float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bfloat16_reference import RoundedKernels, rounded, signs
from plan_networks import (
    SGD,
    SPARSE,
    SQUARED,
    Node,
    bits,
    build,
    chain,
    conv2d,
    dense,
    op,
    pool,
    predict,
    train,
)
from plan_reference import Array, Reference

import fastcnn
from fastcnn import _native
from fastcnn.testing import reference
from fastcnn.testing.compare import UNIT, assert_exact, assert_within, gamma
from fastcnn.testing.fill import bfloat16

pytestmark = pytest.mark.skipif(not _native.bfloat16_pays(), reason="no products of bfloat16, or slow ones")


BATCH = 72


def network(pooling: str = "max") -> list[Node]:
    """LeNet with so many channels and samples that all products pay in bfloat16."""
    return chain(
        (10, 10, 8),
        conv2d(32, 5, padding="same"),
        op("relu"),
        pool(pooling),
        conv2d(36, 3),
        op("relu"),
        op("flatten"),
        dense(96),
        op("relu"),
        dense(64),
    )


class InBfloat16(RoundedKernels):
    """The reference of rounded operands."""

    def forward(self, x: Array) -> Array:
        self.values, self.errors = [x.astype(np.float64)], [np.zeros(x.shape)]
        for i, node in enumerate(self.nodes[1:], start=1):
            if i in self.kernels:
                self.values[-1], self.errors[-1] = rounded(self.values[-1], self.errors[-1])
            self.values.append(self._apply(i, node, self.values[-1]))
            self.errors.append(self._error(i))
        return self.values[-1]

    def gradients(self, dy: Array, error: Array) -> list[tuple[Array, Array]]:
        """Those of the parameters with their bounds, from dy at the input of the last node."""
        found: list[tuple[Array, Array]] = []
        for i in range(len(self.nodes) - 2, 0, -1):
            plain = self._gradient(i, dy)[1], self._gradient_error(i, dy, error)[0]
            if i in self.kernels:
                dy, error = rounded(dy, error)
            (dx, own), (bounds, dx_error) = self._gradient(i, dy), self._gradient_error(i, dy, error)
            if own:  # a bias is added up as it is
                found = [(own[0], bounds[0]), (plain[0][1], plain[1][1]), *found]
            dy, error = dx, dx_error
        return found


def kernels(model: Any, mode: str) -> dict[str, int]:
    """How often each kernel of bfloat16 stands in a plan."""
    names = ("conv2d_fprop", "conv2d_dgrad", "conv2d_wgrad", "gemm")
    return {name: model.describe(mode, BATCH).count(f"{name}_bfloat16") for name in names}


def test_describe_names_the_kernels() -> None:
    model = build(network(pooling="average"), SGD, SQUARED, None, "bfloat16")
    assert kernels(model, "train") == {"conv2d_fprop": 2, "conv2d_dgrad": 1, "conv2d_wgrad": 2, "gemm": 6}
    assert kernels(model, "predict")["gemm"] == 2
    assert kernels(model, "predict")["conv2d_fprop"] > 0
    # The weight gradient of a max-pooled convolution reads the pool's and stays float32.
    assert kernels(build(network(), SGD, SQUARED, None, "bfloat16"), "train")["conv2d_wgrad"] == 1
    assert set(kernels(build(network(), SGD, SQUARED, None), "train").values()) == {0}


def test_whole_numbers_are_exact(rng: np.random.Generator) -> None:
    """Predictions, and the weights after a step of SGD with rate 1."""
    nodes, batch = network(), BATCH
    model = build(nodes, SGD, SQUARED, None, "bfloat16")
    weights = [signs(rng, p["shape"], 0.05) for p in model.parameters]
    model.set_parameters(weights)
    x = signs(rng, (batch, *nodes[0]["shape"]), 0.3)
    judge = Reference(nodes, weights)
    wanted = judge.forward(x)
    assert max(np.abs(value).max() for value in judge.values[:-1]) <= 256, "not exact in bfloat16"
    assert_exact(predict(model, x, batch), wanted, "predictions")
    # Weights that were rounded are kept until they change.
    assert_exact(predict(model, x, batch), wanted, "predictions again")

    dy = signs(rng, wanted.shape, 0.2)
    train(model, x, (wanted - dy.astype(np.float64) * dy.size / 2).astype(np.float32), batch)
    after = model.get_parameters()
    for parameter, old, new, gradient in zip(
        model.parameters, weights, after, judge.backward(dy), strict=True
    ):
        assert np.abs(gradient).max() > 0
        assert np.array_equal(old - new, gradient), parameter["name"]


def test_real_steps(rng: np.random.Generator) -> None:
    """Updates of real numbers, step after step, from the weights at hand.

    Of two layers: an operand next to the middle of two numbers of bfloat16 may become either, so that a bound
    grows a thousandfold with each further layer.
    """
    nodes = chain((6, 6, 40), conv2d(32, 3), op("tanh"), op("flatten"), dense(64), op("softmax"))
    rate = 2.0**-3
    model = build(nodes, {**SGD, "learning_rate": rate}, SPARSE, precision="bfloat16")
    assert kernels(model, "train") == {"conv2d_fprop": 1, "conv2d_dgrad": 0, "conv2d_wgrad": 1, "gemm": 3}
    x = rng.standard_normal((BATCH, *nodes[0]["shape"])).astype(np.float32)
    labels = rng.integers(0, 64, BATCH)
    target = reference.one_hot(labels, 64)
    for _ in range(3):
        weights = model.get_parameters()
        judge = InBfloat16(nodes, weights)
        probabilities = judge.forward(x)
        dy = (probabilities - target) / BATCH
        judged = judge.gradients(dy, judge.errors[-1] / BATCH + gamma(3) * np.abs(dy))
        train(model, x, labels, BATCH)
        for parameter, old, new, (gradient, bound) in zip(
            model.parameters, weights, model.get_parameters(), judged, strict=True
        ):
            update = UNIT * (np.abs(old) + rate * np.abs(gradient)) * 2
            assert_within(new, old - rate * gradient, rate * bound + update, parameter["name"])
            # The terms of a bias's gradient cancel, those of its bound do not.
            loose = bound.max() >= 0.5 * np.abs(gradient).max()
            assert parameter["role"] == "bias" or not loose, "a looser bound would prove nothing"


def test_predictions_follow_new_weights(rng: np.random.Generator) -> None:
    model = build(network(), SGD, SQUARED, None, "bfloat16")
    x = rng.standard_normal((4, 10, 10, 8)).astype(np.float32)
    before = predict(model, x, 4)
    model.set_parameters([2 * w for w in model.get_parameters()])
    after = predict(model, x, 4)
    fresh = build(network(), SGD, SQUARED, None, "bfloat16")
    fresh.set_parameters(model.get_parameters())
    assert np.array_equal(predict(fresh, x, 4), after)
    assert not np.array_equal(before, after)


def test_master_weights_are_float32(rng: np.random.Generator) -> None:
    """Updates far below bfloat16's resolution add up."""
    nodes = chain((64,), dense(128))
    model = build(nodes, {**SGD, "learning_rate": 2.0**-20}, SQUARED, None, "bfloat16")
    x = bfloat16(rng.standard_normal((128, 64)).astype(np.float32))
    y = rng.standard_normal((128, 128)).astype(np.float32)
    old = model.get_parameters()[0]
    for _ in range(3):
        train(model, x, y, 128)
    new = model.get_parameters()[0]
    assert not np.array_equal(old, new)
    assert np.abs(old - new).max() < 2.0**-9 * np.abs(old).max()
    assert not np.array_equal(bfloat16(new), new), "weights were rounded"


def test_same_bits_on_any_number_of_threads(rng: np.random.Generator, keep_threads: None) -> None:
    x = rng.standard_normal((2 * BATCH, 10, 10, 8)).astype(np.float32)
    y = rng.standard_normal((2 * BATCH, 64)).astype(np.float32)
    states = []
    for threads in (1, 2, 5):
        fastcnn.set_num_threads(threads)
        model = build(network(), SGD, SQUARED, None, "bfloat16")
        train(model, x, y, BATCH)
        states.append(bits(model))
    assert states[0] == states[1] == states[2]

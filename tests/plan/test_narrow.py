# SPDX-License-Identifier: Apache-2.0
"""Plans of precision="bfloat16" on a GPU: activations and their gradients are stored so, weights are not.

Needs a GPU, real or emulated; each family of matrix kernels has its own: FASTCNN_EMULATED_SM=75, 80, 90.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from bfloat16_reference import RoundedKernels, rounded, signs
from graph_checks import UnfitNumbers, half_squares, small, stay_exact
from narrow_networks import REALS, build, is_held
from plan_networks import (
    CATEGORICAL,
    SGD,
    SPARSE,
    SQUARED,
    Node,
    bits,
    chain,
    dense,
    predict,
    run,
    train,
)
from plan_reference import Array

from fastcnn import _native
from fastcnn.testing import reference
from fastcnn.testing.compare import UNIT, assert_exact, assert_within, gamma, softmax_bound
from fastcnn.testing.fill import F32, bfloat16, integers, poisoned
from fastcnn.testing.graph import GraphReference
from fastcnn.testing.nodes import NODES
from fastcnn.testing.random_graphs import random_graph

MERGES = ("add", "subtract", "average", "multiply", "maximum", "minimum")


def are_held(judge: GraphReference, dy: list[Array]) -> bool:
    """Whether all that a plan stores of this step is held: values, gradients, and parts of their sums."""
    if not stay_exact(judge.magnitudes(dy)):
        return False
    sizes = [np.zeros(value.shape) for value in judge.values]
    for output, each in zip(judge.outputs, dy, strict=True):
        sizes[output] = sizes[output] + np.abs(each)
    for i, node in enumerate(judge.nodes):
        if node["op"] == "input":
            continue
        x, w = judge._inputs(i), judge._parameters(i)
        back = NODES[node["op"]].backward(node, judge.gradients[i], x, w, judge.values[i])
        for u, dx in zip(node["inputs"], back.inputs, strict=True):
            sizes[u] = sizes[u] + np.abs(dx)
        if node["op"] in MERGES:
            sizes.append(np.asarray(NODES[node["op"]].forward(node, [np.abs(each) for each in x], w)))
            sizes += (
                NODES[node["op"]]
                .backward(node, np.abs(judge.gradients[i]), [np.abs(each) for each in x], w, judge.values[i])
                .inputs
            )
    return all(map(is_held, [*judge.values, *judge.weights, *sizes]))


class Whole(NamedTuple):
    """A network and numbers that stay whole in bfloat16."""

    nodes: list[Node]
    outputs: list[int]
    weights: list[F32]
    x: tuple[F32, ...]
    dy: list[F32]
    judge: GraphReference


def whole(number: int) -> Whole:
    """A random network, its weights so sparse that bfloat16 holds all that is stored."""
    for attempt in range(12):
        nodes, outputs = random_graph(number + 10_000 * attempt, exact=True)
        shapes = [each["shape"] for each in _native.Model(nodes, outputs).parameters]
        for sparsity in (0.5, 0.75, 0.9, 0.95):
            rng = np.random.default_rng([number, attempt, int(100 * sparsity)])
            weights = [signs(rng, shape, 1 - sparsity) for shape in shapes]
            x = tuple(small(rng, (2, *node["shape"])) for node in nodes if node["op"] == "input")
            judge = GraphReference(nodes, weights, outputs)
            dy = [signs(rng, y.shape, 0.7) for y in judge.forward(x)]
            gradients = judge.backward(dy)
            seen = any(map(np.any, judge.values[1:])) and all(map(np.any, gradients))
            if seen and are_held(judge, dy):
                return Whole(nodes, outputs, weights, x, dy, judge)
    raise UnfitNumbers


def compiled(nodes: list[Node], outputs: list[int], math: str = "default") -> Any:
    model = _native.Model(nodes, outputs)
    losses = tuple(half_squares(model.output_shapes[each][-1]) for each in outputs)
    model.compile(SGD, losses, (None,) * len(outputs), "cuda", "bfloat16", math)
    return model


@pytest.mark.parametrize("math", ["default", "strict"])
@pytest.mark.parametrize("number", range(24))
def test_whole_numbers_are_exact(number: int, math: str) -> None:
    """Predictions and the gradients of all parameters of random networks, to the last bit."""
    of = whole(number)
    model = compiled(of.nodes, of.outputs, math)
    model.set_parameters(of.weights)
    wanted = of.judge.forward(of.x)
    gradients = of.judge.backward(of.dy)
    out = tuple(poisoned(y.shape) for y in wanted)
    run(model.session("predict", of.x, None, out, 2))
    for got, y, output in zip(out, wanted, of.outputs, strict=True):
        assert np.array_equal(got, y), f"output {output}"
    target = tuple((y - d).astype(np.float32) for y, d in zip(wanted, of.dy, strict=True))
    run(model.session("train", of.x, target, None, 2))
    for parameter, old, new, gradient in zip(
        model.parameters, of.weights, model.get_parameters(), gradients, strict=True
    ):
        assert np.array_equal(old - new, gradient), parameter["name"]


class Stored(RoundedKernels):
    """The reference with each value, and each gradient of one, rounded as it is stored."""

    def forward(self, x: Array) -> Array:
        value, error = rounded(x.astype(np.float64), np.zeros(x.shape))
        self.values, self.errors = [value], [error]
        for i, node in enumerate(self.nodes[1:], start=1):
            self.values.append(self._apply(i, node, self.values[-1]))
            self.errors.append(self._error(i))
            self.values[-1], self.errors[-1] = rounded(self.values[-1], self.errors[-1])
        return self.values[-1]

    def gradients(self, dy: Array, error: Array) -> list[tuple[Array, Array]]:
        """Those of the parameters with their bounds, from dy at the input of the last node."""
        found: list[tuple[Array, Array]] = []
        for i in range(len(self.nodes) - 2, 0, -1):
            dy, error = rounded(dy, error)
            (dx, own), (bounds, dx_error) = self._gradient(i, dy), self._gradient_error(i, dy, error)
            if self.nodes[i]["op"] == "relu":  # where it is not known on which side of zero x is
                dx_error = dx_error + np.abs(dy) * (np.abs(self.values[i - 1]) <= self.errors[i - 1])
            found = [*zip(own, bounds, strict=True), *found]
            dy, error = dx, dx_error
        return found


@pytest.mark.parametrize("name", REALS)
def test_real_steps(name: str, rng: np.random.Generator) -> None:
    """Predictions and updates of real numbers, step after step, from the weights at hand.

    A value next to the middle of two numbers of bfloat16 may become either, so that bounds grow with each
    layer: of few layers they still say that the sums are float32.
    """
    nodes, batch, rate = REALS[name], 16, 2.0**-3
    classes = nodes[-2]["units"]
    model = build(nodes, {**SGD, "learning_rate": rate}, SPARSE)
    x = rng.standard_normal((batch, *nodes[0]["shape"])).astype(np.float32)
    labels = rng.integers(0, classes, batch)
    target = reference.one_hot(labels, classes)
    for _ in range(2):
        weights = model.get_parameters()
        judge = Stored(nodes, weights)
        assert_within(predict(model, x, batch), judge.forward(x), judge.errors[-1], "predictions")
        logits = judge.values[-2]  # what the loss reads: its probabilities are float32
        probabilities = reference.softmax(logits)
        passed = 2 * judge.errors[-2].max(axis=-1, keepdims=True) * probabilities
        error = passed + softmax_bound(logits, probabilities)
        dy = (probabilities - target) / batch
        judged = judge.gradients(dy, error / batch + gamma(3) * np.abs(dy))
        train(model, x, labels, batch)
        for parameter, old, new, (gradient, bound) in zip(
            model.parameters, weights, model.get_parameters(), judged, strict=True
        ):
            update = UNIT * (np.abs(old) + rate * np.abs(gradient)) * 2
            assert_within(new, old - rate * gradient, rate * bound + update, parameter["name"])
            # The terms of a bias's gradient cancel, those of its bound do not.
            loose = bound.max() >= 0.5 * np.abs(gradient).max()
            assert parameter["role"] == "bias" or not loose, "a looser bound would prove nothing"


@pytest.mark.parametrize("loss", [SPARSE, CATEGORICAL, SQUARED], ids=lambda loss: str(loss["name"]))
@pytest.mark.parametrize("weighs", [False, True])
def test_losses_are_those_of_float32(loss: Node, weighs: bool, rng: np.random.Generator) -> None:
    """To the last bit where bfloat16 holds the predictions; their gradients are rounded once."""
    nodes, batch = chain((5,), dense(7)), 12
    x = integers(rng, (batch, 5))
    labels = rng.integers(0, 7, batch)
    y = labels if loss is SPARSE else np.eye(7, dtype=np.float32)[labels]
    weights = rng.random(batch).astype(np.float32) if weighs else None
    found = []
    for precision in ("float32", "bfloat16"):
        model = build(nodes, SGD, {**loss, "from_logits": loss is not SQUARED}, precision)
        kernel = small(np.random.default_rng(1), (5, 7))
        model.set_parameters([kernel, np.zeros(7, np.float32)])
        watched = poisoned((batch, 7))
        total = run(model.session("train", x, y, watched, batch, weights))
        assert_exact(watched, x @ kernel, "predictions")
        moved = kernel - model.get_parameters()[0]
        found.append((total["loss"], total["samples"], moved))
    assert found[0][:2] == found[1][:2]
    off = np.abs(x @ kernel - y).max() * 2 / 7 if loss is SQUARED else 1.0
    most = (2.0**-8 + gamma(batch + 8)) * np.abs(x).sum(axis=0).max() * off / batch  # off / batch: of dy
    assert 0 < np.abs(found[0][2] - found[1][2]).max() <= most


def test_a_loss_of_the_callers_own_reads_float32(rng: np.random.Generator) -> None:
    """And gives float32 back."""
    model = _native.Model(chain((5,), dense(3, use_bias=False)))
    w, dy = integers(rng, (5, 3)), integers(rng, (5, 3))
    model.set_parameters([w])
    model.compile(SGD, {"external": True, "weight": 1.0}, None, "cuda", "bfloat16", "default")
    seen: list[F32] = []

    def measure(output: int, batch: int, predictions: F32) -> tuple[float, F32]:
        seen.append(predictions)
        return 2.5, dy[batch * 3 : batch * 3 + len(predictions)]

    run(model.session("train", np.eye(5, dtype=np.float32), None, None, 3, None, measure))
    assert_exact(model.get_parameters()[0], w - dy, "kernel")
    assert_exact(np.concatenate(seen), w, "predictions")


def test_master_weights_are_float32(rng: np.random.Generator) -> None:
    """Updates far below bfloat16's resolution add up, and gradients of weights are not rounded."""
    nodes = chain((16,), dense(24))
    model = build(nodes, {**SGD, "learning_rate": 2.0**-20}, SQUARED)
    x = bfloat16(rng.standard_normal((32, 16)).astype(np.float32))
    y = rng.standard_normal((32, 24)).astype(np.float32)
    old = model.get_parameters()[0]
    for _ in range(3):
        train(model, x, y, 32)
    new = model.get_parameters()[0]
    assert not np.array_equal(old, new)
    assert np.abs(old - new).max() < 2.0**-9 * np.abs(old).max()
    assert not np.array_equal(bfloat16(new), new), "weights were rounded"
    moved = build(nodes, SGD, SQUARED)
    before = moved.get_parameters()[1]
    train(moved, x, y, 32)
    gradient = before - moved.get_parameters()[1]
    assert not np.array_equal(bfloat16(gradient), gradient), "a gradient was rounded"


def test_predictions_follow_new_weights(rng: np.random.Generator) -> None:
    nodes = REALS["rectified"]
    model, fresh = (build(nodes, SGD, SPARSE) for _ in range(2))
    x = rng.standard_normal((4, 8, 8, 3)).astype(np.float32)
    before = predict(model, x, 4)
    model.set_parameters([2 * w for w in model.get_parameters()])
    after = predict(model, x, 4)
    fresh.set_parameters(model.get_parameters())
    assert np.array_equal(predict(fresh, x, 4), after)
    assert not np.array_equal(before, after)


def test_same_bits_every_run(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 8, 8, 3)).astype(np.float32)
    y = rng.integers(0, 6, 40)
    states = []
    for _ in range(3):
        model = build(REALS["rectified"], SGD, SPARSE)
        train(model, x, y, 16)
        states.append(bits(model))
    assert states[0] == states[1] == states[2]

# SPDX-License-Identifier: Apache-2.0
"""Plans of precision="bfloat16" on a GPU: activations and their gradients are stored so, weights are not.

Needs a GPU, real or emulated; each family of matrix kernels has its own: FASTCNN_EMULATED_SM=75, 80, 90.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import test_augmented
from bfloat16_reference import RoundedKernels, rounded, signs
from graph_checks import UnfitNumbers, half_squares, small, stay_exact
from plan_networks import (
    CATEGORICAL,
    SGD,
    SPARSE,
    SQUARED,
    Node,
    bits,
    chain,
    conv2d,
    dense,
    dropout,
    initialize,
    op,
    pool,
    predict,
    run,
    train,
)
from plan_reference import Array
from test_reals import NETWORKS

import fastcnn
from fastcnn import _native
from fastcnn.testing import network, reference
from fastcnn.testing.compare import UNIT, assert_exact, assert_same_bits, assert_within, gamma, softmax_bound
from fastcnn.testing.fill import F32, bfloat16, integers, poisoned
from fastcnn.testing.graph import GraphReference
from fastcnn.testing.nodes import NODES
from fastcnn.testing.random_graphs import random_graph

if os.environ.get("FASTCNN_TEST_DEVICE") != "cuda":
    pytest.skip("FASTCNN_TEST_DEVICE is not cuda", allow_module_level=True)
pytest.importorskip("cupy")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CAPABILITY = int(os.environ.get("FASTCNN_EMULATED_SM") or 75)
WHOLE = 256  # bfloat16 holds the whole numbers up to here
MERGES = ("add", "subtract", "average", "multiply", "maximum", "minimum")


def is_held(numbers: Array) -> bool:
    """Whether bfloat16 holds all numbers, and partial sums of what they are the sizes of."""
    unit = 1.0
    while unit > 2.0**-12 and not np.all(numbers / unit == np.floor(numbers / unit)):
        unit /= 2
    return bool(unit > 2.0**-12 and np.abs(numbers).max() <= WHOLE * unit)


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


REALS = {
    **{name: NETWORKS[name] for name in ("tanh and sigmoid", "perceptron")},
    "rectified": chain(
        (8, 8, 3),
        conv2d(8, 3, padding="same"),
        op("relu"),
        pool("average"),
        op("flatten"),
        dense(6),
        op("softmax"),
    ),
    "large": chain((6, 6, 40), conv2d(32, 3), op("tanh"), op("flatten"), dense(64), op("softmax")),
}


def build(nodes: list[Node], optimizer: Node, loss: Node, precision: str = "bfloat16") -> Any:
    model = _native.Model(nodes)
    initialize(model)
    model.compile(optimizer, loss, "auto", "cuda", precision, "default")
    return model


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


@pytest.mark.parametrize(("capability", "algorithm"), [(75, "implicit"), (80, "tensor"), (90, "map")])
def test_the_large_one_takes_tensor_cores(capability: int, algorithm: str) -> None:
    model = build(REALS["large"], SGD, SPARSE)
    few, many = ([kernel for _, kernel in steps(model, "train", batch, capability)[1]] for batch in (16, 512))
    assert f"conv2d_wgrad_{algorithm}_to_float32" in few
    assert f"conv2d_fprop_{algorithm}_bfloat16" in many


def steps(
    model: Any, mode: str, batch: int, capability: int = CAPABILITY
) -> tuple[int, list[tuple[str, str]]]:
    """Bytes of the arena; layer and kernel of each step."""
    plan = model.plan_for_gpu(mode, batch, capability)
    return plan["arena_bytes"], [(each["layer"], each["kernel"]) for each in plan["steps"]]


@pytest.mark.parametrize(
    "name", set(test_augmented.NODES) - {"contrast"}
)  # whose results bfloat16 cannot hold
def test_what_has_no_such_row_is_converted(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it, under its name; what the network sees stays exact."""
    monkeypatch.setattr(network, "precision", "bfloat16")
    test_augmented.test_what_a_network_sees(name, 4, False, rng)
    chain = network.Chain((8, 8, 3), test_augmented.NODES[name], network.conv2d(3, 1))
    added = [kernel for layer, kernel in steps(chain.model, "train", 4)[1] if layer.endswith("_1")]
    row = next(i for i, kernel in enumerate(added) if not kernel.startswith("copy_strided"))
    assert added[row - 1 : row + 2 : 2] == ["copy_strided_to_float32", "copy_strided_to_bfloat16"]


@pytest.mark.parametrize(
    "node",
    [
        {"op": "dropout", "rate": 0.5},
        {"op": "dropout", "rate": 0.3},
        {"op": "spatial_dropout", "rate": 0.5, "axes": 2},
        {"op": "gaussian_noise", "stddev": 0.75},
        {"op": "gaussian_dropout", "rate": 0.3},
        {"op": "alpha_dropout", "rate": 0.3},
    ],
    ids=lambda node: str(node["op"]),
)
def test_what_is_drawn_is_rounded_once(
    node: Node, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of float32, read off the gradient of a last kernel of zeros."""
    x = integers(rng, (4, 5, 3, 6))
    seen = []
    for precision in ("float32", "bfloat16"):
        monkeypatch.setattr(network, "precision", precision)
        chain = network.Chain(x.shape[1:], node, op("flatten"), dense(4, use_bias=False))
        chain.model.seed = 2**41 + 12345
        chain.weights = [np.zeros((90, 4), np.float32)]
        chain.train(x, np.eye(4, dtype=np.float32) * -8)
        seen.append(-chain.weights[0])
    assert np.any(seen[0])
    assert_same_bits(seen[1], bfloat16(seen[0]), "drawn")


def test_most_rows_need_no_conversion() -> None:
    """Of a network of usual layers and losses what the caller is given alone does."""
    nodes = chain(
        (8, 8, 3),
        conv2d(8, 3, padding="same"),
        op("relu"),
        pool("max"),
        conv2d(8, 3),
        op("tanh"),
        dropout(0.5),
        op("flatten"),
        dense(6),
        op("softmax"),
    )
    model = build(nodes, SGD, SPARSE)
    _, of_step = steps(model, "train", 8)
    assert [step for step in of_step if step[1].startswith("copy_strided")] == [
        ("weights", "copy_strided_to_bfloat16")
    ]
    assert ("batch", "gather_strided_to_bfloat16") in of_step
    of_weights = [kernel for _, kernel in of_step if "wgrad" in kernel]
    assert len(of_weights) == 2
    assert all(kernel.endswith("_to_float32") for kernel in of_weights)
    _, of_prediction = steps(model, "predict", 8)
    assert [step for step in of_prediction if step[1].startswith("copy_strided")] == [
        ("weights", "copy_strided_to_bfloat16"),
        ("softmax_9", "copy_strided_to_float32"),
    ]


def test_norms_go_into_narrow_weights(rng: np.random.Generator) -> None:
    """Of a prediction: gamma over the root of the variance is one half, and all numbers stay whole."""
    norm = {"op": "batch_norm", "epsilon": 2.0**-10, "momentum": 0.5, "scale": True, "center": True}
    nodes = chain((5, 5, 3), conv2d(8, 3), norm, op("relu"))
    model = build(nodes, SGD, SQUARED)
    kernel, (bias, gain, shift, mean) = 2 * small(rng, (3, 3, 3, 8)), (small(rng, (8,)) for _ in range(4))
    gain[:] = 1
    model.set_parameters([kernel, 2 * bias, gain, shift, 2 * mean, np.full(8, 4 - 2.0**-10, np.float32)])
    x = signs(rng, (4, 5, 5, 3), 0.8)
    wanted = np.maximum(reference.conv2d(x, kernel / 2, bias - mean + shift), 0)
    assert is_held(wanted)
    assert_exact(predict(model, x, 4), wanted, "predictions")
    kernels = [kernel for _, kernel in steps(model, "predict", 4)[1]]
    assert kernels.count("batch_norm_fold_columns_to_bfloat16") == 1
    assert sum(kernel.startswith("copy_strided") for kernel in kernels) == 1


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_arena_is_half_as_large(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the copy of the weights, the workspaces and the places of the maxima."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from harness import infer_fastcnn
    from harness.image_networks import IMAGE_NETWORKS

    arenas = {}
    for precision in ("float32", "bfloat16"):
        model = infer_fastcnn.functional(IMAGE_NETWORKS[name])
        loss = fastcnn.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, device="cuda", precision=precision)
        arenas[precision] = {mode: steps(model._bind().native, mode, 32)[0] for mode in ("train", "predict")}
    for mode in ("train", "predict"):
        assert arenas["bfloat16"][mode] < 0.6 * arenas["float32"][mode]


def test_same_bits_every_run(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 8, 8, 3)).astype(np.float32)
    y = rng.integers(0, 6, 40)
    states = []
    for _ in range(3):
        model = build(REALS["rectified"], SGD, SPARSE)
        train(model, x, y, 16)
        states.append(bits(model))
    assert states[0] == states[1] == states[2]

# SPDX-License-Identifier: Apache-2.0
"""The batch in lanes: exact in whole numbers, the same bits for any number of threads.

Small networks of convolutions train and predict in this layout when the batch fills a block of 16 samples;
nothing but the names of the kernel rows shows it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph, small, stay_exact
from plan_networks import (
    MOMENTUM,
    SGD,
    SQUARED,
    Node,
    bits,
    build,
    chain,
    conv2d,
    dense,
    digits,
    dropout,
    evaluate,
    lenet,
    op,
    pool,
    predict,
    rescaling,
    run,
)

import fastcnn
from fastcnn.testing import reference, winograd
from fastcnn.testing.compare import assert_exact, assert_within, sum_bound
from fastcnn.testing.graph import GraphReference
from fastcnn.testing.network import Chain

CONV = conv2d(2, 3)
TAIL = (op("flatten"), dense(3))


def upsampling(interpolation: str, *size: int) -> Node:
    return {"op": "upsampling", "size": size, "interpolation": interpolation}


# Each takes what is special about a row: sizes of its tiles, borders, phases, what is fused.
NETWORKS: dict[str, list[Node]] = {
    "one channel, borders": chain((6, 7, 1), conv2d(6, 5, padding="same"), op("relu"), *TAIL),
    "tiles of channels": chain((5, 5, 2), conv2d(13, 3), op("relu"), conv2d(7, 2), *TAIL),
    "many channels": chain((4, 4, 9), conv2d(17, 5, padding="same"), op("relu"), conv2d(5, 2), *TAIL),
    "strides": chain(
        (9, 8, 2),
        conv2d(3, 3, strides=(2, 3), padding="same"),
        op("relu"),
        conv2d(4, 2, strides=(3, 2)),
        *TAIL,
    ),
    "dilation": chain((9, 8, 1), conv2d(3, 3, dilation_rate=(2, 3), padding="same"), conv2d(2, 2), *TAIL),
    "strides beyond the window": chain((9, 9, 4), conv2d(4, 1), conv2d(3, 2, strides=(3, 4)), *TAIL),
    "window larger than the image": chain(
        (3, 2, 2), conv2d(3, 7, padding="same"), conv2d(2, 6, padding="same"), *TAIL
    ),
    "seven taps, one channel": chain((9, 9, 1), conv2d(5, 7), op("relu"), *TAIL),
    "no bias": chain((5, 4, 2), conv2d(3, 3, use_bias=False), conv2d(2, 2), op("flatten"), dense(2, False)),
    "max-pool": chain(
        (8, 8, 1), conv2d(3, 3, padding="same"), op("relu"), pool("max"), conv2d(2, 2), pool("max"), *TAIL
    ),
    "max-pool, windows overlap": chain(
        (8, 7, 1), conv2d(3, 2), pool("max", 3, strides=(2, 1), padding="same"), op("relu"), *TAIL
    ),
    "max-pool, gaps": chain((9, 9, 1), conv2d(3, 2), op("relu"), pool("max", 2, strides=(3, 3)), *TAIL),
    "max-pool leaves a row": chain((8, 8, 1), conv2d(3, 2), op("relu"), pool("max"), *TAIL),
    "dense after dense": chain(
        (4, 4, 1), CONV, op("flatten"), dense(7), op("relu"), dense(19), op("relu"), dense(2)
    ),
    "dense on images": chain((4, 3, 1), CONV, dense(5), op("relu"), dense(2)),
    "activation on its own": chain((5, 5, 1), CONV, op("relu"), op("relu"), rescaling(2.0, 1.0), *TAIL),
    "winograd": chain((7, 8, 8), conv2d(9, 3), op("relu"), conv2d(13, 3, padding="same"), op("relu"), *TAIL),
    "winograd, nothing fused": chain(
        (6, 11, 8), conv2d(8, 3, padding="same", use_bias=False), conv2d(8, 3), *TAIL
    ),
    "winograd of 5x5": chain(
        (9, 8, 4), conv2d(5, 5, padding="same"), op("relu"), conv2d(6, 5, padding="same"), *TAIL
    ),
    "output is an image": chain((5, 5, 2), CONV, op("relu"), conv2d(3, 2)),
    "average pool": chain((9, 8, 2), conv2d(5, 2), op("relu"), pool("average"), *TAIL),
    "average pool, windows overlap": chain(
        (6, 6, 2), conv2d(3, 3), pool("average", 2, strides=(1, 1)), op("relu"), *TAIL
    ),
    "sum pool": chain((7, 7, 1), conv2d(3, 2), pool("sum", 3, strides=(2, 2), padding="same"), *TAIL),
    "global average pool": chain(
        (5, 5, 2),
        conv2d(7, 2),
        op("relu"),
        {"op": "average_pool2d", "axes": 2, "global": True, "keepdims": False},
        dense(3),
    ),
    "a sum of branches": chain(
        (5, 5, 2),
        conv2d(3, 3, padding="same"),
        op("relu"),
        conv2d(3, 3, padding="same"),
        {"op": "add", "inputs": [3, 2]},
        op("relu"),
        *TAIL,
    ),
    "other merges": chain(
        (4, 4, 1),
        conv2d(2, 2),
        conv2d(2, 1),
        {"op": "subtract", "inputs": [2, 1]},
        {"op": "multiply", "inputs": [3, 1]},
        {"op": "maximum", "inputs": [4, 2]},
        {"op": "average", "inputs": [5, 1]},
        *TAIL,
    ),
    "a sum of what was flattened": chain(
        (3, 3, 2), CONV, op("flatten"), {"op": "add", "inputs": [2, 2]}, dense(3)
    ),
    "groups": chain((6, 5, 4), conv2d(6, 3, groups=2, padding="same"), op("relu"), conv2d(4, 2), *TAIL),
    "depthwise, strides": chain(
        (7, 8, 2), conv2d(5, 1), conv2d(5, 3, groups=5, strides=(2, 1), padding="same"), op("relu"), *TAIL
    ),
    "depthwise, two of each, pooled": chain(
        (8, 8, 3), conv2d(6, 3, groups=3, padding="same"), op("relu"), pool("max"), *TAIL
    ),
    "channels after each other": chain(
        (5, 4, 2),
        conv2d(3, 2),
        {**conv2d(2, 2), "inputs": [0]},
        {"op": "concatenate", "inputs": [1, 2, 1], "axis": -1},
        op("relu"),
        *TAIL,
    ),
    "padding and cropping": chain(
        (5, 4, 2),
        {"op": "zero_padding", "padding": (1, 0, 2, 1)},
        conv2d(3, 3),
        {"op": "cropping", "cropping": (1, 0, 0, 1)},
        *TAIL,
    ),
    "upsampling": chain((3, 4, 2), conv2d(3, 2), upsampling("nearest", 2, 3), conv2d(2, 2), *TAIL),
    "upsampling, bilinear": chain((3, 3, 2), conv2d(3, 2), upsampling("bilinear", 2, 2), *TAIL),
    "a slope for each channel": chain((5, 4, 2), conv2d(3, 2), {"op": "prelu", "shared_axes": (1, 2)}, *TAIL),
    "a slope for all": chain((5, 4, 2), conv2d(3, 2), {"op": "prelu", "shared_axes": (1, 2, 3)}, *TAIL),
}


def rows(model: Any, batch: int) -> str:
    return str(model.describe("train", batch))


def check_training(graph: Graph, rng: np.random.Generator, batch: int) -> None:
    """The gradients of all parameters to the last bit; of predictions, which may round, nothing."""
    x = graph.inputs(rng, batch)
    judge = GraphReference(graph.nodes, graph.weights, graph.outputs)
    wanted = judge.forward(x)
    dy = [small(rng, y.shape, 4.0) for y in wanted]
    gradients = judge.backward(dy)
    assert stay_exact(judge.magnitudes(dy)), "the numbers of the test"
    graph.model.set_parameters(graph.weights)
    target = tuple((y - d).astype(np.float32) for y, d in zip(wanted, dy, strict=True))
    run(graph.model.session("train", x, target, None, batch))
    left = graph.model.get_parameters()
    for parameter, old, new, gradient in zip(
        graph.model.parameters, graph.weights, left, gradients, strict=True
    ):
        assert np.array_equal(old - new, gradient), parameter["name"]
        assert np.any(gradient), "zeros everywhere prove nothing"


@pytest.mark.parametrize("batch", [16, 33, 47])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact(name: str, batch: int, rng: np.random.Generator) -> None:
    graph = Graph(NETWORKS[name], [len(NETWORKS[name]) - 1], rng)
    check_training(graph, rng, batch)
    assert "conv2d_wgrad_lanes" in rows(graph.model, batch)


@pytest.mark.parametrize("batch", [32, 64, 80, 144])
def test_blocks_beside_each_other(batch: int, rng: np.random.Generator) -> None:
    """In tiles of two, three and four blocks; a row of one pixel with taps beyond it in none."""
    nodes = chain(
        (4, 5, 1),
        conv2d(2, kernel_size=(2, 5)),
        conv2d(5, 3, padding="same"),
        op("flatten"),
        dense(7),
        op("relu"),
        dense(19),
        op("relu"),
        dense(2),
    )
    check_training(Graph(nodes, [len(nodes) - 1], rng), rng, batch)


@pytest.mark.parametrize("batch", [16, 32, 50])
def test_sums_in_pieces(batch: int, rng: np.random.Generator) -> None:
    """Dense layers whose sums are cut, over rows of pixels and over channels."""
    nodes = chain((5, 4, 1), conv2d(7, 2), op("flatten"), dense(280), op("relu"), dense(70), dense(2))
    check_training(Graph(nodes, [len(nodes) - 1], rng), rng, batch)


MANY_WEIGHTS: dict[str, list[Node]] = {
    "rows of pixels and channels": chain(
        (8, 7, 2), conv2d(15, 3, padding="same"), op("flatten"), dense(1251), op("relu"), dense(841), dense(2)
    ),
    "taps beyond the image": chain(
        (5, 5, 2),
        conv2d(32, 3, padding="same"),
        conv2d(939, kernel_size=(7, 5), strides=(5, 5), padding="same"),
        op("relu"),
        op("flatten"),
        dense(2),
    ),
}


@pytest.mark.parametrize("batch", [33, 80])
@pytest.mark.parametrize("name", MANY_WEIGHTS)
def test_copies_of_many_weights(name: str, batch: int, rng: np.random.Generator) -> None:
    """Training, in pieces of the sums, and predictions. Most weights are zero, or sums would round."""
    graph = Graph(MANY_WEIGHTS[name], [len(MANY_WEIGHTS[name]) - 1], rng)
    graph.weights = [w if w.size < 2000 else w * (rng.random(w.shape) < 1 / 32) for w in graph.weights]
    check_training(graph, rng, batch)
    assert "conv2d_wgrad_lanes" in rows(graph.model, batch)
    graph.model.set_parameters(graph.weights)
    x = graph.inputs(rng, batch)
    wanted = GraphReference(graph.nodes, graph.weights, graph.outputs).forward(x)
    assert_exact(graph.predict(x)[0], wanted[0], name)


@pytest.mark.parametrize("batch", [16, 33, 47])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_predictions(name: str, batch: int, rng: np.random.Generator) -> None:
    graph = Graph(NETWORKS[name], [len(NETWORKS[name]) - 1], rng)
    graph.model.set_parameters(graph.weights)
    x = graph.inputs(rng, batch)
    wanted = GraphReference(graph.nodes, graph.weights, graph.outputs).forward(x)
    assert np.any(wanted[0]), "zeros everywhere prove nothing"
    assert_exact(graph.predict(x)[0], wanted[0], name)
    assert "conv2d_fprop_lanes" in graph.strict.describe("predict", batch)


def test_evaluation_counts_what_prediction_names(rng: np.random.Generator) -> None:
    model = build(lenet())
    x, y = digits(rng, 70)
    assert all("fprop_lanes" in model.describe(mode, 32) for mode in ("evaluate", "predict"))
    assert "lanes" not in model.describe("predict", 6)
    named = predict(model, x, 32).argmax(1)
    assert evaluate(model, x, y, 32)["correct"] == np.sum(named == y)
    assert evaluate(model, x, named, 32)["correct"] == len(x)


@pytest.mark.parametrize("name", ["winograd", "winograd of 5x5"])
def test_winograd_is_not_strict(name: str) -> None:
    model = build(NETWORKS[name], loss=SQUARED, accuracy=None)
    assert rows(model, 16).count("lanes_winograd") == 3
    model.compile(SGD, SQUARED, None, "cpu", "float32", "strict")
    assert "lanes_winograd" not in rows(model, 16)
    assert "conv2d_dgrad_lanes" in rows(model, 16)


@pytest.mark.parametrize(("size", "form"), [(3, 2), (5, "five taps")])
def test_winograd_of_real_numbers(size: int, form: winograd.Form, rng: np.random.Generator) -> None:
    model = build(chain((11, 12, 7 + size), conv2d(9, size, padding="same")), loss=SQUARED, accuracy=None)
    x = rng.standard_normal((16, 11, 12, 7 + size)).astype(np.float32)
    assert "conv2d_fprop_lanes_winograd" in model.describe("predict", 16)
    kernel, bias = model.get_parameters()
    real, filters = x.astype(np.float64), kernel.astype(np.float64)
    wanted = reference.conv2d(real, filters, padding=size // 2) + bias
    at = winograd.Geometry((size // 2, size // 2))
    bound = winograd.bound(real, filters, wanted, at, form)
    assert_within(predict(model, x, 16), wanted, bound, "predictions")


# A chunk of one sample and of many, units of some columns and of several rows, borders that cut a tile.
WINOGRAD_GRADIENTS: dict[str, list[Node]] = {
    "no borders": chain((8, 10, 16), conv2d(33, 5, use_bias=False)),
    "columns in parts": chain((6, 25, 32), conv2d(67, 5, padding="same")),
    "rows together": chain((13, 9, 17), conv2d(32, 5, padding="same")),
}


@pytest.mark.parametrize("batch", [16, 45, 64])
@pytest.mark.parametrize("name", WINOGRAD_GRADIENTS)
def test_winograd_weight_gradients(name: str, batch: int, rng: np.random.Generator) -> None:
    graph = Graph(WINOGRAD_GRADIENTS[name], [1], rng)
    check_training(graph, rng, batch)
    assert "conv2d_wgrad_lanes_winograd" in rows(graph.model, batch)
    graph.compile(math="strict")
    assert "winograd" not in rows(graph.model, batch)


def test_winograd_weight_gradient_of_real_numbers(rng: np.random.Generator) -> None:
    """Of weights that are zero, so that the output's gradient is known and what they become is theirs."""
    graph = Graph(chain((11, 12, 16), conv2d(32, 5, padding="same")), [1], rng)
    x = rng.standard_normal((48, 11, 12, 16)).astype(np.float32)
    dy = rng.standard_normal((48, 11, 12, 32)).astype(np.float32)
    assert "conv2d_wgrad_lanes_winograd" in rows(graph.model, 48)
    graph.model.set_parameters([np.zeros_like(w) for w in graph.weights])
    run(graph.model.session("train", (x,), (-dy,), None, 48))
    dw, db = (-w for w in graph.model.get_parameters())
    images, gradient = x.astype(np.float64), dy.astype(np.float64)
    wanted = reference.conv2d_wgrad(images, gradient, (5, 5), padding=2)
    at = winograd.Geometry((2, 2))
    assert_within(dw, wanted, winograd.wgrad_bound(images, gradient, wanted, at, "five taps"), "kernel")
    sums = gradient.sum((0, 1, 2))
    assert_within(db, sums, sum_bound(sums, np.abs(gradient).sum((0, 1, 2)), 48 * 11 * 12), "bias")


@pytest.mark.parametrize("batch", [1, 15])
def test_a_part_of_a_block_stays_channels_last(batch: int, rng: np.random.Generator) -> None:
    graph = Graph(NETWORKS["max-pool"], [len(NETWORKS["max-pool"]) - 1], rng)
    check_exact_graph(graph, rng, batch)
    assert "lanes" not in rows(graph.model, batch)


UNSUPPORTED: dict[str, list[Node]] = {
    "groups of many channels": chain((5, 5, 8), conv2d(4, 3, groups=2), *TAIL),
    "rows after each other": chain(
        (4, 4, 2), conv2d(2, 3), {"op": "concatenate", "inputs": [1, 1], "axis": 1}, *TAIL
    ),
    "a slope for each number": chain((4, 4, 2), CONV, {"op": "prelu", "shared_axes": ()}, *TAIL),
    "broadcasting": chain(
        (4, 4, 2),
        conv2d(2, 3),
        {**conv2d(1, 3), "inputs": [0]},
        {"op": "multiply", "inputs": [1, 2]},
        *TAIL,
    ),
    "a sum of images as they are and flattened": chain(
        (4, 4, 2), conv2d(3, 3), op("flatten"), dense(12), {"op": "add", "inputs": [2, 3]}, dense(2)
    ),
    "a reshape to an image": chain(
        (4, 4, 2), CONV, {"op": "reshape", "target_shape": (4, 1, 2)}, conv2d(2, 1), *TAIL
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_network_that_no_rows_cover_stays_channels_last(name: str, rng: np.random.Generator) -> None:
    graph = Graph(UNSUPPORTED[name], [len(UNSUPPORTED[name]) - 1], rng)
    check_exact_graph(graph, rng, 16)
    assert "lanes" not in rows(graph.model, 16)


def test_a_shared_layer_and_frozen_parameters(rng: np.random.Generator) -> None:
    """Sums of gradients; a kernel without its bias, and a bias without its kernel."""
    shared = {**conv2d(2, 3, padding="same"), "name": "shared"}
    nodes = chain((5, 5, 2), shared, op("relu"), {**shared, "call": 1}, *TAIL)
    graph = Graph(nodes, [len(nodes) - 1], rng)
    check_exact_graph(graph, rng, 20)
    assert "conv2d_wgrad_lanes" in rows(graph.model, 20)
    names = [p["name"] for p in graph.model.parameters]
    for frozen in ("shared/bias", "shared/kernel"):
        graph.compile((names.index(frozen),))
        graph.model.set_parameters(graph.weights)
        x = graph.inputs(rng, 20)
        got = graph.gradients(x, [small(rng, (20, 3), 4.0)])
        moved = {name for name, gradient in zip(names, got, strict=True) if np.any(gradient)}
        assert moved == set(names) - {frozen}


def trained(nodes: list[Node], threads: int, batch: int) -> list[bytes]:
    fastcnn.set_num_threads(threads)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((5 * batch // 2, *nodes[0]["shape"])).astype(np.float32)
    model = build(nodes, MOMENTUM)
    assert "conv2d_fprop_lanes" in rows(model, batch)
    session = model.session("train", x, rng.integers(0, 10, len(x)), None, batch)
    for _ in range(9):  # beyond those batches whose steps are timed one by one
        run(session, rng.permutation(len(x)))
    return bits(model)


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("batch", [40, 64])
def test_threads(batch: int) -> None:
    """Batches, and half a batch at the end, large enough for every step to be cut into tasks."""
    nodes = chain(
        (20, 22, 3),
        conv2d(14, 5, padding="same"),
        op("relu"),
        pool("max"),
        {"op": "batch_norm", "epsilon": 1e-3, "momentum": 0.9, "scale": True, "center": True},
        op("silu"),
        pool("average", 2, strides=(1, 1)),
        conv2d(24, 3, strides=(1, 2)),
        op("relu"),
        pool("max", 3, strides=(2, 2)),
        op("flatten"),
        dropout(0.25),
        dense(100),
        op("tanh"),
        dense(10),
        op("softmax"),
    )
    alone = trained(nodes, 1, batch)
    for threads in (2, 3, 5):
        assert trained(nodes, threads, batch) == alone


@pytest.mark.usefixtures("keep_threads")
def test_threads_of_winograd_and_many_weights() -> None:
    nodes = chain(
        (12, 14, 16), conv2d(32, 5), op("relu"), op("flatten"), dense(410), dense(10), op("softmax")
    )
    assert "conv2d_wgrad_lanes_winograd" in rows(build(nodes, MOMENTUM), 48)
    alone = trained(nodes, 1, 48)
    for threads in (2, 3, 5):
        assert trained(nodes, threads, 48) == alone


@pytest.mark.parametrize("shape", [(3, 3, 5), (4, 4, 4), (1, 7, 1)])
def test_dropout_draws_as_in_channels_last(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """The gradient of the last kernel, where that of the output is the identity, holds what was dropped."""
    batch, channels = 21, shape[-1]
    chain = Chain(
        shape,
        conv2d(channels, 1),
        {"op": "dropout", "rate": 0.5},
        op("flatten"),
        dense(batch, use_bias=False),
    )
    identity = np.eye(channels, dtype=np.float32).reshape(1, 1, channels, channels)
    last = np.zeros((int(np.prod(shape)), batch), np.float32)
    chain.weights = [identity, np.zeros(channels, np.float32), last]
    chain.model.seed = 2**41 + 12345
    assert "dropout_lanes" in rows(chain.model, batch)
    x = small(rng, (batch, *shape))
    chain.train(x, np.eye(batch, dtype=np.float32) * np.float32(-batch * batch / 2))
    wanted = reference.dropout(x, 0.5, reference.DropoutDraw(2**41 + 12345))
    assert_exact((last - chain.weights[-1]).T, wanted.reshape(batch, -1), "dropped")


def test_nan_wins_a_max_pool() -> None:
    nodes = chain((4, 4, 1), conv2d(1, 1), pool("max"), op("flatten"), dense(1))
    x = np.zeros((16, 4, 4, 1), np.float32)
    model = build(nodes, loss={"name": "mean_squared_error", "from_logits": False}, accuracy=None)
    assert "wgrad_pooled_lanes" in rows(model, 16)
    session = model.session("train", x, np.zeros((16, 1), np.float32), None, 16)
    assert np.isfinite(run(session)["loss"])
    x[3, 1, 1, 0] = np.nan
    assert np.isnan(run(session)["loss"])

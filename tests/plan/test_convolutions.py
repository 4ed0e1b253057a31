# SPDX-License-Identifier: Apache-2.0
"""Networks of convolutions beyond conv2d: the same bits on any number of threads, and as ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import Node, bits, build, chain, conv2d, convolution, dense, op, predict, run

import fastcnn
from fastcnn import ops
from fastcnn.testing import winograd
from fastcnn.testing.compare import assert_same_bits, assert_within

NETWORKS: dict[str, list[Node]] = {
    "images": chain(
        (20, 22, 3),
        conv2d(16, strides=(2, 2), padding="same"),
        op("relu"),
        convolution("depthwise_conv2d", (3, 3), depth_multiplier=2, padding="same"),
        op("relu"),
        convolution("conv2d_transpose", (4, 4), filters=9, strides=(2, 2), padding="same"),
        op("tanh"),
        op("flatten"),
        dense(10),
        op("softmax"),
    ),
    "volumes": chain(
        (6, 12, 11, 3),
        convolution("conv3d", (3, 3, 3), filters=16, padding="same"),
        op("relu"),
        convolution("conv3d", (3, 3, 3), filters=24, strides=(2, 2, 2), padding="same"),
        op("relu"),
        convolution("conv3d", (3, 3, 3), filters=24, groups=24, padding="same"),
        op("relu"),
        convolution("conv3d_transpose", (2, 2, 2), filters=7, strides=(2, 2, 2)),
        op("relu"),
        op("flatten"),
        dense(10),
        op("softmax"),
    ),
    "sequences": chain(
        (200, 4),
        convolution("conv1d", (5,), filters=32, padding="causal"),
        op("relu"),
        convolution("depthwise_conv1d", (5,), depth_multiplier=1, strides=(2,)),
        op("relu"),
        convolution("conv1d_transpose", (4,), filters=8, strides=(2,), padding="same"),
        op("sigmoid"),
        op("flatten"),
        dense(10),
        op("softmax"),
    ),
}


def trained(nodes: list[Node], threads: int) -> list[bytes]:
    """Two epochs of two batches and a short one."""
    fastcnn.set_num_threads(threads)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((20, *nodes[0]["shape"])).astype(np.float32)
    model = build(nodes)
    session = model.session("train", x, rng.integers(0, 10, 20), None, 8)
    for _ in range(2):
        run(session, rng.permutation(len(x)))
    return bits(model)


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("name", NETWORKS)
def test_threads(name: str) -> None:
    alone = trained(NETWORKS[name], 1)
    for threads in (2, 3, 5):
        assert trained(NETWORKS[name], threads) == alone


def test_predictions_are_those_of_ops(rng: np.random.Generator) -> None:
    """Activations other than ReLU are one more pass in both, over what the same rows have summed."""
    nodes = chain(
        (4, 6, 5, 3),
        convolution("conv3d", (3, 3, 3), filters=5, padding="same"),
        op("relu"),
        convolution("conv3d_transpose", (3, 2, 2), filters=4, strides=(2, 1, 2)),
        op("tanh"),
    )
    model = build(nodes, loss={"name": "mean_squared_error", "from_logits": False}, accuracy=None)
    x: Any = rng.standard_normal((3, 4, 6, 5, 3)).astype(np.float32)
    first, first_bias, second, second_bias = model.get_parameters()
    y = ops.conv3d(x, first, first_bias, padding="same", activation="relu")
    y = ops.conv3d_transpose(y, second, second_bias, strides=(2, 1, 2), activation="tanh")
    assert_same_bits(predict(model, x, 3), y, "predictions")


def predicted_alike(nodes: list[Node], x: Any) -> tuple[Any, Any]:
    """A model and its predictions: the same bits for any thread count, of new weights and of kept ones."""
    loss = {"name": "mean_squared_error", "from_logits": False}
    model, alone = None, None
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        model = build(nodes, loss=loss, accuracy=None)
        for weights in ("new", "known"):
            y = predict(model, x, 1)
            alone = y if alone is None else alone
            assert_same_bits(y, alone, f"{threads} threads, weights {weights}")
    return model, alone


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize(("side", "channels"), [(28, 64), (28, 128), (14, 256)])
def test_kept_filters(side: int, channels: int, rng: np.random.Generator) -> None:
    """Winograd's filters that a plan keeps: some of them by few tiles are a task."""
    nodes = chain((side, side, channels), conv2d(channels, padding="same"))
    x: Any = rng.standard_normal((1, side, side, channels)).astype(np.float32)
    model, alone = predicted_alike(nodes, x)
    assert "conv2d_fprop_winograd" in model.describe("predict", 1)
    kernel, bias = model.get_parameters()
    at, real, filters = winograd.Geometry((1, 1)), x.astype(np.float64), kernel.astype(np.float64)
    wanted = winograd.convolve(real, filters, (side, side), at, 4) + bias
    assert_within(alone, wanted, winograd.bound(real, filters, wanted, at, 4), "predictions")


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize(
    ("side", "channels", "filters"), [(14, 64, 384), (15, 96, 576), (7, 160, 960), (13, 1040, 256)]
)
def test_kept_panels(side: int, channels: int, filters: int, rng: np.random.Generator) -> None:
    """Pointwise weights heavier than the input: by rows where input and output together outweigh them, and in
    bands where there are few panels.
    """
    nodes = chain((side, side, channels), conv2d(filters, 1), op("relu6"))
    x: Any = rng.standard_normal((1, side, side, channels)).astype(np.float32)
    model, alone = predicted_alike(nodes, x)
    kernel, bias = (each.astype(np.float64) for each in model.get_parameters())
    real, kernel = x.astype(np.float64), kernel[0, 0]
    terms = np.abs(real) @ np.abs(kernel) + np.abs(bias)
    bound = (channels + 2) * np.finfo(np.float32).eps * terms
    assert_within(alone, np.clip(real @ kernel + bias, 0, 6), bound, "predictions")

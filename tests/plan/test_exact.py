# SPDX-License-Identifier: Apache-2.0
"""Whole networks in whole numbers: predictions and gradients equal the float64 reference with no tolerance.

SGD with rate 1 leaves ``weights - gradient``; with the mean squared error and targets ``y - g size / 2`` the
gradient of the output is the chosen g. All numbers stay small enough for every sum to be exact in float32.
"""

from __future__ import annotations

import numpy as np
import pytest
from plan_networks import (
    SGD,
    SQUARED,
    Node,
    build,
    chain,
    conv2d,
    convolution,
    dense,
    op,
    pool,
    predict,
    rescaling,
    train,
)
from plan_reference import Array, Reference

from fastcnn.testing.compare import assert_exact

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
    "transposed": chain(
        (2, 3, 2),
        convolution("conv2d_transpose", (3, 2), filters=2, strides=(2, 1), padding="same"),
        op("relu"),
        convolution("conv2d_transpose", (2, 2), filters=2, groups=2, use_bias=False),
        op("relu"),
        op("flatten"),
        dense(2),
    ),
    "sequences": chain(
        (6, 2),
        convolution("conv1d", (3,), filters=2, padding="causal", dilation_rate=(2,)),
        op("relu"),
        convolution("conv1d_transpose", (2,), filters=2, strides=(2,), output_padding=(1,)),
        convolution("depthwise_conv1d", (2,), depth_multiplier=2, strides=(2,)),
        op("relu"),
        op("flatten"),
        dense(2),
    ),
    "volumes": chain(
        (3, 3, 2, 2),
        convolution("conv3d", (2, 2, 2), filters=2, padding="same"),
        op("relu"),
        convolution("conv3d", (2, 3, 2), filters=2, strides=(2, 1, 1)),
        op("flatten"),
        dense(2),
    ),
    "volumes, transposed": chain(
        (2, 2, 2, 2),
        convolution("conv3d_transpose", (2, 2, 1), filters=2, strides=(2, 1, 1)),
        op("relu"),
        convolution("conv3d_transpose", (2, 1, 2), filters=1),
        op("relu"),
        op("flatten"),
        dense(2),
    ),
    "separable": chain(
        (5, 4, 2),
        convolution(
            "depthwise_conv2d", (3, 2), depth_multiplier=2, use_bias=False, kernel_role="depthwise_kernel"
        ),
        {**convolution("conv2d", (1, 1), filters=3), "kernel_role": "pointwise_kernel"},
        op("relu"),
        op("flatten"),
        dense(2),
    ),
    "max-pool first": chain((6, 6, 2), pool("max"), conv2d(2, 2), op("flatten"), dense(2)),
}


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

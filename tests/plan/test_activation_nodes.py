# SPDX-License-Identifier: Apache-2.0
"""Networks with each of the activations: what a plan fuses, keeps or writes in place changes no bit.

The gradient of a bias that is 0 can be read off after one step of SGD with rate 1; of one sample it is what
the activation behind it passed back.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import layers, ops
from fastcnn.layers.base import ACTIVATIONS
from fastcnn.testing import reference
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.network import Chain, Node, conv2d, dense

HIDDEN, OUT = 37, 4  # OUT: a power of two, so that the mean in the loss is exact

NODES: dict[str, Node] = {
    **{name: nodes[0] for name, nodes in ACTIVATIONS.items() if nodes},
    "general_relu": {"op": "general_relu", "negative_slope": 0.25, "max_value": 1.5, "threshold": 0.5},
    "threshold": {"op": "threshold", "threshold": 0.25, "default_value": -3.0},
    "another slope": {"op": "leaky_relu", "negative_slope": 0.3},
}


def applied(node: Node, x: np.ndarray) -> np.ndarray:
    return np.asarray(getattr(ops, name_of(node))(x, **options_of(node)))


def name_of(node: Node) -> str:
    return {"gelu_tanh": "gelu"}.get(node["op"], node["op"])


def options_of(node: Node) -> Node:
    if name_of(node) == "gelu":
        return {"approximate": node["op"] == "gelu_tanh"}
    return {key: value for key, value in node.items() if key != "op"}


@pytest.mark.parametrize("name", NODES)
def test_prediction_and_gradient(name: str, rng: np.random.Generator) -> None:
    node = NODES[name]
    chain = Chain((9,), dense(HIDDEN), node, dense(OUT))
    w1, b1, w2, b2 = (rng.standard_normal(w.shape).astype(np.float32) for w in chain.weights)
    b1[:] = 0
    chain.weights = [w1, b1, w2, b2]
    x, target = (rng.standard_normal((1, size)).astype(np.float32) for size in (9, OUT))

    before = ops.gemm(x, w1, bias=b1)
    hidden = applied(node, before)
    y = ops.gemm(hidden, w2, bias=b2)
    assert_same_bits(chain.predict(x), y, "prediction")

    dh = ops.gemm((y - target) * np.float32(2 / OUT), w2, transpose_b=True)
    backward = getattr(ops, f"{name_of(node)}_bwd")
    saved = before if reference.saves_x(getattr(reference, f"{name_of(node)}_bwd")) else hidden
    wanted = backward(dh, saved, **options_of(node))
    chain.train(x, target)
    assert_same_bits(0 - chain.weights[1], (0 - (0 - wanted))[0], "gradient before the activation")
    assert np.any(wanted)


@pytest.mark.parametrize("name", NODES)
def test_after_a_convolution(name: str, rng: np.random.Generator) -> None:
    node = NODES[name]
    chain = Chain((5, 6, 3), conv2d(7), node)
    w, b = chain.weights = [rng.standard_normal(w.shape).astype(np.float32) for w in chain.weights]
    x = rng.standard_normal((2, 5, 6, 3)).astype(np.float32)
    wanted = applied(node, ops.conv2d(x, w, b, padding="same"))
    assert_same_bits(chain.predict(x), wanted, "prediction")


def test_what_is_fused() -> None:
    """Without parameters: in a prediction all, in training those whose gradient needs no input."""

    def rows(node: Node, mode: str) -> str:
        return Chain((9,), dense(HIDDEN), node, dense(OUT)).model.describe(mode, 8)

    for name, fused in (("relu", True), ("softplus", True), ("silu", False), ("leaky_relu", False)):
        text = rows(NODES[name], "train")
        assert (f"+ {name}" in text) == fused, text
        assert ("activation_fwd" in text) != fused, text
    for name, fused in (("relu", True), ("silu", True), ("gelu", True), ("leaky_relu", False)):
        assert ("activation_fwd" in rows(NODES[name], "predict")) != fused


@pytest.mark.parametrize(
    ("layer", "node"),
    [
        (layers.ReLU(), {"op": "relu"}),
        (layers.ReLU(negative_slope=0.5), {"op": "leaky_relu", "negative_slope": 0.5}),
        (
            layers.ReLU(max_value=6.0),
            {"op": "general_relu", "negative_slope": 0.0, "max_value": 6.0, "threshold": 0.0},
        ),
        (
            layers.ReLU(threshold=1),
            {"op": "general_relu", "negative_slope": 0.0, "max_value": np.inf, "threshold": 1.0},
        ),
        (layers.LeakyReLU(), {"op": "leaky_relu", "negative_slope": 0.3}),
        (layers.ELU(), {"op": "elu", "alpha": 1.0}),
        (layers.Activation("leaky_relu"), {"op": "leaky_relu", "negative_slope": 0.2}),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else None,
)
def test_the_operator_of_a_layer(layer: layers.Layer, node: Node) -> None:
    """With Keras's defaults."""
    assert layer.nodes() == [node]

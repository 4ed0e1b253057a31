# SPDX-License-Identifier: Apache-2.0
"""Noise in training: the numbers are the counter's, and the gradient goes through the same ones.

What comes out of a noise node before a last dense layer of zeros is read off that layer's gradient, as in the
tests of dropout; a bias before the node gives the gradient that comes back through it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import Sequential, layers
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import LOG_ULPS, assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers
from fastcnn.testing.network import Chain, Node, dense

SEED = 2**41 + 12345

# Roundings of a deviate: half of the logarithm's, the root, two of the angle, sine or cosine, the product.
DEVIATE = LOG_ULPS + 1 + 2 + 3 + 1

SPATIAL: Node = {"op": "spatial_dropout", "rate": 0.5}
NODES: dict[str, Node] = {
    "gaussian_noise": {"op": "gaussian_noise", "stddev": 0.75},
    "gaussian_dropout": {"op": "gaussian_dropout", "rate": 0.3},
    "alpha_dropout": {"op": "alpha_dropout", "rate": 0.3},
}


def drawn(node: Node, x: np.ndarray, step: int = 0) -> np.ndarray:
    """What comes out of the node in training; x [rows, ...] with a power of two of rows."""
    rows, count = len(x), int(np.prod(x.shape[1:]))
    chain = Chain(x.shape[1:], node, {"op": "flatten"}, dense(rows, use_bias=False))
    chain.model.seed = SEED
    kernel = np.zeros((count, rows), np.float32)
    for _ in range(step + 1):
        chain.weights = [kernel]
        chain.train(x, np.eye(rows, dtype=np.float32) * np.float32(-rows * rows / 2))
    return (kernel - chain.weights[-1]).T.reshape(x.shape)


def expected(node: Node, x: np.ndarray, draw: ref.DropoutDraw) -> np.ndarray:
    amount = node["stddev"] if "stddev" in node else node["rate"]
    return np.asarray(getattr(ref, node["op"])(x, amount, draw))


@pytest.mark.parametrize("cols", [1, 3, 15, 16, 17, 64, 130, 1000])
@pytest.mark.parametrize("name", NODES)
def test_what_is_drawn_is_the_reference(name: str, cols: int, rng: np.random.Generator) -> None:
    node, x = NODES[name], integers(rng, (4, cols))
    for step in (0, 1):
        wanted = expected(node, x, ref.DropoutDraw(SEED, step=step))
        # The terms are x and the noise; the scales are rounded to float32.
        terms = np.abs(x) + np.abs(wanted - x) + np.abs(wanted) + 2.0 * (name == "alpha_dropout")
        assert_within(drawn(node, x, step), wanted, gamma(DEVIATE + 4) * terms, f"{name}, step {step}")


@pytest.mark.parametrize(
    "shape", [(3, 4), (5, 1), (3, 4, 2), (9, 9, 3), (2, 2, 17), (1, 1, 300), (2, 3, 4, 5)]
)
@pytest.mark.parametrize("batch", [1, 4])
def test_spatial_dropout_drops_channels(shape: tuple[int, ...], batch: int, rng: np.random.Generator) -> None:
    node = {**SPATIAL, "axes": len(shape) - 1}
    x = integers(rng, (batch, *shape))
    for step in (0, 1):
        wanted = ref.spatial_dropout(x, 0.5, ref.DropoutDraw(SEED, step=step))
        assert np.array_equal(drawn(node, x, step), wanted)


@pytest.mark.parametrize("name", NODES)
def test_gradient_goes_through_what_was_drawn(name: str, rng: np.random.Generator) -> None:
    """Of one sample: the gradient of the bias before the node, which is 0, as is the last layer's own."""
    features, draw = 37, ref.DropoutDraw(SEED)
    chain = Chain((1,), dense(features), NODES[name], dense(4))
    w1, b1, w2, b2 = chain.weights
    w2 = integers(rng, w2.shape)
    chain.weights = [w1 * 0, b1 * 0, w2, b2 * 0]
    chain.model.seed = SEED
    chain.train(np.ones((1, 1), np.float32), integers(rng, (1, 4)))
    _, db1, _, db2 = (-weights for weights in chain.weights)
    dh = w2.astype(np.float64) @ db2
    wanted = {
        "gaussian_noise": lambda: ref.gaussian_noise_bwd(dh),
        "gaussian_dropout": lambda: ref.gaussian_dropout_bwd(dh, 0.3, draw),
        "alpha_dropout": lambda: ref.alpha_dropout_bwd(dh, 0.3, draw),
    }[name]()
    # A sum of four products, times a factor of two terms.
    factor = 1.0 + np.abs(wanted) / np.maximum(np.abs(dh), 1e-30)
    terms = np.abs(w2.astype(np.float64)) @ np.abs(db2) * factor + np.abs(wanted) + np.abs(dh)
    assert_within(db1, wanted, gamma(DEVIATE + 10) * terms, name)
    assert np.any(wanted)


def test_gradient_of_spatial_dropout(rng: np.random.Generator) -> None:
    """A dense layer over the channels: the gradient of its bias is summed over the pixels that were kept."""
    node = {**SPATIAL, "axes": 2}
    chain = Chain((2, 3, 5), dense(7), node, {"op": "flatten"}, dense(4, use_bias=False))
    w1, b1, w2 = chain.weights = [integers(rng, w.shape, 2**20) for w in chain.weights]
    chain.model.seed = SEED
    draw = ref.DropoutDraw(SEED)
    x, target = integers(rng, (4, 2, 3, 5), 2**20), integers(rng, (4, 4), 2**20)
    h = ref.spatial_dropout(ref.dense(x.reshape(-1, 5), w1, b1).reshape(4, 2, 3, 7), 0.5, draw)
    dy = ref.mean_squared_error_bwd(target, ref.dense(h.reshape(4, -1), w2))
    dh = (dy @ w2.T).reshape(h.shape)
    chain.train(x, target)
    assert np.array_equal(b1 - chain.weights[1], ref.spatial_dropout_bwd(dh, 0.5, draw).sum(axis=(0, 1, 2)))


def test_deviates_are_normal() -> None:
    """Mean, variance and fourth moment of 2^16 of them, to five standard deviations."""
    z = drawn({"op": "gaussian_noise", "stddev": 1.0}, np.zeros((16, 4096), np.float32)).astype(np.float64)
    assert abs(z.mean()) < 5 / z.size**0.5
    assert abs(z.var() - 1) < 5 * (2 / z.size) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / z.size) ** 0.5


def test_alpha_dropout_keeps_mean_and_variance(rng: np.random.Generator) -> None:
    """To six standard deviations; the squares of the mixture scatter by less than twice a normal's."""
    y = drawn(NODES["alpha_dropout"], rng.standard_normal((16, 4096)).astype(np.float32)).astype(np.float64)
    assert abs(y.mean()) < 6 / y.size**0.5
    assert abs(y.var() - 1) < 6 * 2 * (2 / y.size) ** 0.5


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("node", [*NODES.values(), {**SPATIAL, "axes": 2}], ids=lambda node: node["op"])
def test_same_bits_on_any_number_of_threads(node: Node, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 100, 90, 17)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append(drawn(node, x))
    for result in results[1:]:
        assert_same_bits(result, results[0], node["op"])


@pytest.mark.parametrize("node", [*NODES.values(), {**SPATIAL, "axes": 1}], ids=lambda node: node["op"])
def test_prediction_and_evaluation_draw_nothing(node: Node, rng: np.random.Generator) -> None:
    x = integers(rng, (5, 33, 2))
    chain = Chain((33, 2), node)
    assert_same_bits(chain.predict(x), x, "prediction")
    assert chain.evaluate(x, x) == 0.0


@pytest.mark.parametrize("node", [*NODES.values(), {**SPATIAL, "axes": 1}], ids=lambda node: node["op"])
def test_an_amount_of_zero_changes_nothing(node: Node, rng: np.random.Generator) -> None:
    x = integers(rng, (4, 9, 3))
    nothing = {**node, "stddev" if "stddev" in node else "rate": 0.0}
    assert np.array_equal(drawn(nothing, x), x)


BAD: list[tuple[Any, str]] = [
    (lambda: Chain((3,), {"op": "gaussian_noise", "stddev": -1.0}), "stddev is -1"),
    (lambda: Chain((3,), {"op": "gaussian_noise", "stddev": float("nan")}), "stddev is nan"),
    (lambda: Chain((3,), {"op": "gaussian_noise", "stddev": 1e39}), "stddev is 1e"),
    (lambda: Chain((3,), {"op": "gaussian_dropout", "rate": 1.0}), "rate is 1"),
    (lambda: Chain((3,), {"op": "alpha_dropout", "rate": float("nan")}), "rate is nan"),
    (lambda: Chain((3, 3), {**SPATIAL, "rate": -0.5, "axes": 1}), "rate is -0.5"),
    (lambda: Chain((3, 3), {**SPATIAL, "rate": 1 - 1e-12, "axes": 1}), "rate is 1"),
    (lambda: layers.GaussianNoise(-1), "stddev: -1"),
    (lambda: layers.GaussianDropout(1), "rate: 1"),
    (lambda: layers.AlphaDropout(-0.1), "rate: -0.1"),
    (lambda: layers.SpatialDropout2D(2), "rate: 2"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_refused(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape"), [(layers.SpatialDropout1D, (3,)), (layers.SpatialDropout2D, (3, 4))]
)
def test_spatial_dropout_wants_its_rank(layer: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"wanted \d axes and the channels"):
        Sequential([layer(0.5, input_shape=shape)])

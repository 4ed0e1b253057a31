# SPDX-License-Identifier: Apache-2.0
"""Samples mixed within a network, and the targets of its outputs as they are; gradients back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import CATEGORICAL, SGD, SPARSE, SQUARED

from fastcnn import _native
from fastcnn.errors import ArgumentError
from fastcnn.testing import network
from fastcnn.testing import reference as ref
from fastcnn.testing.cases.augment import mixing
from fastcnn.testing.compare import assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers, poisoned
from fastcnn.testing.network import Chain, Node, conv2d, dense

SEED = 2**41 + 12345
KINDS: dict[str, Node] = {"up": mixing("up", 0.4), "cut": mixing("cut", 0.5, 1.0)}
EACH = pytest.mark.parametrize("kind", KINDS)
LAYOUTS = pytest.mark.parametrize(("batch", "lanes"), [(4, False), (17, True)])


def identity(channels: int) -> np.ndarray:
    return np.eye(channels, dtype=np.float32).reshape(1, 1, channels, channels)


def drawn(node: Node, shape: tuple[int, ...], op: int = 0) -> ref.Pairs:
    """In the first step."""
    return ref.mix_draw(shape, node, ref.DropoutDraw(SEED, op=op))


def rounded(values: np.ndarray, pairs: ref.Pairs, before: Any = 0.0) -> np.ndarray:
    """What `ref.mix_labels` may be off by: the values, two products and a sum, and the rounded weight."""
    sizes = np.abs(values)
    weight = 2.0**-24 * (sizes + sizes[pairs.partner])
    return ref.mix_labels(before + 0 * sizes, pairs) + gamma(4) * ref.mix_labels(sizes, pairs) + weight


def observed(chain: Chain, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets of one training step."""
    chain.model.seed = SEED
    seen = poisoned((len(x), *chain.output_shape))
    session = chain.model.session("train", x, y, seen, len(x))
    (shape,) = session.mixed_shapes
    assert shape is not None
    targets = poisoned((len(x), *shape))
    session.write_mixed([targets])
    session.run(None, 0, 1.0)
    return seen, targets


def kernels(chain: Chain, batch: int) -> list[str]:
    lines = str(chain.model.describe("train", batch)).splitlines()[2:-1]
    return [line.split()[2] for line in lines]


@LAYOUTS
@EACH
def test_images_and_targets(kind: str, batch: int, lanes: bool, rng: np.random.Generator) -> None:
    """Behind a 1x1 convolution that changes nothing."""
    node, shape = KINDS[kind], (batch, 6, 5, 2)
    x, y = integers(rng, shape), integers(rng, shape)
    chain = Chain(shape[1:], node, conv2d(2, 1))
    chain.weights = [identity(2), np.zeros(2, np.float32)]
    seen, targets = observed(chain, x, y)
    pairs = drawn(node, shape)
    images = ref.mix(x, pairs)
    if kind == "cut":
        assert np.array_equal(seen, images)
    else:
        assert_within(seen, images, rounded(x, pairs), "images")
    assert_within(targets, ref.mix_labels(y, pairs), rounded(y, pairs), "targets")
    assert not np.array_equal(images, x)
    assert ("conv2d_fprop_lanes" in kernels(chain, batch)) == (lanes and network.device == "cpu")


@EACH
def test_class_numbers_are_rows(kind: str, rng: np.random.Generator) -> None:
    """To the last bit what one-hot rows give, whatever the loss reads: probabilities or logits."""
    x, labels, node = integers(rng, (12, 4, 4, 1)), rng.integers(0, 5, 12), KINDS[kind]
    results = []
    for loss, y in ((SPARSE, labels), (CATEGORICAL, np.eye(5, dtype=np.float32)[labels])):
        for logits in (False, True):
            end: list[Node] = [] if logits else [{"op": "softmax"}]
            chain = Chain((4, 4, 1), node, {"op": "flatten"}, dense(5), *end)
            chain.weights = [integers(np.random.default_rng(3), (16, 5)) / 8, np.zeros(5, np.float32)]
            chain.compile(SGD, {**loss, "from_logits": logits})
            _, targets = observed(chain, x, y)
            results.append((targets, *chain.weights))
    for each in results[1:]:
        for mine, first in zip(each, results[0], strict=True):
            assert_same_bits(mine, first, "sparse")
    pairs = drawn(node, (12, 4, 4))
    rows = np.eye(5)[labels]
    assert_within(results[0][0], ref.mix_labels(rows, pairs), rounded(rows, pairs), "targets")


def test_two_mixings_follow_each_other(rng: np.random.Generator) -> None:
    x, y = integers(rng, (9, 4, 4, 1)), integers(rng, (9, 4, 4, 1))
    chain = Chain((4, 4, 1), KINDS["cut"], KINDS["cut"], conv2d(1, 1))
    chain.weights = [identity(1), np.zeros(1, np.float32)]
    seen, targets = observed(chain, x, y)
    pairs = [drawn(KINDS["cut"], x.shape, op) for op in (0, 2)]
    assert np.array_equal(seen, ref.mix(ref.mix(x, pairs[0]), pairs[1]))
    once = ref.mix_labels(y, pairs[0])
    bound = rounded(once, pairs[1], rounded(y, pairs[0]))
    assert_within(targets, ref.mix_labels(once, pairs[1]), bound, "targets")


@LAYOUTS
@EACH
def test_gradients_go_through(kind: str, batch: int, lanes: bool, rng: np.random.Generator) -> None:
    """To the bias and the kernel of a convolution before it: with all targets equal, mixing leaves them."""
    node, channels = KINDS[kind], 2
    x = integers(rng, (batch, 8, 8, channels))
    chain = Chain(x.shape[1:], conv2d(channels, 1), node, conv2d(channels, 1), {"op": "flatten"}, dense(2))
    kernel = rng.integers(-1, 2, (128, 2)).astype(np.float32)
    zeros = np.zeros(channels, np.float32)
    chain.weights = [identity(channels), zeros, identity(channels), zeros, kernel, np.zeros(2, np.float32)]
    chain.model.seed = SEED
    pairs = drawn(node, x.shape)
    y = ref.mix(x, pairs).reshape(batch, -1) @ kernel
    target = np.full_like(y, 3.0)
    chain.train(x, target.astype(np.float32))
    assert ("conv2d_fprop_lanes" in kernels(chain, batch)) == (lanes and network.device == "cpu")
    dy = (y - target) * (2 / y.size)
    dx = ref.mix_bwd((dy @ kernel.T.astype(np.float64)).reshape(x.shape), pairs)
    # Of dense both ways, the sum over all pixels, and mixing twice. Sizes are as for weights of 1, since
    # the weights are rounded and not their complements.
    terms = gamma(128 + 2 + 64 * batch + 2 * 6)
    sizes, back = np.abs(x), np.argsort(pairs.partner)
    size = 2 * ((sizes + sizes[pairs.partner]).reshape(batch, -1) @ np.abs(kernel) + 3.0) / y.size
    size = (size @ np.abs(kernel).T.astype(np.float64)).reshape(x.shape)
    big = size + size[back]
    assert_within(-chain.weights[1], dx.sum(axis=(0, 1, 2)), terms * big.sum(axis=(0, 1, 2)), "bias")
    wanted = np.einsum("nhwc,nhwk->ck", x, dx)
    bound = terms * np.einsum("nhwc,nhwk->ck", np.abs(x), big)
    assert_within((identity(channels) - chain.weights[0])[0, 0], wanted, bound, "kernel")


@EACH
def test_prediction_and_evaluation_mix_nothing(kind: str, rng: np.random.Generator) -> None:
    x = integers(rng, (20, 6, 7, 3))
    chain = Chain((6, 7, 3), KINDS[kind])
    assert_same_bits(chain.predict(x), x, "prediction")
    assert chain.evaluate(x, x) == 0.0


def test_outputs_before_it_keep_their_targets(rng: np.random.Generator) -> None:
    nodes: list[dict[str, Any]] = [
        {"op": "input", "shape": (4, 4, 2), "inputs": []},
        {**KINDS["cut"], "inputs": [0]},
        {**conv2d(2, 1), "inputs": [1]},
        {**conv2d(2, 1), "inputs": [0]},
    ]
    model = _native.Model([{**node, "name": f"n{i}"} for i, node in enumerate(nodes)], [2, 3])
    model.compile(SGD, (SQUARED,) * 2, (None, None), "cpu", "float32", "default")
    model.set_parameters([identity(2), np.zeros(2, np.float32)] * 2)
    model.seed = SEED
    x = integers(rng, (16, 4, 4, 2))
    zeros = np.zeros_like(x)
    session = model.session("train", x, (zeros, x), None, 16)
    assert session.mixed_shapes == [(4, 4, 2), None]
    session.run(None, 0, 1.0)
    mixed, plain = (float(total["loss"]) for total in session.totals())
    assert plain == 0.0
    assert mixed > 0.0


def test_refused(rng: np.random.Generator) -> None:
    x, node = integers(rng, (4, 4, 4, 1)), KINDS["up"]
    chain = Chain((4, 4, 1), node, {"op": "flatten"}, dense(3))
    chain.compile(SGD, {**SPARSE, "from_logits": True, "ignore_class": -1})
    with pytest.raises(ArgumentError, match=r"'mix_1' .* mixes labels, wanted a loss without ignore_class"):
        chain.train(x, np.zeros(4, np.int64))
    chain.compile(SGD, SPARSE)
    session = chain.model.session("train", x, np.zeros(4, np.int64), poisoned((4, 3)), 4)
    with pytest.raises(ArgumentError, match="mixed is missing"):
        session.run(None, 0, 1.0)
    for bad, message in (([], "0 entries"), ([None], r"mixed\[0\] is None")):
        with pytest.raises(ArgumentError, match=message):
            session.write_mixed(bad)
    with pytest.raises(ValueError, match="shape"):
        session.write_mixed([poisoned((4, 4))])

# SPDX-License-Identifier: Apache-2.0
"""Predictions read a dense array of float32 where it lies, and gather any other, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graph_checks import Graph, named, source
from numpy.typing import NDArray
from plan_networks import Node, build, chain, conv2d, dense, op, pool, predict, rescaling, run

import fastcnn
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import poisoned

SHAPE = (33, 31, 3)
NETWORKS: dict[str, list[Node]] = {
    "convolution": chain(SHAPE, conv2d(5), op("relu"), pool("max"), op("flatten"), dense(3)),
    # The first would write its values over the batch, the second gives it back.
    "activation": chain(SHAPE, op("relu"), conv2d(4)),
    "flatten": chain(SHAPE, op("flatten")),
    "dense": chain((300,), dense(7)),
    "lanes": chain((8, 8, 1), conv2d(4), op("relu"), op("flatten"), dense(3)),
    "rescaling": chain(SHAPE, rescaling(0.5, 1.0), conv2d(4)),
    "scaling": chain(SHAPE, rescaling(0.5, 0.0), conv2d(4)),
    "shifting": chain(SHAPE, rescaling(1.0, 0.5), conv2d(4)),
}


def unaligned(x: NDArray[Any]) -> NDArray[Any]:
    room = np.empty(x.nbytes + 1, np.uint8)[1:]
    view = room.view(x.dtype).reshape(x.shape)
    view[:] = x
    return view


VIEWS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "of other numbers": lambda x: x.astype(np.float64),
    "of every second sample": lambda x: np.repeat(x, 2, axis=0)[::2],
    "from the end": lambda x: x[::-1].copy()[::-1],
    "with gaps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "turned": lambda x: np.asfortranarray(x),
    "unaligned": unaligned,
}


def seconds_of_gathering(model: Any, batch: int) -> float:
    (line,) = (each for each in model.describe("predict", batch).splitlines() if "gather_strided" in each)
    return float(line.split()[-1])


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_views_have_the_bits_of_a_dense_array(name: str, threads: int, rng: np.random.Generator) -> None:
    fastcnn.set_num_threads(threads)
    model = build(NETWORKS[name])
    x = rng.standard_normal((7, *NETWORKS[name][0]["shape"]), dtype=np.float32)
    before = x.copy()
    wanted = predict(model, x, 3)
    assert_same_bits(x, before, "the caller's array")
    for view, make in VIEWS.items():
        assert_same_bits(predict(model, make(x), 3), wanted, view)
    out = poisoned(wanted.shape)
    order = rng.permutation(7)
    run(model.session("predict", x, None, out, 3), order)
    assert_same_bits(out, predict(model, x[order], 3), "in an order")


def test_a_dense_array_is_not_gathered(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 256, 256, 3), dtype=np.float32)
    for view, copied in ((x, False), (x.astype(np.float64), True), (np.asfortranarray(x), True)):
        model = build(chain(x.shape[1:], conv2d(16, 3), op("relu"), pool("max")))
        for _ in range(3):
            predict(model, view, 1)
        assert (seconds_of_gathering(model, 1) > 0) == copied


def test_each_input_by_itself(rng: np.random.Generator) -> None:
    nodes = named(
        source(9, 8, 4), {**source(9, 8, 4), "inputs": []}, {"op": "add", "inputs": [0, 1]}, conv2d(3)
    )
    graph = Graph(nodes, [3], rng)
    graph.model.set_parameters(graph.weights)
    a, b = graph.inputs(rng, 5)
    wanted = graph.predict((a, b))[0]
    wide = np.repeat(b, 2, axis=0)[::2]
    assert_same_bits(graph.predict((a, wide))[0], wanted, "the second in a view")
    assert_same_bits(graph.predict((wide, a))[0], wanted, "the first in a view")

# SPDX-License-Identifier: Apache-2.0
"""Training with the batch in lanes: exact in whole numbers, the same bits for any number of threads.

Small networks of convolutions train in this layout when the batch fills a block of 16 samples; nothing but the
names of the kernel rows shows it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph
from plan_networks import (
    Node,
    bits,
    build,
    chain,
    conv2d,
    dense,
    digits,
    dropout,
    lenet,
    op,
    pool,
    predict,
    rescaling,
    run,
)
from plan_reference import Reference

import fastcnn
from fastcnn.testing import reference

CONV = conv2d(2, 3)
TAIL = (op("flatten"), dense(3))

# Each takes what is special about a row: sizes of its tiles, borders, phases, what is fused.
NETWORKS: dict[str, list[Node]] = {
    "one channel, borders": chain((6, 7, 1), conv2d(6, 5, padding="same"), op("relu"), *TAIL),
    "tiles of channels": chain((5, 5, 2), conv2d(13, 3), op("relu"), conv2d(7, 2), *TAIL),
    "many channels": chain((4, 4, 9), conv2d(17, 3, padding="same"), op("relu"), conv2d(5, 3), *TAIL),
    "strides": chain(
        (9, 8, 2), conv2d(3, 3, strides=(2, 3), padding="same"), op("relu"), conv2d(4, 2, strides=(3, 2)), *TAIL
    ),
    "dilation": chain((9, 8, 1), conv2d(3, 3, dilation_rate=(2, 3), padding="same"), conv2d(2, 2), *TAIL),
    "strides beyond the window": chain((9, 9, 4), conv2d(4, 1), conv2d(3, 2, strides=(3, 4)), *TAIL),
    "window larger than the image": chain((3, 2, 2), conv2d(3, 7, padding="same"), conv2d(2, 6, padding="same"), *TAIL),
    "seven taps, one channel": chain((9, 9, 1), conv2d(5, 7), op("relu"), *TAIL),
    "no bias": chain((5, 4, 2), conv2d(3, 3, use_bias=False), conv2d(2, 2), op("flatten"), dense(2, False)),
    "max-pool": chain((8, 8, 1), conv2d(3, 3, padding="same"), op("relu"), pool("max"), conv2d(2, 2), pool("max"), *TAIL),
    "max-pool, windows overlap": chain(
        (8, 7, 1), conv2d(3, 2), pool("max", 3, strides=(2, 1), padding="same"), op("relu"), *TAIL
    ),
    "max-pool, gaps": chain((9, 9, 1), conv2d(3, 2), op("relu"), pool("max", 2, strides=(3, 3)), *TAIL),
    "max-pool leaves a row": chain((8, 8, 1), conv2d(3, 2), op("relu"), pool("max"), *TAIL),
    "dense after dense": chain((4, 4, 1), CONV, op("flatten"), dense(7), op("relu"), dense(19), op("relu"), dense(2)),
    "dense on images": chain((4, 3, 1), CONV, dense(5), op("relu"), dense(2)),
    "activation on its own": chain((5, 5, 1), CONV, op("relu"), op("relu"), rescaling(2.0, 1.0), *TAIL),
    "output is an image": chain((5, 5, 2), CONV, op("relu"), conv2d(3, 2)),
}


def rows(model: Any, batch: int) -> str:
    return str(model.describe("train", batch))


@pytest.mark.parametrize("batch", [16, 33, 47])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact(name: str, batch: int, rng: np.random.Generator) -> None:
    graph = Graph(NETWORKS[name], [len(NETWORKS[name]) - 1], rng)
    check_exact_graph(graph, rng, batch)
    assert "conv2d_wgrad_lanes" in rows(graph.model, batch)

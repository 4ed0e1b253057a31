# SPDX-License-Identifier: Apache-2.0
"""Predictions whose activations the caches cannot hold are run in parts, unseen but for the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import Node, build, chain, conv2d, op, predict, run

import fastcnn
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import poisoned

SIDE = 224


def wide() -> list[Node]:
    """Some megabytes of activations to a sample, and few weights."""
    return chain((SIDE, SIDE, 2), conv2d(16, 1), op("relu"), conv2d(4, 1), op("relu"))


NORM: Node = {"op": "batch_norm", "epsilon": 1e-3, "momentum": 0.9, "scale": True, "center": True}
NETWORKS = {
    "as they are": wide(),
    # The first part of a call makes what is kept of the weights.
    "folded and transformed": chain(
        (SIDE, SIDE, 2), conv2d(8, padding="same"), NORM, op("relu"), conv2d(8, padding="same"), op("relu")
    ),
}


def images(rng: np.random.Generator, count: int) -> Any:
    return rng.standard_normal((count, SIDE, SIDE, 2), dtype=np.float32)


def samples_of_a_part(model: Any, batch_size: int) -> int:
    line = model.describe("predict", batch_size).splitlines()[0]
    return int(line.split("in parts of ")[1].split(":")[0]) if "in parts of" in line else batch_size


def test_parts_divide_the_batch() -> None:
    model = build(wide())
    part = samples_of_a_part(model, 12)
    assert part in (1, 2, 3, 4)
    assert samples_of_a_part(model, part) == part
    assert samples_of_a_part(model, 13) == 1


def test_long_sums_stay_whole() -> None:
    nodes = chain((32, 32, 512), conv2d(1024, 3, padding="same"), op("relu"))
    assert samples_of_a_part(build(nodes), 12) == 12


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_bits_of_the_parts(name: str, threads: int, rng: np.random.Generator) -> None:
    """Whole batches and a short last one, whose own last part is short too; parts that all threads run
    together, and parts of one thread each."""
    fastcnn.set_num_threads(threads)
    model, x = build(NETWORKS[name]), images(rng, 31)
    part = samples_of_a_part(model, 24)
    assert 24 // part >= 5
    apart = [predict(model, x[i : i + part], part) for i in range(0, len(x), part)]
    for weights in ("new", "known"):
        assert_same_bits(predict(model, x, 24), np.concatenate(apart), f"a batch in parts, weights {weights}")


def test_batches_are_those_asked_for(rng: np.random.Generator) -> None:
    model, x = build(wide()), images(rng, 19)
    out = poisoned((19, SIDE, SIDE, 4))
    session = model.session("predict", x, None, out, 8)
    assert session.batches == 3
    assert session.run(None, 0, 0.0) == 1
    assert np.isfinite(out[:8]).all()
    assert np.isnan(out[8:]).all()
    assert session.run(None, 1, 10.0, end=2) == 2
    assert np.isfinite(out[:16]).all()
    assert np.isnan(out[16:]).all()
    assert session.run(None, 2, 0.0) == 3
    assert_same_bits(out, predict(model, x, 8), "batch by batch")


def test_numbered_samples(rng: np.random.Generator) -> None:
    model, x = build(wide()), images(rng, 13)
    order = rng.permutation(13)
    out = poisoned((13, SIDE, SIDE, 4))
    run(model.session("predict", x, None, out, 6), order)
    assert_same_bits(out, predict(model, x[order], 6), "in an order")

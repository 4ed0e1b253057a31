# SPDX-License-Identifier: Apache-2.0
"""Random networks in whole numbers: predictions and all gradients equal the float64 reference exactly."""

from __future__ import annotations

import numpy as np
import pytest
from graph_checks import Graph, UnfitNumbers, check_exact_graph

from fastcnn.testing.graph import GraphReference
from fastcnn.testing.random_graphs import random_graph

COUNT, QUICK = 200, 40


def check(number: int) -> None:
    """With weights that become sparser until all sums are exact in float32; too deep a network gives way."""
    for attempt in range(8):
        nodes, outputs = random_graph(number + 10_000 * attempt, exact=True)
        for sparsity in (0.0, 0.5, 0.75, 0.9):
            rng = np.random.default_rng([number, attempt, int(100 * sparsity)])
            graph = Graph(nodes, outputs, rng)
            graph.weights = [w * (rng.random(w.shape) >= sparsity).astype(np.float32) for w in graph.weights]
            try:
                return check_exact_graph(graph, rng, batch=2)
            except UnfitNumbers:
                continue
    raise AssertionError("no network stayed exact")


@pytest.mark.parametrize("number", range(QUICK))
def test_exact(number: int) -> None:
    check(number)


@pytest.mark.full
@pytest.mark.parametrize("number", range(QUICK, COUNT))
def test_more_are_exact(number: int) -> None:
    check(number)


@pytest.mark.parametrize("number", range(QUICK))
def test_reference_gradients_are_numerical_differences(number: int) -> None:
    """Of sum(dy y) along a random direction in the space of all weights, by central differences.

    The function is smooth but for kinks: a step that crosses one disagrees with shorter ones.
    """
    nodes, outputs = random_graph(number, exact=False)
    rng = np.random.default_rng(number)
    graph = Graph(nodes, outputs, rng)
    weights = [0.3 * rng.standard_normal(w.shape) for w in graph.weights]
    x = [rng.standard_normal(a.shape) for a in graph.inputs(rng, 2)]
    judge = GraphReference(nodes, weights, outputs, training=True)
    dy = [rng.standard_normal(y.shape) for y in judge.forward(x)]
    direction = [rng.standard_normal(w.shape) for w in weights]
    slope = sum(float((g * d).sum()) for g, d in zip(judge.backward(dy), direction, strict=True))

    def along(t: float) -> float:
        moved = [w + t * d for w, d in zip(weights, direction, strict=True)]
        y = GraphReference(nodes, moved, outputs, training=True).forward(x)
        return sum(float((a * b).sum()) for a, b in zip(dy, y, strict=True))

    # Errors of a central difference fall with the square of the step until rounding takes over; the best of
    # some steps is within the change from one step to the next.
    differences = [(along(t) - along(-t)) / (2 * t) for t in 2.0 ** -np.arange(10, 22)]
    changes = np.abs(np.diff(differences))
    best = int(changes.argmin())
    size = sum(float(np.abs(g * d).sum()) for g, d in zip(judge.backward(dy), direction, strict=True))
    assert abs(slope - differences[best + 1]) <= 4 * changes[best] + 2.0**-30 * size

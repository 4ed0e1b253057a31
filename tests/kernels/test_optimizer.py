# SPDX-License-Identifier: Apache-2.0
"""Optimizer steps against Keras's formulas.

The network is one dense layer without bias fed with the identity, so the gradient of the mean squared error
is ``2 (kernel - target) / size``: it follows from the kernel alone, step after step.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import UNIT, assert_within, gamma
from fastcnn.testing.fill import reals
from fastcnn.testing.network import SGD, Chain, dense

STEPS = 6


def single(value: float) -> float:
    """As the kernel receives it."""
    return float(np.float32(value))


def start(case: cases.RowsCase, optimizer: dict, rng: np.random.Generator) -> tuple[Chain, np.ndarray]:
    chain = Chain((case.rows,), dense(case.cols, use_bias=False))
    chain.compile(optimizer)
    chain.weights = [reals(rng, (case.rows, case.cols))]
    # Far from the kernel: no gradient changes its sign on the way, so nothing cancels in the moments.
    return chain, reals(rng, (case.rows, case.cols)) + np.float32(50)


def assert_step(chain: Chain, before: np.ndarray, wanted: np.ndarray, roundings: int) -> None:
    bound = 2.0 * UNIT * np.maximum(np.abs(before), np.abs(wanted)) + gamma(roundings) * np.abs(
        wanted - before
    )
    assert_within(chain.weights[0], wanted, bound, "kernel")


@pytest.mark.parametrize("case", cases.ROWS, ids=str)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd(case: cases.RowsCase, momentum: float, nesterov: bool, rng: np.random.Generator) -> None:
    options = {"learning_rate": 0.01, "momentum": momentum, "nesterov": nesterov}
    chain, target = start(case, {**SGD, **options}, rng)
    x = np.eye(case.rows, dtype=np.float32)
    velocity = np.zeros(target.shape)
    for step in range(STEPS):
        before = chain.weights[0]
        state = ref.SGDState(before.astype(np.float64), velocity)
        gradient = ref.mean_squared_error_bwd(target, before)
        state = ref.sgd(state, gradient, lr=single(0.01), momentum=single(momentum), nesterov=nesterov)
        velocity = state.velocity
        chain.train(x, target)
        assert_step(chain, before, state.weights, 8 * (step + 1))


@pytest.mark.parametrize("case", cases.ROWS, ids=str)
def test_adam(case: cases.RowsCase, rng: np.random.Generator) -> None:
    options = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    chain, target = start(case, {"name": "adam", **options}, rng)
    x = np.eye(case.rows, dtype=np.float32)
    m, v = np.zeros(target.shape), np.zeros(target.shape)
    numbers = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": single(1e-7)}
    for step in range(STEPS):
        before = chain.weights[0]
        gradient = ref.mean_squared_error_bwd(target, before)
        state = ref.AdamState(before.astype(np.float64), m, v, step)
        state = ref.adam(state, gradient, lr=single(0.001), **numbers)
        m, v = state.m, state.v
        chain.train(x, target)
        assert_step(chain, before, state.weights, 16 * (step + 2))


def test_learning_rate_can_change_between_steps(rng: np.random.Generator) -> None:
    chain, target = start(cases.RowsCase(2, 4), SGD, rng)
    x = np.eye(2, dtype=np.float32)
    chain.model.learning_rate = 0.0
    before = chain.weights[0]
    chain.train(x, target)
    assert np.array_equal(chain.weights[0], before)
    chain.model.learning_rate = 0.5
    chain.train(x, target)
    wanted = before - 0.5 * ref.mean_squared_error_bwd(target, before)
    assert_step(chain, before, wanted, 8)

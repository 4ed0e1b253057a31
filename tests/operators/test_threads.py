# SPDX-License-Identifier: Apache-2.0
"""Results do not depend on the number of threads, down to the last bit."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastcnn
from fastcnn.testing.calls import SUITES, Call
from fastcnn.testing.check import run_poisoned
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.network import Chain, conv2d, dense

THREADS = (1, 2, 3, 5)

CALLS: list[Call] = [call for suite in SUITES for call in suite.parallel]

pytestmark = pytest.mark.usefixtures("keep_threads")


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_same_bits(call: Call, rng: np.random.Generator) -> None:
    arrays = call.reals(rng)
    results = []
    for threads in THREADS:
        fastcnn.set_num_threads(threads)
        results.append(run_poisoned(call, arrays))
    for threads, result in zip(THREADS, results, strict=True):
        assert_same_bits(result, results[0], f"{call} on {threads} threads")


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_same_bits_again(call: Call, rng: np.random.Generator) -> None:
    arrays = call.reals(rng)
    fastcnn.set_num_threads(3)
    assert_same_bits(call.run(arrays), call.run(arrays), str(call))


def lenet_weights(threads: int, steps: int) -> list[np.ndarray]:
    fastcnn.set_num_threads(threads)
    pool = {
        "op": "max_pool2d",
        "pool_size": (2, 2),
        "strides": (2, 2),
        "padding": "valid",
        "ceil_mode": False,
    }
    chain = Chain(
        (28, 28, 1),
        conv2d(6, 5), {"op": "relu"}, pool,
        conv2d(16, 5, "valid"), {"op": "relu"}, pool,
        {"op": "flatten"}, {"op": "dropout", "rate": 0.25},
        dense(120), {"op": "relu"}, dense(84), {"op": "tanh"}, dense(10),
    )  # fmt: skip
    adam = {"name": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    chain.compile(adam, {"name": "sparse_categorical_crossentropy", "from_logits": True})
    rng = np.random.default_rng(7)
    chain.weights = [(rng.standard_normal(w.shape) * 0.1).astype(np.float32) for w in chain.weights]
    chain.model.seed = 99
    images = rng.integers(0, 256, (32 * steps - 5, 28, 28, 1), np.uint8)
    labels = rng.integers(0, 10, len(images))
    for begin in range(0, len(images), 32):
        chain.train(images[begin : begin + 32], labels[begin : begin + 32])
    return chain.weights


def test_hundred_steps_of_lenet() -> None:
    alone = lenet_weights(1, 100)
    assert all(np.isfinite(w).all() for w in alone)
    for threads in THREADS:
        for got, wanted in zip(lenet_weights(threads, 100), alone, strict=True):
            assert_same_bits(got, wanted, f"a weight of shape {wanted.shape} on {threads} threads")


def test_many_callers_at_once(rng: np.random.Generator) -> None:
    """Eight threads of the caller run different operators at the same time."""
    calls = CALLS[:8]
    arrays = [call.reals(rng) for call in calls]
    alone = [call.run(a) for call, a in zip(calls, arrays, strict=True)]
    together: list[list[np.ndarray]] = [[] for _ in calls]

    def work(i: int) -> None:
        for _ in range(5):
            together[i].append(calls[i].run(arrays[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for call, results, wanted in zip(calls, together, alone, strict=True):
        assert len(results) == 5
        for result in results:
            assert_same_bits(result, wanted, str(call))

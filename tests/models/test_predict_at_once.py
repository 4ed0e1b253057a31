# SPDX-License-Identifier: Apache-2.0
"""Many callers at once: 64 threads that predict with one model, and 500 children forked after its use."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import fastcnn
from fastcnn import layers
from fastcnn.testing.compare import assert_same_bits

pytestmark = pytest.mark.usefixtures("keep_threads")

CALLERS, AT_ONCE = 64, 16
SECONDS = 120  # far more than either takes, so that a lock which nobody lets go of ends the test


def convnet() -> fastcnn.Sequential:
    fastcnn.utils.set_random_seed(4)
    return fastcnn.Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_concurrent_calls_of_predict(threads: int) -> None:
    """Of different numbers of samples, and by both ways to ask; each answer is that of a call alone."""
    fastcnn.set_num_threads(threads)
    model = convnet()
    data = [samples(1 + number % 40) for number in range(CALLERS)]
    wanted = [model.predict(x, batch_size=16, verbose=0) for x in data]
    wanted_alone = [model.predict_on_batch(x[:1]) for x in data]
    failures: list[BaseException] = []
    ready = threading.Barrier(CALLERS)

    def call(number: int) -> None:
        try:
            ready.wait(SECONDS)
            for _ in range(3):
                got = model.predict(data[number], batch_size=16, verbose=0)
                assert_same_bits(got, wanted[number], f"caller {number}")
                alone = model.predict_on_batch(data[number][:1])
                assert_same_bits(alone, wanted_alone[number], f"caller {number}, one sample")
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(CALLERS)]
    end = time.monotonic() + SECONDS
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(max(0.0, end - time.monotonic()))
    assert not any(caller.is_alive() for caller in callers)
    assert not failures, failures[0]


def test_the_first_call_by_many_threads_builds_once() -> None:
    """All find the same weights, whoever came first."""
    fastcnn.utils.set_random_seed(4)
    model = fastcnn.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    x, answers = samples(3), [np.empty(0)] * CALLERS
    ready = threading.Barrier(CALLERS)

    def call(number: int) -> None:
        ready.wait(SECONDS)
        answers[number] = model.predict_on_batch(x)

    callers = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SECONDS)
    for answer in answers:
        assert_same_bits(answer, model.predict_on_batch(x), "a first call")


def forked(model: fastcnn.Sequential, x: np.ndarray, wanted: np.ndarray) -> int:
    """A child that predicts and ends: with 0 if its answer is the parent's."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.alarm(SECONDS)
        code = 0 if np.array_equal(model.predict(x, verbose=0), wanted) else 2
    finally:
        os._exit(code)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("forks", [40, pytest.param(500, marks=pytest.mark.full)])
def test_forks_after_use(forks: int) -> None:
    fastcnn.set_num_threads(2)
    model, x = convnet(), samples(8)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, np.arange(8) % 5, verbose=0)
    wanted = model.predict(x, verbose=0)
    running: set[int] = set()
    codes = []
    end = time.monotonic() + SECONDS
    for number in range(forks):
        if len(running) == AT_ONCE:
            running.discard(reaped(running, codes))
        running.add(forked(model, x, wanted))
        if number % 50 == 0:  # the parent goes on meanwhile, with its threads
            assert_same_bits(model.predict(x, verbose=0), wanted, "the parent")
        assert time.monotonic() < end
    while running:
        running.discard(reaped(running, codes))
    assert codes == [0] * forks
    model.fit(x, np.arange(8) % 5, verbose=0)  # the parent's threads are as they were


def reaped(running: set[int], codes: list[int]) -> int:
    """One child that has ended; its exit code, or minus the signal, is noted."""
    while True:
        for child in running:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                codes.append(os.waitstatus_to_exitcode(status))
                return ended
        time.sleep(0.001)

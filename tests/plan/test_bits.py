# SPDX-License-Identifier: Apache-2.0
"""The same bits for any number of threads, any batch of the same samples, any process, and as ops."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
import pytest
from plan_networks import (
    ADAM,
    CATEGORICAL,
    MOMENTUM,
    SPARSE,
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
    train,
)

import fastcnn
from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits


def cnn() -> list[Node]:
    """The convolutions that the training program uses, at batch 16 large enough for a team."""
    return chain(
        (28, 28, 1),
        rescaling(1 / 255),
        conv2d(32),
        op("relu"),
        pool("max"),
        conv2d(64),
        op("relu"),
        pool("max"),
        op("flatten"),
        dropout(0.5),
        dense(10),
        op("softmax"),
    )


def trained(nodes: list[Node], threads: int, steps: int, batch_size: int) -> tuple[list[bytes], Any]:
    fastcnn.set_num_threads(threads)
    rng = np.random.default_rng(5)
    x, y = digits(rng, 5 * batch_size // 2)  # the last batch is half a batch
    model = build(nodes)
    session = model.session("train", x, y, None, batch_size)
    while model.step < steps:
        run(session, rng.permutation(len(x)))
    return bits(model), session.totals()[0]


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("nodes", [lenet, cnn])
def test_threads(nodes: Any, threads: int) -> None:
    assert trained(nodes(), threads, 6, 16) == trained(nodes(), 1, 6, 16)


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_a_team_whose_last_batch_is_for_one(threads: int, rng: np.random.Generator) -> None:
    """A last batch of one sample has no step for two threads; the others of the team wait it out."""
    x, y = digits(rng, 65)
    models = [build(lenet()), build(lenet())]
    for model, count in zip(models, (1, threads), strict=True):
        fastcnn.set_num_threads(count)
        session = model.session("train", x, y, None, 32)
        for _ in range(20):
            run(session, seconds=0.0 if count > 3 else 1.0)
    assert bits(models[0]) == bits(models[1])


@pytest.mark.full
@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("batch_size", [32, 128])
def test_threads_over_100_steps(batch_size: int) -> None:
    wanted = trained(lenet(), 1, 100, batch_size)
    for threads in (1, 2, 3, 5):
        assert trained(lenet(), threads, 100, batch_size) == wanted


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_threads_share_the_convolutions_of_few_images(count: int, rng: np.random.Generator) -> None:
    model, (x, _) = build(lenet()), digits(rng, count)
    wanted = None
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results = predict(model, x)
        wanted = results if wanted is None else wanted
        assert_same_bits(results, wanted, f"{threads} threads")
    assert "on all threads" in model.describe("predict", count)


def test_a_short_batch_is_a_batch_of_that_size(rng: np.random.Generator) -> None:
    x, y = digits(rng, 40)
    together, apart = build(lenet()), build(lenet())
    train(together, x, y, 32)
    train(apart, x[:32], y[:32], 32)
    train(apart, x[32:], y[32:], 8)
    assert bits(together) == bits(apart)


def test_plans_of_many_sizes(rng: np.random.Generator) -> None:
    """More sizes than a plan keeps, in turn and again, small after large."""
    model = build(lenet())
    x, _ = digits(rng, 33)
    sizes = (33, 1, 7, 2, 32, 3, 4, 5, 6, 16, 1, 33)
    wanted = {size: predict(build(lenet()), x, size) for size in sizes}
    for size in sizes:
        assert_same_bits(predict(model, x, size), wanted[size], f"batches of {size}")


def test_an_order_gathers(rng: np.random.Generator) -> None:
    x, y = digits(rng, 50)
    order = rng.permutation(50)
    by_index, by_hand = build(lenet()), build(lenet())
    run(by_index.session("train", x, y, None, 16), order)
    train(by_hand, x[order], y[order], 16)
    assert bits(by_index) == bits(by_hand)


@pytest.mark.parametrize("batch", [10, 20])
def test_views(batch: int, rng: np.random.Generator) -> None:
    """Any strides and byte positions give the bits of the dense copy, in lanes as well, in any order."""
    x, y = digits(rng, 24)
    raw = np.zeros(x.nbytes + 1, np.uint8)
    misaligned = raw[1:].view(np.uint8).reshape(x.shape)
    misaligned[...] = x
    wide = np.zeros((24, 56, 28, 2), np.uint8)
    wide[:, ::2, :, 1:] = x
    views: list[Any] = [
        x[::-1][::-1],
        np.asfortranarray(x),
        misaligned,
        wide[:, ::2, :, 1:],
        x.astype(np.float64),
    ]
    labels: list[Any] = [
        y.astype(np.float32),
        y.reshape(-1, 1),
        y[::-1][::-1],
        y.astype(np.uint8),
        y.astype(np.float16),
    ]
    order = rng.permutation(24)
    wanted = build(lenet())
    assert ("gather_lanes" in wanted.describe("train", batch)) == (batch == 20)
    train(wanted, x, y, batch)
    train(wanted, x[order], y[order], batch)
    for view, label in zip(views, labels, strict=True):
        model = build(lenet())
        train(model, view, label, batch)
        run(model.session("train", view, label, None, batch), order)
        assert bits(model) == bits(wanted)


def test_time_slices_change_nothing(rng: np.random.Generator) -> None:
    """One batch a call, or all in one."""
    x, y = digits(rng, 70)
    sliced, whole = build(lenet()), build(lenet())
    session = sliced.session("train", x, y, None, 16)
    for batch in range(session.batches):
        assert session.run(None, batch, 0.0) == batch + 1
        assert sliced.step == batch + 1
    assert session.totals()[0] == train(whole, x, y, 16)
    assert bits(sliced) == bits(whole)


def test_plan_equals_ops(rng: np.random.Generator) -> None:
    """The same rows, called one by one."""
    nodes = chain(
        (12, 12, 3),
        conv2d(17, padding="same"),
        op("relu"),
        pool("max"),
        conv2d(5),
        op("tanh"),
        pool("average"),
    )
    model = build([*nodes, {"op": "flatten", "name": "flat", "inputs": [6]}], loss=CATEGORICAL)
    model.compile(ADAM, CATEGORICAL, "auto", "cpu", "float32", "strict")  # by default a plan has F(4,3)
    x = rng.standard_normal((9, 12, 12, 3)).astype(np.float32)
    first, first_bias, second, second_bias = model.get_parameters()
    y = ops.conv2d(x, first, first_bias, padding="same", activation="relu", math="strict")
    y = ops.conv2d(ops.max_pool2d(y, 2), second, second_bias, math="strict")
    y = ops.average_pool2d(ops.tanh(y), 2)
    assert_same_bits(predict(model, x, 9), y.reshape(9, -1), "network")


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softmax", "relu"])
def test_dense_equals_ops(activation: str, rng: np.random.Generator) -> None:
    model = build(chain((70,), dense(33), op(activation)))
    x = rng.standard_normal((20, 70)).astype(np.float32)
    kernel, bias = model.get_parameters()
    assert_same_bits(predict(model, x), ops.gemm(x, kernel, bias=bias, activation=activation), activation)


def test_eight_threads_predict(rng: np.random.Generator) -> None:
    model = build(lenet())
    x, _ = digits(rng, 100)
    wanted = predict(model, x)
    got: list[Any] = [None] * 8

    def work(i: int) -> None:
        for _ in range(5):
            got[i] = predict(model, x)

    team = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for each in team:
        each.start()
    for each in team:
        each.join()
    for each_result in got:
        assert_same_bits(each_result, wanted, "one of eight threads")


def test_a_second_trainer_is_refused(rng: np.random.Generator) -> None:
    """Of two threads that train, one gets an error while the other is at work; predictions are served."""
    x, y = digits(rng, 1000)
    model = build(lenet())
    sessions = [model.session("train", x, y, None, 32) for _ in range(2)]
    refusals: list[str] = []
    steps = [0, 0]
    deadline = time.monotonic() + 10

    def work(i: int) -> None:
        while not refusals and time.monotonic() < deadline:
            try:
                steps[i] += int(sessions[i].run(None, 0, 0.02))
            except RuntimeError as error:
                refusals.append(str(error))

    team = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for each in team:
        each.start()
    while any(each.is_alive() for each in team):
        assert np.isfinite(predict(model, x[:8])).all()
    assert refusals
    assert "model busy" in refusals[0]
    assert model.step == sum(steps)


def test_weights_set_while_training(rng: np.random.Generator) -> None:
    """New weights wait for the slice that runs, and a reader never sees half a step."""
    x, y = digits(rng, 2000)
    model = build(lenet())
    weights = model.get_parameters()
    session = model.session("train", x, y, None, 32)
    worker = threading.Thread(target=lambda: run(session, seconds=0.01))
    worker.start()
    for _ in range(20):
        try:
            model.set_parameters(weights)
            model.learning_rate = 0.0005
        finally:
            assert len(model.get_parameters()) == len(weights)
    worker.join()
    assert model.learning_rate == 0.0005
    assert model.step == session.batches


def in_child(work: Any) -> int:
    """Exit status of a forked child that runs `work`; 0 if it returned True."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.usefixtures("keep_threads")
def test_forked_child(rng: np.random.Generator) -> None:
    """A child trains and predicts, with the same bits, though its parent had a team."""
    fastcnn.set_num_threads(2)
    x, y = digits(rng, 64)
    model, twin = build(lenet()), build(lenet())
    train(model, x, y)
    train(twin, x, y)
    wanted = predict(twin, x)
    assert in_child(lambda: predict(model, x).tobytes() == wanted.tobytes()) == 0
    train(twin, x, y)
    wanted_state = bits(twin)

    def child_trains() -> bool:
        train(model, x, y)
        return bits(model) == wanted_state

    assert in_child(child_trains) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_while_another_thread_runs(rng: np.random.Generator) -> None:
    """The lock that the other thread held is free in the child."""
    x, y = digits(rng, 4000)
    model = build(lenet())
    session = model.session("predict", x, None, np.empty((4000, 10), np.float32), 16)
    worker = threading.Thread(target=lambda: run(session, seconds=0.2))
    worker.start()

    def child_trains() -> bool:
        train(model, x[:32], y[:32])
        return bool(model.step == 1)

    statuses = [in_child(child_trains) for _ in range(3)]
    worker.join()
    assert statuses == [0, 0, 0]


def test_dropout_differs_by_step_and_seed(rng: np.random.Generator) -> None:
    x, y = digits(rng, 32)

    def losses(seed: int) -> list[float]:
        model = build(lenet(), MOMENTUM, SPARSE)
        model.seed = seed
        model.learning_rate = 0.0
        return [train(model, x, y)["loss"] for _ in range(3)]

    first = losses(1)
    assert len(set(first)) == 3
    assert losses(1) == first
    assert losses(2) != first


def test_a_step_moves_everything(rng: np.random.Generator) -> None:
    x, y = digits(rng, 32)
    model = build(lenet(), ADAM)
    before = model.get_state()
    train(model, x, y)
    after = model.get_state()
    for name in before.keys() - {"seed", "learning_rate"}:
        assert not np.array_equal(after[name], before[name]), name

# SPDX-License-Identifier: Apache-2.0
"""Sessions: what they measure, and what they refuse before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import (
    ADAM,
    CATEGORICAL,
    SGD,
    SPARSE,
    SQUARED,
    Node,
    bits,
    build,
    chain,
    conv2d,
    dense,
    digits,
    dropout,
    evaluate,
    lenet,
    op,
    predict,
    run,
    train,
)

from fastcnn import _native
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError
from fastcnn.testing import reference
from fastcnn.testing.compare import UNIT

COUNT = 40


def data(rng: np.random.Generator) -> tuple[Any, Any]:
    return digits(rng, COUNT)


@pytest.mark.parametrize("loss", [SPARSE, CATEGORICAL, SQUARED])
@pytest.mark.parametrize("last", ["softmax", "sigmoid"])
def test_evaluate(loss: Node, last: str, rng: np.random.Generator) -> None:
    """Loss and accuracy over whole and short batches equal the reference on the predictions."""
    model = build(chain((12,), dense(5), op(last)), loss=loss)
    x, labels = rng.standard_normal((COUNT, 12)).astype(np.float32), rng.integers(0, 5, COUNT)
    target = labels if loss is SPARSE else reference.one_hot(labels, 5)
    totals = evaluate(model, x, target, 16)
    predictions = predict(model, x)
    wanted = getattr(reference, loss["name"])(target, predictions)
    assert totals["samples"] == COUNT
    # Each term is off by a few roundings of the probabilities, of the logarithm and of the loss itself.
    assert abs(totals["loss"] / COUNT - wanted) <= 64 * UNIT * max(1.0, wanted)
    assert totals["correct"] == int((predictions.argmax(axis=1) == labels).sum())


def test_binary_accuracy(rng: np.random.Generator) -> None:
    model = build(chain((12,), dense(1), op("sigmoid")), loss=SQUARED)
    x, y = rng.standard_normal((COUNT, 12)).astype(np.float32), rng.integers(0, 2, COUNT)
    totals = evaluate(model, x, y)
    assert totals["correct"] == int(((predict(model, x)[:, 0] > 0.5) == y).sum())
    assert evaluate(model, x, y.reshape(-1, 1).astype(bool)) == totals


def test_softmax_and_cross_entropy_are_one_step(rng: np.random.Generator) -> None:
    """A probability that rounds to zero still has a finite loss and a gradient: the loss reads the logits."""
    model = build(chain((2,), dense(2, use_bias=False), op("softmax")), SGD)
    model.set_parameters([np.eye(2, dtype=np.float32)])
    x, y = np.array([[200.0, 0.0]], np.float32), np.array([1])
    assert predict(model, x)[0, 1] == 0
    assert evaluate(model, x, y)["loss"] == 200.0
    train(model, x, y)
    assert np.array_equal(model.get_parameters()[0], [[1 - 200, 200], [0, 1]])


def test_images_of_labels(rng: np.random.Generator) -> None:
    """A class for each pixel: every pixel counts as a prediction."""
    model = build(chain((4, 4, 2), conv2d(3, 1), op("softmax")))
    x, labels = rng.standard_normal((7, 4, 4, 2)).astype(np.float32), rng.integers(0, 3, (7, 4, 4))
    totals = evaluate(model, x, labels, 4)
    predictions = predict(model, x)
    wanted = reference.sparse_categorical_crossentropy(labels, predictions)
    assert totals["samples"] == 7 * 16
    assert abs(totals["loss"] / totals["samples"] - wanted) <= 64 * UNIT * max(1.0, wanted)
    assert totals["correct"] == int((predictions.argmax(axis=-1) == labels).sum())


def test_totals_last_and_reset(rng: np.random.Generator) -> None:
    x, y = data(rng)
    model = build(lenet())
    session = model.session("evaluate", x, y, None, 16)
    assert session.batches == 3
    sums = {"loss": 0.0, "correct": 0, "samples": 0}
    for batch in range(3):
        session.run(None, batch, 0.0)
        sums = {key: sums[key] + session.last()[0][key] for key in sums}
    assert session.last()[0]["samples"] == 8
    assert session.totals()[0] == sums
    session.reset()
    assert session.totals()[0] == {"loss": 0.0, "correct": 0, "samples": 0}
    assert model.step == 0


def test_dropout_is_for_training_alone(rng: np.random.Generator) -> None:
    x = rng.standard_normal((COUNT, 9)).astype(np.float32)
    with_dropout = build(chain((9,), dense(6), op("relu"), dropout(0.9), dense(2)), SGD, SQUARED)
    without = build(chain((9,), dense(6), op("relu"), dense(2)), SGD, SQUARED)
    without.set_parameters(with_dropout.get_parameters())
    assert predict(with_dropout, x).tobytes() == predict(without, x).tobytes()
    y = np.zeros((COUNT, 2), np.float32)
    assert evaluate(with_dropout, x, y) == evaluate(without, x, y)
    train(with_dropout, x, y)
    train(without, x, y)
    assert not np.array_equal(with_dropout.get_parameters()[0], without.get_parameters()[0])


def bad_labels(change: Any) -> Any:
    def make(x: Any, y: Any) -> tuple[Any, Any]:
        return x, change(y.copy())

    return make


def put(index: int, value: float, dtype: Any = np.int64) -> Any:
    def change(y: Any) -> Any:
        y = y.astype(dtype)
        y[index] = value
        return y

    return bad_labels(change)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (put(37, 10), ArgumentError, r"label 10 at index 37 is out of range \[0, 10\)"),
        (put(0, -1, np.int8), ArgumentError, "label -1 at index 0"),
        (put(5, 2**40), ArgumentError, "label 1099511627776 at index 5"),
        (put(3, 2.5, np.float64), ArgumentError, "label 2.5 at index 3 is not a whole number"),
        (put(3, np.nan, np.float32), ArgumentError, "label nan at index 3"),
        (put(39, np.inf, np.float16), ArgumentError, "label inf at index 39"),
        (bad_labels(lambda y: y[:-1]), ShapeError, "x has 40 samples and y 39"),
        (bad_labels(lambda y: np.eye(10)[y]), ShapeError, "one-hot"),
        (bad_labels(lambda y: y.reshape(2, 20)), ShapeError, "x has 40 samples and y 2"),
        (bad_labels(lambda y: y.astype(complex)), DTypeError, "complex128"),
        (bad_labels(lambda y: y.astype(object)), DTypeError, "object"),
        (bad_labels(lambda y: None), ArgumentError, "y is missing"),
        (bad_labels(lambda y: list(y)), DTypeError, "list"),
        (bad_labels(lambda y: y.astype(">i4")), DTypeError, "byte order"),
        (lambda x, y: (x[:0], y[:0]), ShapeError, "x is empty"),
        (lambda x, y: (x[..., 0], y), ShapeError, r"x has shape \[40, 28, 28\], wanted \[N, 28, 28, 1\]"),
        (lambda x, y: (x[0, 0, 0, 0], y), ShapeError, r"x has shape \[\]"),
        (lambda x, y: (x.tolist(), y), DTypeError, "x is a list"),
        (lambda x, y: (x.astype("c8"), y), DTypeError, "complex64"),
    ],
)
@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_bad_data_changes_nothing(
    mode: str, make: Any, error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    x, y = make(*data(rng))
    model = build(lenet())
    before = bits(model)
    with pytest.raises(error, match=message):
        run(model.session(mode, x, y, None, 16))
    assert bits(model) == before


def test_bad_dense_targets(rng: np.random.Generator) -> None:
    model = build(chain((3,), dense(4)), loss=SQUARED)
    x = np.zeros((5, 3))
    for shape in ((5,), (5, 3), (5, 4, 1), (4, 4)):
        with pytest.raises(ShapeError):
            model.session("train", x, np.zeros(shape), None, 5)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((COUNT, 9), np.float32), ShapeError, "out has shape"),
        (np.empty((COUNT, 10)), DTypeError, "out has dtype float64"),
        (np.empty((10, COUNT), np.float32).T, ArgumentError, "C-contiguous"),
        (np.empty((2 * COUNT, 10), np.float32)[::2], ArgumentError, "C-contiguous"),
        (np.broadcast_to(np.float32(0), (COUNT, 10)), ArgumentError, "contiguous|read-only"),
        ([0.0], DTypeError, "list"),
    ],
)
def test_bad_out(out: Any, error: type[Exception], message: str, rng: np.random.Generator) -> None:
    model = build(lenet())
    with pytest.raises(error, match=message):
        model.session("predict", data(rng)[0], None, out, 16)
    with pytest.raises(error, match=message):
        model.predict(data(rng)[0], out)


def test_out_may_not_be_x() -> None:
    model = build(chain((6,), op("relu")))
    x = np.full((4, 6), -1, np.float32)
    with pytest.raises(ArgumentError, match="overlaps x"):
        model.session("predict", x, None, x, 2)
    with pytest.raises(ArgumentError, match="overlaps x"):
        model.predict(x, x)
    assert (x == -1).all()


@pytest.mark.parametrize("samples", [1, 3, COUNT])
def test_predict_is_a_session_of_one_batch(samples: int, rng: np.random.Generator) -> None:
    model, x = build(lenet()), data(rng)[0][:samples]
    wanted, out = np.empty((samples, 10), np.float32), np.full((samples, 10), np.nan, np.float32)
    run(model.session("predict", x, None, wanted, samples))
    assert model.predict(x, out) is None
    assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((4, 5)), ShapeError, "x has shape"),
        (np.zeros((0, 6)), ShapeError, "x is empty"),
        (np.zeros((4, 6), object), DTypeError, "dtype object"),
        ((np.zeros((4, 6)), np.zeros((4, 6))), ArgumentError, "x has 2 arrays"),
        (None, DTypeError, "x is a NoneType"),
    ],
)
def test_bad_x_of_predict(x: Any, error: type[Exception], message: str) -> None:
    model, out = build(chain((6,), op("relu"))), np.full((4, 6), np.nan, np.float32)
    with pytest.raises(error, match=message):
        model.predict(x, out)
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("train", 0), ArgumentError, "batch_size is 0"),
        (("evaluate", -4), ArgumentError, "batch_size is -4"),
        (("predict", 2**70), ArgumentError, "batch_size"),
        (("train", 1.5), DTypeError, "batch_size is a float"),
        (("tune", 32), ArgumentError, "mode is 'tune'"),
    ],
)
def test_bad_session(
    arguments: tuple[str, Any], error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    x, y = data(rng)
    with pytest.raises(error, match=message):
        build(lenet()).session(arguments[0], x, y, None, arguments[1])


def test_a_batch_larger_than_the_data(rng: np.random.Generator) -> None:
    x, y = data(rng)
    session = build(lenet()).session("train", x, y, None, 2**62)
    assert session.batches == 1
    assert session.run(None, 0, 0.0) == 1


@pytest.mark.parametrize(
    ("order", "begin", "error", "message"),
    [
        (None, 3, ArgumentError, "begin is 3"),
        (None, -1, ArgumentError, "begin is -1"),
        (np.arange(COUNT, dtype=np.int32), 0, DTypeError, "int64"),
        (np.arange(COUNT - 1), 0, ShapeError, "39 entries"),
        (np.arange(COUNT) + 1, 0, ArgumentError, "sample 40 at index 39"),
        (np.arange(COUNT) - 1, 0, ArgumentError, "sample -1 at index 0"),
        (np.arange(2 * COUNT)[::2], 0, DTypeError, "contiguous"),
    ],
)
def test_bad_run(
    order: Any, begin: int, error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    model = build(lenet())
    before = bits(model)
    session = model.session("train", *data(rng), None, 16)
    with pytest.raises(error, match=message):
        session.run(order, begin, 0.0)
    assert bits(model) == before


def test_not_compiled(rng: np.random.Generator) -> None:
    model = _native.Model(lenet())
    x, y = data(rng)
    with pytest.raises(ArgumentError, match=r"compile\(\) first"):
        model.session("train", x, y, None, 16)
    assert predict(model, x).shape == (COUNT, 10)
    with pytest.raises(ArgumentError, match=r"compile\(\) first"):
        model.describe("evaluate", 16)


def test_compiled_again(rng: np.random.Generator) -> None:
    """An old session would read the labels as the old loss did."""
    model = build(lenet())
    session = model.session("train", *data(rng), None, 16)
    model.compile(ADAM, CATEGORICAL, None, "cpu", "float32", "default")
    with pytest.raises(ArgumentError, match="compiled again"):
        session.run(None, 0, 0.0)


def test_memory_refused_names_the_bytes() -> None:
    model = build(chain((2**20, 2**11), op("relu")), loss=SQUARED)
    x = np.broadcast_to(np.float32(0), (2**12, 2**20, 2**11))
    session = model.session("evaluate", x, x, None, 2**12)
    with pytest.raises(OutOfMemoryError, match=r"batch of 4096 needs \d+ bytes"):
        session.run(None, 0, 0.0)


def test_session_keeps_its_arrays(rng: np.random.Generator) -> None:
    x, y = data(rng)
    model, twin = build(lenet()), build(lenet())
    session = model.session("train", x.copy(), y.copy(), None, 16)
    junk = [np.full(x.shape, 255, np.uint8) for _ in range(20)]
    run(session)
    train(twin, x, y, 16)
    assert bits(model) == bits(twin)
    assert len(junk) == 20

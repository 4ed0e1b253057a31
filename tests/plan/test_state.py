# SPDX-License-Identifier: Apache-2.0
"""The state of a model: weights, optimizer and numbers, read, written, refused and resumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import (
    ADAM,
    MOMENTUM,
    SGD,
    SPARSE,
    SQUARED,
    Node,
    bits,
    build,
    chain,
    dense,
    digits,
    lenet,
    train,
)

from fastcnn.errors import ArgumentError, DTypeError, ShapeError


@pytest.mark.parametrize("optimizer", [ADAM, MOMENTUM, SGD])
def test_a_resumed_run_is_the_same_run(optimizer: Node, rng: np.random.Generator) -> None:
    x, y = digits(rng, 40)
    straight, first = build(lenet(), optimizer), build(lenet(), optimizer)
    for model in (straight, first):
        model.seed = 11
        train(model, x, y, 16)
        model.learning_rate = 0.003
    state = first.get_state()
    assert state["step"] == 3
    second = build(lenet(), optimizer)
    second.set_state(state)
    for model in (straight, second):
        train(model, x, y, 16)
    assert bits(second) == bits(straight)
    assert second.learning_rate == 0.003


def test_state_names(rng: np.random.Generator) -> None:
    model = build(chain((3,), {**dense(2), "name": "d"}), MOMENTUM, SQUARED)
    assert set(model.get_state()) == {
        "parameters/d/kernel",
        "parameters/d/bias",
        "optimizer/slot0/d/kernel",
        "optimizer/slot0/d/bias",
        "step",
        "seed",
        "learning_rate",
    }


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"parameters/d/kernel": np.zeros((2, 3))},
            ShapeError,
            r"layer 0 'd' \(Dense\).*\[2, 3\], wanted \[3, 2\]",
        ),
        ({"optimizer/slot0/d/bias": None}, ArgumentError, "slot0/d/bias' is missing"),
        ({"step": None}, ArgumentError, "'step' is missing"),
        ({"step": np.int64(-1)}, ArgumentError, "step is -1"),
        ({"step": np.float64(1.5)}, DTypeError, "step"),
        ({"learning_rate": np.float64("nan")}, ArgumentError, "learning_rate"),
        ({"extra": np.zeros(1)}, ArgumentError, "'extra' belongs to no"),
        ({"parameters/d/bias": np.zeros(2, object)}, DTypeError, "object"),
    ],
)
def test_bad_state_changes_nothing(
    change: dict[str, Any], error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    model = build(chain((3,), {**dense(2), "name": "d"}), MOMENTUM, SQUARED)
    before = bits(model)
    state = {**{name: array + 1 for name, array in model.get_state().items()}, **change}
    with pytest.raises(error, match=message):
        model.set_state({name: value for name, value in state.items() if value is not None})
    assert bits(model) == before


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([np.zeros((3, 2))], ArgumentError, "1 arrays, wanted 2"),
        ([np.ones((3, 2)), np.zeros(3)], ShapeError, r"\[3\], wanted \[2\]"),
        ([np.ones((3, 2)), np.zeros(2, complex)], DTypeError, "complex128"),
        ([np.ones((3, 2)), 1.0], DTypeError, "float"),
        (3, DTypeError, "weights is a int"),
    ],
)
def test_bad_weights_change_nothing(weights: Any, error: type[Exception], message: str) -> None:
    model = build(chain((3,), dense(2)))
    before = bits(model)
    with pytest.raises(error, match=message):
        model.set_parameters(weights)
    assert bits(model) == before


def test_weights_of_any_real_dtype() -> None:
    model = build(chain((3,), dense(2)))
    kernel = np.arange(6, dtype=np.int16).reshape(2, 3).T
    model.set_parameters([kernel, np.array([0.5, -1.5], np.float16)])
    got = model.get_parameters()
    assert np.array_equal(got[0], kernel)
    assert np.array_equal(got[1], [0.5, -1.5])
    got[0][...] = 9  # a copy
    assert np.array_equal(model.get_parameters()[0], kernel)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("learning_rate", float("nan"), ArgumentError),
        ("learning_rate", -0.1, ArgumentError),
        ("learning_rate", "fast", DTypeError),
        ("step", -1, ArgumentError),
        ("step", 1.0, DTypeError),
        ("seed", -1, ArgumentError),
        ("seed", 2**70, ArgumentError),
    ],
)
def test_bad_number(name: str, value: Any, error: type[Exception]) -> None:
    model = build(lenet())
    before = bits(model)
    with pytest.raises(error, match=name):
        setattr(model, name, value)
    assert bits(model) == before


def test_compile_begins_anew(rng: np.random.Generator) -> None:
    model = build(lenet())
    train(model, *digits(rng, 40))
    weights = model.get_parameters()
    model.compile(ADAM, SPARSE, None, "cpu", "float32", "default")
    assert model.step == 0
    assert all(not slot.any() for name, slot in model.get_state().items() if name.startswith("optimizer/"))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_parameters(), weights, strict=True))


def test_some_parameters_alone() -> None:
    """By their numbers, in any order; the others stay as they are."""
    model = build(chain((3,), dense(4), dense(2)))
    before = model.get_parameters()
    kernel, bias = np.full((4, 2), 3), np.array([1, 2])
    model.set_parameters([bias, kernel], [3, 2])
    for got, want in zip(model.get_parameters([2, 0, 3]), (kernel, before[0], bias), strict=True):
        assert np.array_equal(got, want)
    assert np.array_equal(model.get_parameters()[1], before[1])
    assert model.get_parameters([]) == []
    for numbers, error, message in (
        ([4], ArgumentError, "numbers holds 4, wanted numbers below 4"),
        ([-1], ArgumentError, "numbers holds -1"),
        ([0.5], DTypeError, "numbers"),
        (3, DTypeError, "numbers"),
    ):
        with pytest.raises(error, match=message):
            model.get_parameters(numbers)
    for weights, numbers, error in (
        ([bias], [2, 3], ArgumentError),
        ([bias, bias], [3, 2], ShapeError),
    ):
        with pytest.raises(error):
            model.set_parameters(weights, numbers)
    assert np.array_equal(model.get_parameters()[3], bias)

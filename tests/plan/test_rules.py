# SPDX-License-Identifier: Apache-2.0
"""Rules of single parameters: penalties, constraints and learning rates of their own, exact in whole numbers.

The network is that of `test_updates`: the gradient of each kernel is known to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_updates import COLUMNS, ROWS, Heads

import fastcnn
from fastcnn import _native, optimizers
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.testing.compare import assert_exact, assert_same_bits, assert_within
from fastcnn.testing.fill import F32, integers, reals


class Ruled(Heads):
    """With rules of its kernels."""

    def __init__(self, rules: Any, rng: np.random.Generator, optimizer: Any = None, **more: Any) -> None:
        self.rules = rules
        super().__init__(optimizer or optimizers.SGD(1.0), rng, **more)

    def compile(self, optimizer: Any, frozen: tuple[int, ...] = ()) -> None:
        super().compile(optimizer, frozen)
        losses = ({"name": "mean_squared_error", "reduction": "sum_over_batch_size"},) * len(COLUMNS)
        description = optimizer.native(self.model.parameters)
        self.model.compile(
            description, losses, (None,) * len(COLUMNS), "cpu", "float32", "default", list(frozen), self.rules
        )
        self.session = self.model.session("train", np.eye(ROWS, dtype=np.float32), self.targets, None, ROWS)


def test_a_penalty_joins_the_gradient(rng: np.random.Generator) -> None:
    heads = Ruled([(0, {"l1": 0.5, "l2": 0.25}), (2, {"l2": 2.0})], rng)
    before, gradients = heads.weights, heads.gradients()
    heads.train()
    penalties = [0.5 * np.sign(before[0]) + 0.5 * before[0], 0, 4 * before[2]]
    for i, (w, g, p) in enumerate(zip(before, gradients, penalties, strict=True)):
        assert_exact(heads.weights[i], w - (g + p), f"kernel {i}")
    value = 0.5 * np.abs(before[0]).sum() + 0.25 * (before[0] ** 2).sum() + 2 * (before[2] ** 2).sum()
    assert heads.session.penalty == value * ROWS  # times the samples


def test_a_frozen_kernel_has_no_penalty(rng: np.random.Generator) -> None:
    heads = Ruled([(0, {"l1": 1.0}), (1, {"l1": 1.0})], rng, frozen=(0,))
    before = heads.weights
    heads.train()
    assert_same_bits(heads.weights[0], before[0], "frozen")
    assert heads.session.penalty == np.abs(before[1]).sum() * ROWS


def test_an_evaluation_tells_the_penalty_and_changes_nothing(rng: np.random.Generator) -> None:
    heads = Ruled([(0, {"l1": 1.0})], rng)
    before = heads.weights
    session = heads.model.session("evaluate", np.eye(ROWS, dtype=np.float32), heads.targets, None, 3)
    session.run(None, 0, 9.0)
    assert session.penalty == np.abs(before[0]).sum() * ROWS
    assert_same_bits(heads.weights[0], before[0], "evaluated")


def test_large_kernels_have_one_penalty_for_any_number_of_threads(
    rng: np.random.Generator, keep_threads: None
) -> None:
    nodes = [
        {"op": "input", "name": "input", "inputs": [], "shape": (300,)},
        {"op": "dense", "name": "d", "inputs": [0], "units": 217, "use_bias": False},
    ]
    weights, x, y = reals(rng, (300, 217)), reals(rng, (4, 300)), reals(rng, (4, 217))
    results: list[tuple[float, F32]] = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        model = _native.Model(nodes)
        model.set_parameters([weights])
        rules = [(0, {"l1": 1e-3, "l2": 1e-3, "constraint": ("norm", 0.0, 0.5, 1.0, 0, 1)})]
        description = optimizers.SGD(0.5).native(model.parameters)
        loss = {"name": "mean_squared_error", "reduction": "sum_over_batch_size"}
        model.compile(description, loss, None, "cpu", "float32", "default", [], rules)
        session = model.session("train", x, y, None, 4)
        session.run(None, 0, 9.0)
        results.append((session.penalty, model.get_parameters()[0]))
    for penalty, after in results[1:]:
        assert penalty == results[0][0]
        assert_same_bits(after, results[0][1], "threads")


def test_learning_rates_of_their_own(rng: np.random.Generator) -> None:
    heads = Ruled([(0, {"rate": 0.5}), (2, {"rate": 4.0})], rng)
    before, gradients = heads.weights, heads.gradients()
    heads.train()
    for i, rate in enumerate((0.5, 1.0, 4.0)):
        assert_exact(heads.weights[i], before[i] - rate * gradients[i], f"kernel {i}")


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Muon", "Ftrl"])
def test_a_rate_is_that_of_another_optimizer(name: str, rng: np.random.Generator) -> None:
    """Twice the rate for one kernel, and weight decay with it."""
    kind: Any = getattr(optimizers, name)
    options = {} if name == "Ftrl" else {"weight_decay": 0.125}
    ruled = Ruled([(1, {"rate": 2.0})], np.random.default_rng(3), kind(0.25, **options))
    twice = Ruled([], np.random.default_rng(3), kind(0.5, **options))
    for _ in range(3):
        ruled.train()
        twice.train()
    assert_same_bits(ruled.weights[1], twice.weights[1], "kernel 1")
    assert ruled.weights[0].tobytes() != twice.weights[0].tobytes()


def test_nothing_below_zero(rng: np.random.Generator) -> None:
    heads = Ruled([(1, {"constraint": ("non_negative", 0, 0, 0, 0, 1)})], rng)
    before, gradients = heads.weights, heads.gradients()
    heads.train()
    assert_exact(heads.weights[1], np.maximum(before[1] - gradients[1], 0), "kernel 1")
    assert_exact(heads.weights[0], before[0] - gradients[0], "kernel 0")


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2)])
@pytest.mark.parametrize(("least", "most", "rate"), [(0.0, 2.0, 1.0), (1.0, 1.0, 1.0), (3.0, 4.0, 0.25)])
@pytest.mark.parametrize("units", [1, 5, 64, 70, 130])
def test_norms(
    axes: tuple[int, int], least: float, most: float, rate: float, units: int, rng: np.random.Generator
) -> None:
    nodes = [
        {"op": "input", "name": "input", "inputs": [], "shape": (ROWS,)},
        {"op": "dense", "name": "d", "inputs": [0], "units": units, "use_bias": False},
    ]
    model = _native.Model(nodes)
    w = reals(rng, (ROWS, units))
    model.set_parameters([w])
    rules = [(0, {"constraint": ("norm", least, most, rate, *axes)})]
    loss = {"name": "mean_squared_error", "reduction": "sum_over_batch_size"}
    description = optimizers.SGD(0.0).native(model.parameters)
    model.compile(description, loss, None, "cpu", "float32", "default", [], rules)
    x, y = np.eye(ROWS, dtype=np.float32), reals(rng, (ROWS, units))
    model.session("train", x, y, None, ROWS).run(None, 0, 9.0)
    exact = w.astype(np.float64)
    norms = np.sqrt((exact**2).sum(axis=tuple(range(*axes)), keepdims=True))
    wanted = exact * (rate * np.clip(norms, least, most) + (1 - rate) * norms) / (norms + 1e-7)
    # One rounding a square and an addition, one for the root, the sum, the quotient, the product.
    count = int(np.prod([w.shape[d] for d in range(*axes)]))
    assert_within(model.get_parameters()[0], wanted, np.abs(wanted) * (count + 8) * 2.0**-24, "norms")


@pytest.mark.parametrize("updates", ["train", "gradients"])
def test_gradients_without_an_update(updates: str, rng: np.random.Generator) -> None:
    heads = Ruled([(0, {"l1": 1.0})], rng)
    before, gradients = heads.weights, heads.gradients()
    session = heads.model.session(updates, np.eye(ROWS, dtype=np.float32), heads.targets, None, ROWS)
    session.run(None, 0, 9.0)
    wanted = [gradients[0] + np.sign(before[0]), gradients[1], gradients[2]]
    for i, got in enumerate(heads.model.get_gradients()):
        assert_exact(got, wanted[i], f"kernel {i}")
    assert heads.model.step == (updates == "train")
    if updates == "gradients":
        for a, b in zip(heads.weights, before, strict=True):
            assert_same_bits(a, b, "weights")


def test_runs_end_where_they_are_told(rng: np.random.Generator) -> None:
    heads = Ruled([], rng)
    session = heads.model.session("train", np.eye(ROWS, dtype=np.float32), heads.targets, None, 2)
    assert session.run(None, 0, 9.0, None, 3) == 3
    assert session.run(None, 3, 9.0, None, 99) == 4
    with pytest.raises(ArgumentError, match="end is 2"):
        session.run(None, 2, 9.0, None, 2)


def test_sums_go_on_from_another_session(rng: np.random.Generator) -> None:
    heads = Ruled([(0, {"l1": 1.0})], rng)
    x = np.eye(ROWS, dtype=np.float32)
    whole = heads.model.session("evaluate", x, heads.targets, None, 2)
    whole.run(None, 0, 9.0)
    parts = [heads.model.session("evaluate", x, heads.targets, None, 2) for _ in range(2)]
    parts[0].run(None, 0, 9.0, None, 3)
    parts[1].resume(parts[0].totals(), parts[0].penalty)
    parts[1].run(None, 3, 9.0)
    assert parts[1].totals() == whole.totals()
    assert parts[1].penalty == whole.penalty
    for bad, error in (([], ArgumentError), ([3, 3, 3], DTypeError), ([{}] * 3, ArgumentError)):
        with pytest.raises(error):
            parts[0].resume(bad, 0.0)


def test_room_for_predictions(rng: np.random.Generator) -> None:
    """Those of the batches of one run, from its first on; a run ends when the room does."""
    heads = Ruled([], rng)
    x = np.eye(ROWS, dtype=np.float32)
    out = tuple(np.full((5, units), np.nan, np.float32) for units in COLUMNS)
    session = heads.model.session("evaluate", x, heads.targets, out, 2)
    assert session.run(None, 0, 9.0) == 2
    assert_exact(out[0][:4], heads.weights[0][:4], "batches 0 and 1")
    assert np.isnan(out[0][4:]).all()
    assert session.run(None, 2, 9.0) == 4
    assert_exact(out[2][:4], heads.weights[2][4:], "batches 2 and 3")
    for bad, message in (
        (tuple(each[:1] for each in out), "wanted room for a batch"),
        (out[:2], "out has 2"),
    ):
        with pytest.raises((ShapeError, ArgumentError), match=message):
            heads.model.session("evaluate", x, heads.targets, bad, 2)


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ([(9, {})], ArgumentError, "rules names parameter 9"),
        ([(0, 3)], DTypeError, "a parameter and a dict"),
        ([(0, {"l1": -1.0})], ArgumentError, "factor -1"),
        ([(0, {"l2": float("nan")})], ArgumentError, "factor nan"),
        ([(0, {"rate": 0.0})], ArgumentError, "multiplied by 0"),
        (
            [(0, {"constraint": ("norm", 0, 1, 1, 1, 3)})],
            ArgumentError,
            "axes 1 to 2, wanted axes of its shape",
        ),
        ([(0, {"constraint": ("norm", 0, 1)})], ArgumentError, "3 entries"),
        ([(0, {"constraint": ("norms", 0, 1, 1, 0, 1)})], ArgumentError, "norms"),
    ],
)
def test_bad_rules(rules: Any, error: type[Exception], message: str, rng: np.random.Generator) -> None:
    with pytest.raises(error, match=message):
        Ruled(rules, rng)


def test_an_external_loss(rng: np.random.Generator) -> None:
    """Its gradient is what goes backward; what it raises comes through, and nothing has changed."""
    nodes = [
        {"op": "input", "name": "input", "inputs": [], "shape": (ROWS,)},
        {"op": "dense", "name": "d", "inputs": [0], "units": 3, "use_bias": False},
    ]
    model = _native.Model(nodes)
    w, dy = integers(rng, (ROWS, 3)), integers(rng, (ROWS, 3))
    model.set_parameters([w])
    description = optimizers.SGD(1.0).native(model.parameters)
    model.compile(description, {"external": True, "weight": 1.0}, None, "cpu", "float32", "default")
    x = np.eye(ROWS, dtype=np.float32)
    seen: list[Any] = []

    def measure(output: int, batch: int, predictions: F32) -> tuple[float, F32]:
        seen.append((output, batch, predictions))
        return 2.5, dy[batch * 3 : batch * 3 + len(predictions)]

    session = model.session("train", x, None, None, 3, None, measure)
    session.run(None, 0, 9.0)
    assert_exact(model.get_parameters()[0], w - dy, "kernel")
    assert [(output, batch, len(rows)) for output, batch, rows in seen] == [(0, 0, 3), (0, 1, 3), (0, 2, 2)]
    assert_exact(np.concatenate([rows for *_, rows in seen]), w, "predictions")
    assert session.totals() == [{"loss": 2.5 * ROWS, "correct": 0, "samples": ROWS}]
    before = model.get_parameters()[0]
    answers: list[tuple[Any, type[Exception]]] = [
        (1 / 2, DTypeError),
        ((1.0,), ArgumentError),
        (("one", dy), DTypeError),
        ((1.0, dy[:1]), ShapeError),
        ((1.0, dy.astype(np.float64)), ShapeError),
    ]
    for answer, error in answers:
        wrong = model.session("train", x, None, None, ROWS, None, lambda *_, answer=answer: answer)
        with pytest.raises(error):
            wrong.run(None, 0, 9.0)
    with pytest.raises(ZeroDivisionError):
        model.session("train", x, None, None, ROWS, None, lambda *_: 1 / 0).run(None, 0, 9.0)
    with pytest.raises(ArgumentError, match="external is missing"):
        model.session("train", x, None, None, ROWS).run(None, 0, 9.0)
    assert_same_bits(model.get_parameters()[0], before, "after errors")
    assert model.step == 3

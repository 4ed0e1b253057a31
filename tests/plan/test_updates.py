# SPDX-License-Identifier: Apache-2.0
"""Optimizers in a model: the bits of the same steps on arrays, whatever the options, and every run resumable.

The network is several dense layers without bias on the identity, each with a mean squared error over a power
of two of elements. So the gradient of each kernel is ``(kernel - target)`` times a power of two, with one
rounding: NumPy gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import SQUARED, bits, build, digits, initialize, lenet, run

from fastcnn import _native, optimizers
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.optimizers import Optimizer
from fastcnn.testing import optimizing
from fastcnn.testing.compare import assert_exact, assert_same_bits
from fastcnn.testing.fill import F32, integers

ROWS = 8
COLUMNS = (4, 2, 16)
STEPS = 20


class Heads:
    """The network, with one kernel for each of `COLUMNS`."""

    def __init__(self, optimizer: Optimizer, rng: np.random.Generator, frozen: tuple[int, ...] = ()) -> None:
        nodes = [{"op": "input", "name": "input", "inputs": [], "shape": (ROWS,)}]
        nodes += [
            {"op": "dense", "name": f"d{i}", "inputs": [0], "units": units, "use_bias": False}
            for i, units in enumerate(COLUMNS)
        ]
        self.model = _native.Model(nodes, [1, 2, 3])
        self.model.set_parameters([integers(rng, (ROWS, units)) for units in COLUMNS])
        self.targets = tuple(integers(rng, (ROWS, units)) * np.float32(3) for units in COLUMNS)
        self.compile(optimizer, frozen)

    def compile(self, optimizer: Optimizer, frozen: tuple[int, ...] = ()) -> None:
        losses, kinds = (SQUARED,) * len(COLUMNS), (None,) * len(COLUMNS)
        description = optimizer.native(self.model.parameters)
        self.model.compile(description, losses, kinds, "cpu", "float32", "default", list(frozen))
        self.session = self.model.session("train", np.eye(ROWS, dtype=np.float32), self.targets, None, ROWS)

    @property
    def weights(self) -> list[F32]:
        return list(self.model.get_parameters())

    def gradients(self) -> list[F32]:
        return [(w - t) * np.float32(2 / w.size) for w, t in zip(self.weights, self.targets, strict=True)]

    def train(self) -> None:
        self.session.run(None, 0, 1.0)


@pytest.mark.parametrize("common", optimizing.COMMON)
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_same_bits_as_on_arrays(name: str, common: str, rng: np.random.Generator) -> None:
    optimizer, eager = optimizing.made(name, common), optimizing.made(name, common)
    for each in (optimizer, eager):
        each.exclude_from_weight_decay(var_names=["d1/"])
    heads = Heads(optimizer, rng)
    variables = heads.weights
    eager.build(variables, [each["name"] for each in heads.model.parameters])
    for step in range(STEPS):
        gradients = heads.gradients()
        heads.train()
        eager.apply(gradients)
        for i, (got, wanted) in enumerate(zip(heads.weights, variables, strict=True)):
            assert_same_bits(got, wanted, f"step {step}, kernel {i}")
    state = heads.model.get_state()
    for i, slots in enumerate(eager._slots):
        for j, slot in enumerate(slots):
            assert_same_bits(state[f"optimizer/slot{j}/d{i}/kernel"], slot, f"slot {j} of kernel {i}")


@pytest.mark.parametrize("common", ["clipnorm", "global-clipnorm", "ema", "accumulate"])
def test_frozen_kernels_take_no_part(common: str, rng: np.random.Generator) -> None:
    optimizer, eager = optimizing.made("momentum", common), optimizing.made("momentum", common)
    heads = Heads(optimizer, rng, frozen=(1,))
    trained = [heads.weights[0], heads.weights[2]]
    still = heads.weights[1]
    eager.build(trained)
    for _ in range(STEPS):
        gradients = heads.gradients()
        heads.train()
        eager.apply([gradients[0], gradients[2]])
    assert_same_bits(heads.weights[0], trained[0], "before it")
    assert_same_bits(heads.weights[2], trained[1], "after it")
    heads.model.finalize()
    assert_same_bits(heads.weights[1], still, "frozen")


def test_finalize_puts_the_averages_in_place(rng: np.random.Generator) -> None:
    optimizer, eager = (optimizers.SGD(0.5, use_ema=True, ema_momentum=0.75) for _ in range(2))
    heads = Heads(optimizer, rng)
    heads.model.finalize()  # nothing to average yet
    variables = heads.weights
    eager.build(variables)
    for _ in range(3):
        gradients = heads.gradients()
        heads.train()
        eager.apply(gradients)
    heads.model.finalize()
    eager.finalize_variable_values(variables)
    for got, wanted in zip(heads.weights, variables, strict=True):
        assert_same_bits(got, wanted, "averages")


@pytest.mark.parametrize("common", ["plain", "ema", "accumulate"])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_a_resumed_run_is_the_same_run(name: str, common: str, rng: np.random.Generator) -> None:
    start = Heads(optimizing.made(name, common), rng)
    state = start.model.get_state()
    straight, first, second = (Heads(optimizing.made(name, common), np.random.default_rng(0)) for _ in "abc")
    for heads in (straight, first):
        heads.model.set_state(state)
        for _ in range(4):
            heads.train()
    second.model.set_state(first.model.get_state())
    for heads in (straight, second):
        for _ in range(4):
            heads.train()
    assert bits(second.model) == bits(straight.model)


def test_slots_begin_at_their_values(rng: np.random.Generator) -> None:
    heads = Heads(optimizers.Adagrad(initial_accumulator_value=0.25), rng)
    state = heads.model.get_state()
    assert all((state[f"optimizer/slot0/d{i}/kernel"] == 0.25).all() for i in range(3))


# --- rates


def test_each_batch_has_its_rate(rng: np.random.Generator) -> None:
    heads = Heads(optimizers.SGD(1.0), rng)
    x = np.concatenate([np.eye(ROWS, dtype=np.float32)] * 4)
    y = tuple(np.concatenate([t] * 4) for t in heads.targets)
    session = heads.model.session("train", x, y, None, ROWS)
    rates = np.array([0.5, 0.0, 0.25, 2.0])
    wanted = heads.weights
    assert session.run(None, 0, 10.0, rates[:3]) == 3  # it ends where the rates do
    assert session.run(None, 3, 10.0, rates[3:]) == 4
    for rate in rates:
        wanted = [
            w - np.float32(rate) * ((w - t) * np.float32(2 / w.size))
            for w, t in zip(wanted, heads.targets, strict=True)
        ]
    for got, want in zip(heads.weights, wanted, strict=True):
        assert_exact(got, want, "kernel")
    assert heads.model.learning_rate == 2.0


@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        (np.array([0.5, -1.0]), ArgumentError, "learning_rate is -1"),
        (np.array([np.nan]), ArgumentError, "learning_rate is nan"),
        (np.array([1e300]), ArgumentError, "learning_rate"),
        (np.array([0.5], np.float32), DTypeError, "rates has dtype float32"),
        (np.ones((1, 1)), DTypeError, "rates"),
        (np.ones(0), DTypeError, "rates"),
        (np.ones(4)[::2], DTypeError, "rates"),
        ([0.5], DTypeError, "rates"),
    ],
)
def test_bad_rates_change_nothing(
    rates: Any, error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    heads = Heads(optimizers.SGD(1.0), rng)
    before = bits(heads.model)
    with pytest.raises(error, match=message):
        heads.session.run(None, 0, 1.0, rates)
    assert bits(heads.model) == before


def test_rates_are_for_training(rng: np.random.Generator) -> None:
    heads = Heads(optimizers.SGD(1.0), rng)
    session = heads.model.session("evaluate", np.eye(ROWS, dtype=np.float32), heads.targets, None, ROWS)
    with pytest.raises(ArgumentError, match="rates came, wanted them in training alone"):
        session.run(None, 0, 1.0, np.ones(1))


# --- descriptions

GOOD: dict[str, dict[str, Any]] = {
    name: optimizing.made(name).native()
    for name in ("adam", "momentum", "rmsprop", "ftrl", "muon", "adagrad")
}

BAD = [
    ("adam", {"name": "adan"}, ArgumentError, "adan"),
    ("adam", {"name": 3}, DTypeError, "name"),
    ("adam", {"beta_1": 1.0}, ArgumentError, "beta_1"),
    ("adam", {"beta_2": -0.1}, ArgumentError, "beta_2"),
    ("adam", {"beta_1": np.nan}, ArgumentError, "beta_1"),
    ("adam", {"beta_1": "0.9"}, DTypeError, "beta_1"),
    ("adam", {"epsilon": 0.0}, ArgumentError, "epsilon"),
    ("adam", {"epsilon": 1e-300}, ArgumentError, "epsilon"),
    ("adam", {"epsilon": np.inf}, ArgumentError, "epsilon"),
    ("adam", {"amsgrad": 1}, DTypeError, "amsgrad"),
    ("adam", {"learning_rate": np.nan}, ArgumentError, "learning_rate"),
    ("adam", {"weight_decay": -1.0}, ArgumentError, "weight_decay"),
    ("adam", {"weight_decay": np.nan}, ArgumentError, "weight_decay"),
    ("adam", {"clipnorm": -1.0}, ArgumentError, "clipnorm"),
    ("adam", {"clipvalue": np.inf}, ArgumentError, "clipvalue"),
    ("adam", {"clipnorm": 1.0, "clipvalue": 1.0}, ArgumentError, "several"),
    ("adam", {"use_ema": 1}, DTypeError, "use_ema"),
    ("adam", {"ema_momentum": 1.5}, ArgumentError, "ema_momentum"),
    ("adam", {"ema_overwrite_frequency": -1}, ArgumentError, "ema_overwrite_frequency"),
    ("adam", {"ema_overwrite_frequency": 2**62}, ArgumentError, "ema_overwrite_frequency"),
    ("adam", {"gradient_accumulation_steps": 2**31}, ArgumentError, "gradient_accumulation_steps"),
    ("adam", {"gradient_accumulation_steps": 1.5}, DTypeError, "gradient_accumulation_steps"),
    ("adam", {"no_decay": [3]}, ArgumentError, "no_decay names parameter 3, wanted 0 to 2"),
    ("adam", {"no_decay": [-1]}, ArgumentError, "no_decay"),
    ("adam", {"no_decay": 3}, DTypeError, "no_decay"),
    ("adam", {"matrices": [(0, 8, 4)]}, ArgumentError, "muon alone"),
    ("momentum", {"momentum": 1.5}, ArgumentError, "momentum"),
    ("momentum", {"momentum": -0.5}, ArgumentError, "momentum"),
    ("rmsprop", {"rho": 1.0}, ArgumentError, "rho is 1"),
    ("adagrad", {"initial_accumulator_value": -1.0}, ArgumentError, "initial_accumulator_value"),
    ("ftrl", {"learning_rate_power": 0.5}, ArgumentError, "learning_rate_power"),
    ("ftrl", {"l1_regularization_strength": -1.0}, ArgumentError, "l1_regularization_strength"),
    ("ftrl", {"beta": np.nan}, ArgumentError, "beta"),
    ("muon", {"ns_steps": -1}, ArgumentError, "ns_steps"),
    ("muon", {"ns_steps": 2**30}, ArgumentError, "ns_steps"),
    ("muon", {"muon_a": np.nan}, ArgumentError, "muon_a"),
    ("muon", {"rms_rate": -1.0}, ArgumentError, "rms_rate"),
    ("muon", {"adam_lr_ratio": np.inf}, ArgumentError, "adam_lr_ratio"),
    ("muon", {"matrices": [(0, 8, 5)]}, ShapeError, "wanted its 32 elements"),
    ("muon", {"matrices": [(0, 2**40, 2**40)]}, ShapeError, "matrices"),
    ("muon", {"matrices": [(0, -8, -4)]}, ShapeError, "matrices"),
    ("muon", {"matrices": [(9, 8, 4)]}, ArgumentError, "matrices names parameter 9"),
    ("muon", {"matrices": [(0, 8)]}, ArgumentError, "matrices"),
]


@pytest.mark.parametrize(("name", "spoil", "error", "message"), BAD)
def test_a_bad_description_changes_nothing(
    name: str, spoil: dict[str, Any], error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    heads = Heads(optimizers.SGD(1.0, momentum=0.5), rng)
    heads.train()
    before = bits(heads.model)
    with pytest.raises(error, match=message):
        heads.model.compile({**GOOD[name], **spoil}, (SQUARED,) * 3, (None,) * 3, "cpu", "float32", "default")
    assert bits(heads.model) == before
    heads.train()


def test_too_many_slots_are_refused() -> None:
    with pytest.raises(ArgumentError, match="5 arrays for each weight, wanted at most 4"):
        _native.optimizer_slots(
            optimizers.RMSprop(
                momentum=0.5, centered=True, use_ema=True, gradient_accumulation_steps=2
            ).native()
        )


@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_a_network_learns(name: str) -> None:
    rng = np.random.default_rng(3)
    x, y = digits(rng, 64)
    optimizer = optimizing.made(name)
    optimizer.learning_rate = {"ftrl-all": 0.05, "sgd": 0.01, "momentum": 0.01, "nesterov": 0.01}.get(
        name, 0.003
    )
    if name == "adadelta":
        optimizer.learning_rate = 1.0
    model = build(lenet())
    initialize(model)
    model.compile(optimizer.native(model.parameters), {"name": "sparse_categorical_crossentropy",
                  "from_logits": False}, None, "cpu", "float32", "default")  # fmt: skip
    session = model.session("train", x, y, None, 16)
    first = run(session)["loss"]
    for _ in range(10):
        session.reset()
        last = run(session)["loss"]
    assert np.isfinite(last)
    assert last < first

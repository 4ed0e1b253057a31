# SPDX-License-Identifier: Apache-2.0
"""Optimizers as users meet them: schedules, settings, what is refused, models that save and resume them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import Sequential, callbacks, layers, optimizers
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.optimizers import Optimizer, schedules
from fastcnn.optimizers.schedules import LearningRateSchedule
from fastcnn.testing import optimizing

KINDS = sorted({kind for kind, _ in optimizing.OPTIMIZERS.values()}, key=lambda kind: kind.__name__)


def data(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((count, 6)), rng.integers(0, 3, count)


def small(optimizer: str | Optimizer, seed: int = 5) -> Sequential:
    fastcnn.utils.set_random_seed(seed)
    model = Sequential([layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def bits(model: Sequential) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


# --- settings

DEFAULTS: dict[type[Optimizer], dict[str, Any]] = {
    optimizers.SGD: {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
    optimizers.Adam: {
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
    },
    optimizers.AdamW: {"learning_rate": 0.001, "weight_decay": 0.004, "beta_1": 0.9, "beta_2": 0.999},
    optimizers.Adamax: {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    optimizers.Nadam: {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    optimizers.RMSprop: {
        "learning_rate": 0.001,
        "rho": 0.9,
        "momentum": 0.0,
        "epsilon": 1e-7,
        "centered": False,
    },
    optimizers.Adagrad: {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    optimizers.Adadelta: {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7},
    optimizers.Lion: {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99},
    optimizers.Ftrl: {
        "learning_rate": 0.001,
        "learning_rate_power": -0.5,
        "initial_accumulator_value": 0.1,
        "l1_regularization_strength": 0.0,
        "l2_regularization_strength": 0.0,
        "l2_shrinkage_regularization_strength": 0.0,
        "beta": 0.0,
    },
    optimizers.Muon: {
        "learning_rate": 0.001,
        "adam_beta_1": 0.9,
        "adam_beta_2": 0.999,
        "adam_weight_decay": 0.004,
        "epsilon": 1e-7,
        "weight_decay": 0.004,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_and_order_are_those_of_keras(kind: type[Optimizer]) -> None:
    parameters = [p for p in inspect.signature(kind).parameters.values() if p.kind != p.VAR_KEYWORD]
    given = {p.name: p.default for p in parameters}
    assert list(given.items())[: len(DEFAULTS[kind])] == list(DEFAULTS[kind].items())
    made = kind()
    assert (made.use_ema, made.ema_momentum, made.ema_overwrite_frequency) == (False, 0.99, None)
    assert made.name == kind.__name__.lower()


@pytest.mark.parametrize("common", optimizing.COMMON)
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_a_config_makes_the_same_again(name: str, common: str) -> None:
    optimizer = optimizing.made(name, common)
    optimizer.exclude_from_weight_decay(var_list=["dense/bias"], var_names=["gamma"])
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.native([{"name": "dense/bias", "shape": (3,)}])["no_decay"] == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_names(kind: type[Optimizer]) -> None:
    assert type(optimizers.get(kind.__name__)) is kind
    assert type(optimizers.get(kind.__name__.lower())) is kind


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), ArgumentError, "several of clipnorm"),
    (lambda: optimizers.SGD(clipnorm=-1.0), ArgumentError, "SGD: clipnorm: -1"),
    (lambda: optimizers.SGD(clipvalue="1"), DTypeError, "SGD: clipvalue"),
    (lambda: optimizers.SGD(weight_decay=math.nan), ArgumentError, "SGD: weight_decay: nan"),
    (lambda: optimizers.SGD(use_ema=1), DTypeError, "SGD: use_ema"),
    (lambda: optimizers.SGD(ema_momentum=1.01), ArgumentError, "SGD: ema_momentum: 1.01"),
    (lambda: optimizers.SGD(ema_overwrite_frequency=0), ArgumentError, "ema_overwrite_frequency: 0"),
    (lambda: optimizers.SGD(ema_overwrite_frequency=1.5), DTypeError, "ema_overwrite_frequency: 1.5"),
    (lambda: optimizers.SGD(gradient_accumulation_steps=0), ArgumentError, "gradient_accumulation_steps: 0"),
    (lambda: optimizers.SGD(jit_compile=True), TypeError, r"^SGD\(\) got .* argument 'jit_compile'$"),
    (lambda: optimizers.Adam(lr=0.1), TypeError, r"^Adam\(\) got .* argument 'lr': wanted learning_rate$"),
    (lambda: optimizers.SGD(decay=0.1), TypeError, r"'decay': wanted .*InverseTimeDecay\("),
    (lambda: optimizers.SGD.from_config({"momenta": 1}), ArgumentError, "momenta"),
    (lambda: optimizers.AdamW(weight_decay=None), ArgumentError, "AdamW: weight_decay"),
    (lambda: optimizers.Adam(epsilon=0), ArgumentError, "Adam: epsilon: 0 came, wanted a number above 0"),
    (lambda: optimizers.Adam(amsgrad=None), DTypeError, "Adam: amsgrad"),
    (lambda: optimizers.RMSprop(rho=1), ArgumentError, "RMSprop: rho: 1"),
    (
        lambda: optimizers.Adagrad(initial_accumulator_value=-1),
        ArgumentError,
        "initial_accumulator_value: -1",
    ),
    (lambda: optimizers.Lion(beta_1=0.0), ArgumentError, "Lion: beta_1: 0"),
    (lambda: optimizers.Ftrl(learning_rate_power=0.5), ArgumentError, "learning_rate_power: 0.5"),
    (lambda: optimizers.Ftrl(beta=-1), ArgumentError, "Ftrl: beta: -1"),
    (lambda: optimizers.Muon(ns_steps=-1), ArgumentError, "Muon: ns_steps: -1"),
    (lambda: optimizers.Muon(exclude_layers=["("]), ArgumentError, r"Muon: exclude_layers: '\('"),
    (lambda: optimizers.Muon(exclude_layers="dense"), DTypeError, "Muon: exclude_layers"),
    (lambda: optimizers.Muon(muon_a=math.inf), ArgumentError, "Muon: muon_a: inf"),
    (lambda: optimizers.SGD().exclude_from_weight_decay(var_names=["("]), ArgumentError, "var_names"),
    (lambda: optimizers.SGD().exclude_from_weight_decay(var_names="bias"), DTypeError, "var_names"),
    (lambda: optimizers.SGD().exclude_from_weight_decay(var_list=[3]), DTypeError, "3 came"),
    (lambda: optimizers.SGD({"class_name": "Step", "config": {}}), ArgumentError, "unknown 'Step'"),
    (lambda: schedules.get(0.1), DTypeError, "wanted a number or a schedule"),
    (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ArgumentError, "ExponentialDecay: decay_steps: 0"),
    (lambda: schedules.ExponentialDecay(-0.1, 5, 0.5), ArgumentError, "initial_learning_rate: -0.1"),
    (lambda: schedules.ExponentialDecay(0.1, 5, 0.5, staircase=2), DTypeError, "staircase"),
    (lambda: schedules.InverseTimeDecay(0.1, -5, 0.5), ArgumentError, "decay_steps: -5"),
    (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), ArgumentError, "values: 1 came"),
    (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), ArgumentError, "boundaries"),
    (lambda: schedules.PiecewiseConstantDecay(1, [1, 2]), DTypeError, "boundaries"),
    (lambda: schedules.PolynomialDecay(0.1, 5, power=-1), ArgumentError, "power: -1"),
    (lambda: schedules.CosineDecay(0.1, 5, warmup_steps=-1), ArgumentError, "warmup_steps: -1"),
    (lambda: schedules.CosineDecayRestarts(0.1, 5, t_mul=0.5), ArgumentError, "t_mul: 0.5"),
    (lambda: schedules.OneCycle(0.1, 0), ArgumentError, "total_steps: 0"),
    (lambda: schedules.OneCycle(0.1, 2.5), DTypeError, "total_steps: 2.5"),
    (lambda: schedules.OneCycle(0.1, 5, pct_start=1.5), ArgumentError, "pct_start: 1.5"),
    (lambda: schedules.OneCycle(0.1, 5, anneal_strategy="sin"), ArgumentError, "anneal_strategy"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_settings_are_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- arrays of one's own


def test_apply_refuses_what_does_not_fit() -> None:
    w, other = np.ones(3, np.float32), np.ones(3, np.float32)
    sgd = optimizers.SGD(0.5)
    with pytest.raises(ShapeError, match="gradients"):
        sgd.apply([np.ones(3)])
    for bad in (np.ones(3), np.ones((3, 2), np.float32).T, np.ones(0, np.float32), [1.0], None):
        with pytest.raises(DTypeError, match="variable 0 is no writable, C-contiguous float32"):
            optimizers.SGD().apply([np.ones(3)], [bad])  # type: ignore[list-item]
    frozen = np.ones(3, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(DTypeError, match="writable"):
        optimizers.SGD().apply([np.ones(3)], [frozen])
    sgd.apply([np.ones(3)], [w])
    for gradients in ([], [np.ones(2)], [np.ones(3), np.ones(3)], [np.ones((1, 3))]):
        with pytest.raises(ShapeError, match="gradients of shapes"):
            sgd.apply(gradients)
    with pytest.raises(ArgumentError, match=r"other variables.*a model gives copies: .*trainable_weights"):
        sgd.apply([np.ones(3)], [other])
    with pytest.raises(ArgumentError, match="other variables"):
        sgd.finalize_variable_values([other])
    with pytest.raises(ArgumentError, match="1 variables and 2 names"):
        sgd.build([w], ["a", "b"])
    assert w.tolist() == [0.5, 0.5, 0.5]
    assert sgd.iterations == 1
    sgd.apply_gradients([(np.ones(3), w)])
    assert w.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [3, 1 << 17])
@pytest.mark.parametrize("settings", [{}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.5}])
def test_gradients_of_ones_own_stay_as_they_are(size: int, settings: dict[str, float]) -> None:
    """Also those that are variables themselves: all are read before any changes."""
    given = np.linspace(1, 2, size, dtype=np.float32)
    w = np.zeros(size, np.float32)
    optimizers.Adam(0.5, **settings).apply([given], [w])
    assert np.array_equal(given, np.linspace(1, 2, size, dtype=np.float32))
    a, b = (np.full(size, value, np.float32) for value in (1, 2))
    apart = [a.copy(), b.copy()]
    whole = np.stack([b, a])
    optimizers.SGD(0.25, **settings).apply([b.copy(), a.copy()], apart)
    optimizers.SGD(0.25, **settings).apply([b, a], [a, b])
    optimizers.SGD(0.25, **settings).apply([whole[0], whole[1]], [whole[1], whole[0]])
    for found in ([a, b], [whole[1], whole[0]]):
        assert all(map(np.array_equal, found, apart))


def test_loss_scale_divides_gradients() -> None:
    w = np.zeros(2, np.float32)
    optimizers.SGD(1.0, loss_scale_factor=8.0).apply([np.array([8.0, -16.0])], [w])
    assert w.tolist() == [-1.0, 2.0]


# --- in models


class Harmonic(LearningRateSchedule):
    """One that knows single steps alone."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, step: int) -> float:
        self.seen.append(step)
        return 0.5 if step == 0 else 0.5 / step


class Rates(callbacks.Callback):
    """Sets the rate by hand before each batch, and notes it."""

    def __init__(self, schedule: LearningRateSchedule | None = None) -> None:
        self.schedule = schedule
        self.step = 0
        self.noted: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.schedule is not None:
            self.model.optimizer.learning_rate = float(self.schedule(self.step))
        self.noted.append(self.model.optimizer.learning_rate)
        self.step += 1


@pytest.mark.parametrize("schedule", [schedules.CosineDecay(0.5, 30), Harmonic()], ids=["NumPy", "own"])
def test_fit_follows_a_schedule(schedule: LearningRateSchedule) -> None:
    x, y = data()
    follows, by_batch, by_hand = (small(optimizers.SGD(r, 0.9)) for r in (schedule, schedule, 0.0))
    noted = Rates()
    follows.fit(x, y, batch_size=4, epochs=3, verbose=0)
    by_batch.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[noted])
    by_hand.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[Rates(schedule)])
    assert bits(follows) == bits(by_hand) == bits(by_batch)
    assert noted.noted == [float(schedule(step)) for step in range(30)]
    assert follows.optimizer.iterations == 30
    assert follows.optimizer.learning_rate == float(schedule(30))


def test_a_long_epoch_asks_for_more_rates() -> None:
    x, y = data(400)
    schedule = Harmonic()
    model = small(optimizers.SGD(schedule))
    model.fit(x, y, batch_size=1, epochs=1, verbose=0)
    assert model.optimizer.iterations == 400
    assert set(range(400)) <= set(schedule.seen)


def test_train_on_batch_follows_a_schedule() -> None:
    x, y = data()
    model, by_hand = small(optimizers.SGD(Harmonic())), small(optimizers.SGD(0.0))
    for step in range(4):
        model.train_on_batch(x, y)
        by_hand.optimizer.learning_rate = Harmonic()(step)
        by_hand.train_on_batch(x, y)
    assert bits(model) == bits(by_hand)


def test_a_scheduled_rate_cannot_be_assigned() -> None:
    sgd = optimizers.SGD(schedules.CosineDecay(0.5, 10))
    with pytest.raises(DTypeError, match="follows a schedule"):
        sgd.learning_rate = 0.1
    sgd.learning_rate = schedules.CosineDecay(0.25, 10)
    assert sgd.learning_rate == 0.25


def test_a_schedule_that_fails_leaves_the_last_step() -> None:
    class Broken(LearningRateSchedule):
        def __call__(self, step: int) -> float:
            return math.nan if step == 5 else 0.1

    x, y = data()
    model = small(optimizers.SGD(Broken()))
    with pytest.raises(ArgumentError, match="learning_rate is nan"):
        model.fit(x, y, batch_size=1, verbose=0, callbacks=[Rates()])
    assert model.optimizer.iterations == 5


@pytest.mark.parametrize("common", ["plain", "decay", "global-clipnorm", "accumulate"])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_a_saved_model_goes_on_to_the_same_bits(name: str, common: str, tmp_path: Path) -> None:
    x, y = data()

    def fresh() -> Sequential:
        optimizer = optimizing.made(name, common)
        optimizer.learning_rate = schedules.CosineDecay(0.01, 25, alpha=0.1)  # type: ignore[assignment]
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return small(optimizer)

    straight, first = fresh(), fresh()
    straight.fit(x, y, batch_size=4, epochs=2, verbose=0)
    first.fit(x, y, batch_size=4, epochs=1, verbose=0)
    first.save(tmp_path / "model.safetensors")
    second = fastcnn.load_model(tmp_path / "model.safetensors")
    assert second.optimizer.get_config() == first.optimizer.get_config()
    assert second.optimizer.learning_rate == first.optimizer.learning_rate
    second.fit(x, y, batch_size=4, epochs=2, initial_epoch=1, verbose=0)
    assert bits(second) == bits(straight)


def test_weight_decay_spares_the_excluded() -> None:
    x, y = data()
    sgd = optimizers.SGD(0.5, weight_decay=0.25)
    sgd.exclude_from_weight_decay(var_names=["bias"])
    model = small(sgd)
    model.build((None, 6))
    weights = [np.ones_like(w) for w in model.get_weights()]
    weights[2][...] = 0  # no gradient comes past the last layer
    model.set_weights(weights)
    model.train_on_batch(x, y)
    after = model.get_weights()
    assert (after[0] == 1 - 0.125).all()
    assert (after[1] == 1).all()


def test_fit_ends_with_the_averages() -> None:
    x, y = data()
    plain, averaged = small(optimizers.SGD(0.1)), small(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    seen: list[list[np.ndarray]] = []

    class Keep(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            seen.append(self.model.get_weights())

    plain.fit(x, y, batch_size=10, verbose=0, callbacks=[Keep()])
    averaged.fit(x, y, batch_size=10, verbose=0)
    average = seen[0]
    for weights in seen[1:]:
        half = np.float32(0.5)
        average = [half * a + half * w for a, w in zip(average, weights, strict=True)]
    assert [a.tobytes() for a in average] == bits(averaged)

# SPDX-License-Identifier: Apache-2.0
"""Regularizers, constraints, learning rates and `trainable` of single layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import (
    ArgumentError,
    DTypeError,
    Input,
    Sequential,
    ShapeError,
    constraints,
    initializers,
    layers,
    regularizers,
    utils,
)
from fastcnn.optimizers import SGD


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


def regularized() -> Sequential:
    return Sequential(
        [
            Input((6, 6, 2)),
            layers.Conv2D(3, 3, kernel_regularizer="l2", bias_regularizer=regularizers.L1(0.5)),
            layers.BatchNormalization(gamma_regularizer=regularizers.L1L2(0.1, 0.2)),
            layers.DepthwiseConv2D(3, depthwise_regularizer="l1"),
            layers.SeparableConv2D(3, 2, pointwise_regularizer=regularizers.L2(0.3)),
            layers.Flatten(),
            layers.Dense(1, kernel_regularizer=regularizers.L2(0.25), bias_constraint="non_neg"),
        ]
    )


def penalty(model: Sequential) -> float:
    conv, norm, depthwise, separable, dense = (
        [w.astype(np.float64) for w in layer.get_weights()] for layer in model.layers if layer.get_weights()
    )
    return float(
        0.01 * (conv[0] ** 2).sum()
        + 0.5 * np.abs(conv[1]).sum()
        + 0.1 * np.abs(norm[0]).sum()
        + 0.2 * (norm[0] ** 2).sum()
        + 0.01 * np.abs(depthwise[0]).sum()
        + 0.3 * (separable[1] ** 2).sum()
        + 0.25 * (dense[0] ** 2).sum()
    )


def test_the_loss_holds_the_penalties(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((20, 6, 6, 2)), rng.standard_normal((20, 1))
    model, plain = regularized(), Sequential.from_config({**regularized().get_config(), "name": "plain"})
    for layer in plain.layers:
        layer._rules = dict.fromkeys(layer._rules)
    plain.set_weights(model.get_weights())
    for each in (model, plain):
        each.compile(SGD(0.01), "mse", metrics=["mae"])
    values: list[Any] = [each.evaluate(x, y, batch_size=8, verbose=0) for each in (model, plain)]
    assert values[0][0] == pytest.approx(values[1][0] + penalty(model), rel=1e-6)
    assert values[0][1] == values[1][1]
    before = penalty(model)
    history = model.fit(x, y, batch_size=20, epochs=5, verbose=0).history["loss"]
    assert history[0] > before
    assert penalty(model) < before  # the step went down the penalty


def test_a_step_by_hand() -> None:
    """w = 3: the gradient is 2 (w x - y) x + l1 + 2 l2 w = 2 + 1 + 3."""
    model = Sequential(
        [layers.Dense(1, use_bias=False, kernel_regularizer=regularizers.L1L2(1.0, 0.5), input_shape=(1,))]
    )
    model.set_weights([[[3.0]]])
    model.compile(SGD(0.25), "mse")
    assert model.train_on_batch([[1.0]], [[2.0]]) == 1 + 3 + 4.5
    assert model.get_weights()[0].item() == 3 - 0.25 * 6


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.MaxNorm(0.5),
        constraints.NonNeg(),
        constraints.UnitNorm(axis=1),
        constraints.MinMaxNorm(0.5, 1.0, rate=0.5, axis=[0, 1]),
    ],
)
def test_a_constraint_is_what_its_function_says(
    constraint: constraints.Constraint, rng: np.random.Generator
) -> None:
    """Of the weights that the step alone would make."""
    x, y = rng.standard_normal((16, 5)), rng.standard_normal((16, 3))
    models = [
        Sequential([Input((5,)), layers.Dense(3, kernel_constraint=each)]) for each in (None, constraint)
    ]
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.compile(SGD(0.5), "mse")
        model.train_on_batch(x, y)
    free, bound = (model.get_weights() for model in models)
    np.testing.assert_allclose(bound[0], constraint(free[0]), rtol=1e-5)
    assert bound[0].tobytes() != free[0].tobytes()
    assert bound[1].tobytes() == free[1].tobytes()


def test_a_penalty_is_all_that_moves_weights_without_a_loss() -> None:
    """Its gradient is written anew in each step, not added to that of the step before."""
    inputs = fastcnn.Input((3,))
    rules = (None, regularizers.L2(0.25))
    heads = [layers.Dense(2, kernel_initializer="ones", kernel_regularizer=rule)(inputs) for rule in rules]
    model = fastcnn.Model(inputs, heads)
    model.compile(SGD(0.5), ["mse", None])
    model.fit(np.ones((3, 3)), np.ones((3, 2)), batch_size=1, verbose=0)
    assert model.layers[2].kernel.tolist() == [[0.75**3] * 2] * 3


def test_learning_rates_of_layers(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((16, 5)), rng.standard_normal((16, 1))
    models = [
        Sequential([Input((5,)), layers.Dense(4), layers.Dense(1, learning_rate_multiplier=rate)])
        for rate in (1, 8)
    ]
    models[1].set_weights(models[0].get_weights())
    start = models[0].get_weights()
    for model in models:
        model.compile(SGD(0.125), "mse")
        model.train_on_batch(x, y)
    plain, fast = (model.get_weights() for model in models)
    assert plain[0].tobytes() == fast[0].tobytes()
    np.testing.assert_allclose(fast[2] - start[2], 8 * (plain[2] - start[2]), rtol=1e-4)
    models[0].layers[1].learning_rate_multiplier = 8
    models[0].set_weights(start)
    models[0].compile(SGD(0.125), "mse")
    models[0].train_on_batch(x, y)
    assert models[0].get_weights()[2].tobytes() == fast[2].tobytes()


def test_trainable_is_an_argument(rng: np.random.Generator) -> None:
    model = Sequential([Input((5,)), layers.Dense(4, trainable=False), layers.Dense(1)])
    assert [layer.trainable for layer in model.layers] == [False, True]
    before = model.get_weights()
    model.compile("adam", "mse")
    model.fit(rng.standard_normal((16, 5)), rng.standard_normal(16), verbose=0)
    after = model.get_weights()
    assert before[0].tobytes() == after[0].tobytes()
    assert before[2].tobytes() != after[2].tobytes()


def test_they_are_saved(tmp_path: Any, rng: np.random.Generator) -> None:
    model = regularized()
    model.layers[0].learning_rate_multiplier = 0.5
    model.compile("adam", "mse")
    x, y = rng.standard_normal((20, 6, 6, 2)), rng.standard_normal((20, 1))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    loaded: Any = fastcnn.load_model(tmp_path / "m")
    assert loaded.get_config() == model.get_config()
    assert loaded.layers[0].bias_regularizer.l1 == 0.5
    assert isinstance(loaded.layers[-1].bias_constraint, constraints.NonNeg)
    assert loaded.fit(x, y, verbose=0).history == model.fit(x, y, verbose=0).history


def test_orthogonal_and_identity() -> None:
    for shape in ((4, 4), (7, 3), (3, 7), (3, 3, 2, 5)):
        weights = initializers.Orthogonal(gain=2.0, seed=3)(shape).reshape(-1, shape[-1]).astype(np.float64)
        small = weights if weights.shape[0] < weights.shape[1] else weights.T
        np.testing.assert_allclose(small @ small.T, 4 * np.eye(len(small)), atol=1e-5)
    np.testing.assert_array_equal(initializers.get("identity")((2, 3)), np.eye(2, 3))
    for name in ("orthogonal", "identity"):
        with pytest.raises(ShapeError, match="two axes"):
            initializers.get(name)((3,))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.Dense(1, kernel_regularizer="l3", name="d"),
            ArgumentError,
            "'d': kernel_regularizer: unknown",
        ),
        (
            lambda: layers.Dense(1, bias_constraint="max", name="d"),
            ArgumentError,
            "'d': bias_constraint: unknown",
        ),
        (
            lambda: layers.Dense(1, depthwise_regularizer="l2"),
            TypeError,
            "unexpected.*'depthwise_regularizer'",
        ),
        (lambda: layers.Flatten(kernel_regularizer="l2"), TypeError, "unexpected.*'kernel_regularizer'"),
        (
            lambda: layers.Dense(1, activity_regularizer="l2"),
            ArgumentError,
            "only weights can be regularized",
        ),
        (lambda: layers.Dense(1, learning_rate_multiplier=0), ArgumentError, "trainable=False freezes"),
        (lambda: layers.Dense(1, trainable=1), DTypeError, "trainable"),
        (lambda: layers.Dense(1, dtype="float16"), ArgumentError, "dtype"),
        (lambda: regularizers.L2(-1), ArgumentError, "L2: l2"),
        (lambda: constraints.MinMaxNorm(2, 1), ArgumentError, "min_value"),
        (lambda: constraints.MaxNorm(axis=[]), ArgumentError, "no axis"),
        (lambda: constraints.MaxNorm(axis=[0, 2])(np.ones((2, 2, 2))), ShapeError, "neighbouring"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_axes_that_weights_lack_are_told_at_compile() -> None:
    model = Sequential(
        [layers.Dense(1, kernel_constraint=constraints.MaxNorm(axis=2), input_shape=(3,), name="d")]
    )
    with pytest.raises(ShapeError, match="'d': kernel_constraint: axis: 2 came for weights of rank 2"):
        model.compile("sgd", "mse")

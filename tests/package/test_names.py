# SPDX-License-Identifier: Apache-2.0
"""Optimizers, losses and metrics by name, utilities, and what the package names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import (
    ArgumentError,
    DTypeError,
    losses,
    metrics,
    optimizers,
    utils,
)

BAD_SETTINGS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: optimizers.SGD(-0.1), ArgumentError, r"SGD: learning_rate: -0.1"),
    (lambda: optimizers.Adam(math.nan), ArgumentError, r"Adam: learning_rate: nan"),
    (lambda: optimizers.Adam(math.inf), ArgumentError, r"learning_rate: inf"),
    (lambda: optimizers.Adam("0.1"), DTypeError, r"learning_rate: '0.1'"),
    (lambda: optimizers.SGD(momentum=1.5), ArgumentError, r"momentum: 1.5"),
    (lambda: optimizers.Adam(beta_1=1), ArgumentError, r"beta_1: 1"),
    (lambda: optimizers.Adam(epsilon=-1), ArgumentError, r"epsilon: -1"),
    (lambda: optimizers.get("adan"), ArgumentError, r"optimizer: .*did you mean 'adam'"),
    (lambda: optimizers.get(3), ArgumentError, r"optimizer: unknown 3"),
    (
        lambda: losses.get("categorical_crossentropi"),
        ArgumentError,
        r"did you mean 'categorical_crossentropy'",
    ),
    (lambda: losses.MeanSquaredError().from_config({"a": 1}), ArgumentError, r"MeanSquaredError"),
    (lambda: losses.SparseCategoricalCrossentropy(from_logits=1), DTypeError, r"from_logits"),
    (lambda: metrics.get("accurate"), ArgumentError, r"metrics: .*did you mean 'accuracy'"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_SETTINGS)
def test_bad_settings(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_learning_rate_can_be_assigned() -> None:
    adam = optimizers.Adam()
    adam.learning_rate = 0.5
    assert adam.get_config()["learning_rate"] == 0.5
    with pytest.raises(ArgumentError, match="learning_rate: -1"):
        adam.learning_rate = -1
    assert adam.learning_rate == 0.5


@pytest.mark.parametrize(
    ("value", "kind"),
    [("adam", optimizers.Adam), ("Adam", optimizers.Adam), ("sgd", optimizers.SGD), ("SGD", optimizers.SGD)],
)
def test_optimizers_by_name(value: str, kind: type[Any]) -> None:
    assert type(optimizers.get(value)) is kind


def test_losses_by_name() -> None:
    for name in ("mse", "MSE", "mean_squared_error"):
        assert losses.get(name) is losses.mean_squared_error
        assert type(losses.minimized(name)) is losses.MeanSquaredError
    mine, own = losses.Huber(2.0), abs
    for each in (None, mine, own):
        assert losses.get(each) is each
    described = losses.serialize(mine)
    assert [type(losses.get(each)) for each in ("Huber", losses.Huber, described)] == [losses.Huber] * 3


@pytest.mark.parametrize(
    ("given", "name", "native"),
    [
        (["accuracy"], "accuracy", "auto"),
        ("acc", "acc", "auto"),
        (["binary_accuracy"], "binary_accuracy", "binary"),
        ([metrics.CategoricalAccuracy()], "categorical_accuracy", "categorical"),
        ([metrics.SparseCategoricalAccuracy("hits")], "hits", "sparse"),
    ],
)
def test_metrics(given: Any, name: str, native: str) -> None:
    (metric,) = metrics.listed(given)
    assert (metric.name, metric.native) == (name, native)


# Utilities


def test_to_categorical() -> None:
    np.testing.assert_array_equal(utils.to_categorical([[1], [0]], 3), [[0, 1, 0], [1, 0, 0]])
    assert utils.to_categorical(np.zeros((4, 5), np.uint8)).shape == (4, 5, 1)
    for labels, error in (
        ([3], ArgumentError),
        ([-1], ArgumentError),
        ([0.5], ArgumentError),
        (["a"], DTypeError),
    ):
        with pytest.raises(error, match="to_categorical: x"):
            utils.to_categorical(labels, 3)


@pytest.mark.parametrize(("seed", "error"), [(-1, ArgumentError), (2**32, ArgumentError), (1.5, DTypeError)])
def test_bad_seeds(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="set_random_seed: seed"):
        utils.set_random_seed(seed)


def test_what_the_package_names_exists() -> None:
    assert sorted(fastcnn.__all__) == sorted(set(fastcnn.__all__))
    for name in fastcnn.__all__:
        assert getattr(fastcnn, name) is not None
    assert set(fastcnn.__all__) <= set(dir(fastcnn))
    with pytest.raises(AttributeError, match="colour"):
        fastcnn.colour  # noqa: B018

# SPDX-License-Identifier: Apache-2.0
"""sample_weight and class_weight of fit, evaluate and the calls on batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import Model, Sequential, layers, losses, optimizers
from fastcnn.errors import ArgumentError, DTypeError, ShapeError


def regression(weights: Any = "zeros") -> Sequential:
    model = Sequential([layers.Dense(1, kernel_initializer=weights, input_shape=(1,))])
    model.compile(optimizers.SGD(0.25), "mae")
    return model


X, Y, W = np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, 2.0, 1.0])


def test_evaluate_weighs_samples() -> None:
    model = regression()
    assert model.evaluate(X, Y, verbose=0) == 2.5
    assert model.evaluate(X, Y, verbose=0, sample_weight=W) == (1.0 + 6.0 + 4.0) / 4
    assert model.evaluate(X, Y, 3, 0, W) == (1.0 + 6.0 + 4.0) / 4
    assert model.test_on_batch(X, Y, W) == (1.0 + 6.0 + 4.0) / 4


def test_a_step_weighs_samples() -> None:
    model = regression()
    assert model.train_on_batch(X, Y, W) == (1.0 + 6.0 + 4.0) / 4
    # Each gradient is -1; bias and kernel go the same way.
    assert [w.item() for w in model.get_weights()] == [0.25, 0.25]


def test_fit_weighs_samples_and_validation_data() -> None:
    model = regression()
    history = model.fit(X, Y, 4, verbose=0, sample_weight=W, validation_data=(X, Y, [0, 0, 0, 4]))
    assert history.history == {"loss": [2.75], "val_loss": [3.5]}
    model = regression()
    history = model.fit(X, Y, 4, verbose=0, sample_weight=W, validation_split=0.5)
    assert history.history == {"loss": [0.5], "val_loss": [(2 * 2.75 + 3.75) / 2]}


def test_weights_follow_the_order_of_a_shuffled_epoch() -> None:
    """Samples without weight change nothing, wherever the order puts them."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((50, 1)), rng.standard_normal(50)
    model = regression()
    model.fit(x, y, 7, epochs=2, verbose=0, sample_weight=np.zeros(50))
    assert [w.item() for w in model.get_weights()] == [0.0, 0.0]


def classifier(loss: Any, units: int = 3) -> Sequential:
    model = Sequential([layers.Dense(units, kernel_initializer="zeros", input_shape=(2,))])
    model.compile(optimizers.SGD(1.0), loss)
    return model


@pytest.mark.parametrize("sparse", [True, False])
def test_class_weights_are_weights_of_samples(sparse: bool) -> None:
    rng = np.random.default_rng(4)
    x, labels = rng.standard_normal((20, 2)), rng.integers(0, 3, 20)
    y = labels if sparse else np.eye(3)[labels]
    name = "SparseCategoricalCrossentropy" if sparse else "CategoricalCrossentropy"
    by_sample = np.array([1.0, 5.0, 0.5])[labels]
    results = []
    for weights in ({"sample_weight": by_sample}, {"class_weight": {1: 5.0, 2: 0.5}}):
        model = classifier(getattr(losses, name)(from_logits=True))
        history = model.fit(x, y, 6, verbose=0, shuffle=False, **weights)
        model.train_on_batch(x, y, **weights)
        results.append((history.history["loss"], *(w.tolist() for w in model.get_weights())))
    assert results[0] == results[1]


def test_classes_of_one_output_are_its_rounded_targets() -> None:
    model = regression()
    # At 0 the targets of 0 have no gradient, and those of 1 three times theirs.
    model.train_on_batch(X, [0.2, 0, 1.3, 1], class_weight={1: 3.0})
    assert [w.item() for w in model.get_weights()] == [0.25 * 7 / 4] * 2


def test_validation_is_not_weighed_by_class() -> None:
    model = regression()
    history = model.fit(X, [0, 1, 2, 1], 2, verbose=0, class_weight={0: 0.0, 1: 0.0}, validation_split=0.5)
    assert history.history == {"loss": [0.0], "val_loss": [1.5]}


def test_pixels_have_classes_weights_and_an_ignored_one() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4, 5, 6, 2)).astype(np.float32)
    y = rng.integers(0, 3, (4, 5, 6))
    y[:, 0] = -1

    def trained(labels: Any, **weights: Any) -> list[Any]:
        convolution = layers.Conv2D(3, 1, kernel_initializer="zeros", input_shape=(5, 6, 2))
        model = Sequential([convolution])
        loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
        model.compile(optimizers.SGD(1.0), loss)
        model.fit(x, labels, 4, verbose=0, shuffle=False, **weights)
        return [w.tolist() for w in model.get_weights()]

    by_pixel = np.where(y == 2, 4.0, 1.0)
    assert trained(y, class_weight={2: 4.0}) == trained(y, sample_weight=by_pixel)
    assert trained(y) != trained(y, class_weight={2: 4.0})
    assert trained(y[..., None], class_weight={2: 4.0}) == trained(y, class_weight={2: 4.0})


def test_several_outputs_have_weights_of_their_own() -> None:
    x = layers.Input((1,))
    first = layers.Dense(1, kernel_initializer="zeros", name="first")(x)
    second = layers.Dense(1, kernel_initializer="zeros", name="second")(x)
    model = Model(x, [first, second])
    model.compile(optimizers.SGD(1.0), "mae")
    both = model.evaluate(X, [Y, Y], verbose=0, sample_weight=W, return_dict=True)
    assert both == {"loss": 5.5, "first_loss": 2.75, "second_loss": 2.75}
    for given in ([W, np.ones(4)], {"first": W, "second": np.ones(4)}):
        scores = model.evaluate(X, [Y, Y], verbose=0, sample_weight=given, return_dict=True)
        assert scores == {"loss": 5.25, "first_loss": 2.75, "second_loss": 2.5}
    with pytest.raises(ArgumentError, match="class_weight"):
        model.fit(X, [Y, Y], verbose=0, class_weight={0: 1.0})


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"sample_weight": W[:3]}, ShapeError, r"sample_weight has shape \[3\]"),
    ({"sample_weight": np.ones((4, 2))}, ShapeError, "sample_weight has shape"),
    ({"sample_weight": 1.0}, ShapeError, "sample_weight"),
    ({"sample_weight": ["a"] * 4}, DTypeError, "sample_weight"),
    ({"sample_weight": W, "class_weight": {0: 1.0}}, ArgumentError, "class_weight: came together"),
    ({"class_weight": [1.0, 2.0]}, DTypeError, "class_weight: list came"),
    ({"class_weight": {0: "a"}}, DTypeError, "class_weight"),
    ({"class_weight": {0.5: 1.0}}, DTypeError, "class_weight"),
    ({"class_weight": {0: float("nan")}}, ArgumentError, "class_weight"),
    ({"validation_data": (X, Y, W, W)}, ArgumentError, "validation_data"),
    ({"validation_data": (X, Y, W[:2])}, ShapeError, "sample_weight"),
    ({"validation_split": 0.5, "sample_weight": W[:3]}, ShapeError, "3 weights came"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_wrong_weights_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = regression()
    with pytest.raises(error, match=message):
        model.fit(X, Y, verbose=0, **arguments)
    assert [w.item() for w in model.get_weights()] == [0.0, 0.0]


@pytest.mark.parametrize(
    "name", sorted({name for name in losses.__all__ if name.islower()} - {"get", "serialize", "deserialize"})
)
def test_every_loss_trains_by_its_name_and_survives_its_config(name: str) -> None:
    loss = losses.minimized(name)
    again = type(loss).from_config(loss.get_config())
    assert repr(again) == repr(loss)
    assert again.get_config() == loss.get_config()
    model = Sequential([layers.Dense(3, activation="softmax", input_shape=(2,))])
    model.compile("sgd", name)
    y = np.array([0, 2]) if name.startswith("sparse") else np.eye(3)[:2]
    before = model.get_weights()
    assert np.isfinite(model.train_on_batch(np.eye(2), y))
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert model.get_compile_config()["loss"]["class_name"] == type(loss).__name__

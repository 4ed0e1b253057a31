# SPDX-License-Identifier: Apache-2.0
"""`Model`: graphs written by calling layers, trained, saved and described."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import Input, Model, Sequential, layers, utils
from fastcnn.errors import ArgumentError, DTypeError, ShapeError


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.set_random_seed(7)


def siamese() -> Model:
    """Two inputs, one shared layer, two outputs."""
    left, right = Input((6,), name="left"), Input((6,), name="right")
    shared = layers.Dense(5, activation="tanh", name="shared")
    first = layers.Dense(3, name="first")(shared(left))
    second = layers.Dense(1, name="second")(shared(right))
    return Model([left, right], [first, second], name="siamese")


def data(rng: np.random.Generator, count: int = 40) -> tuple[list[np.ndarray], list[np.ndarray]]:
    x = [rng.standard_normal((count, 6)) for _ in range(2)]
    return x, [rng.standard_normal((count, 3)), rng.standard_normal((count, 1))]


def test_a_chain_is_a_sequential(rng: np.random.Generator) -> None:
    x = Input((8, 8, 3))
    y = layers.Conv2D(4, 3, activation="relu")(x)
    y = layers.Flatten()(layers.MaxPooling2D()(y))
    graph = Model(x, layers.Dense(2, activation="softmax")(y))
    stack = Sequential(
        [
            Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    stack.set_weights(graph.get_weights())
    images, labels = rng.standard_normal((20, 8, 8, 3)), rng.integers(0, 2, 20)
    for model in (graph, stack):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    logs = [model.fit(images, labels, epochs=2, verbose=0, shuffle=False).history for model in (graph, stack)]
    assert logs[0] == logs[1]
    assert list(logs[0]) == ["accuracy", "loss"]
    assert graph.predict(images, verbose=0).tobytes() == stack.predict(images, verbose=0).tobytes()


def test_shapes_and_layers() -> None:
    model = siamese()
    assert model.input_shape == [(None, 6), (None, 6)]
    assert model.output_shape == [(None, 3), (None, 1)]
    assert [layer.name for layer in model.layers] == ["left", "right", "shared", "first", "second"]
    assert [w.shape for w in model.get_weights()] == [(6, 5), (5,), (5, 3), (3,), (5, 1), (1,)]
    assert model.get_layer("shared").count_params() == 35
    assert model.output_names == ["first", "second"]
    assert model.count_params() == 35 + 18 + 6


def test_logs_are_keras_s(rng: np.random.Generator) -> None:
    model = siamese()
    x, y = data(rng)
    model.compile(
        "sgd",
        {"first": "mse", "second": "mse"},
        metrics={"second": ["binary_accuracy"]},
        loss_weights={"first": 0.5, "second": 2.0},
    )
    names = ["loss", "first_loss", "second_loss", "second_binary_accuracy"]
    assert model.metrics_names == names
    logs: Any = model.evaluate(x, y, verbose=0, return_dict=True)
    assert list(logs) == sorted(names)
    assert logs["loss"] == 0.5 * logs["first_loss"] + 2.0 * logs["second_loss"]
    first, second = model.predict(x, verbose=0)
    assert logs["first_loss"] == pytest.approx(np.mean((first - y[0]) ** 2), rel=1e-5)
    assert logs["second_loss"] == pytest.approx(np.mean((second - y[1]) ** 2), rel=1e-5)
    history = model.fit(x, y, validation_split=0.25, verbose=0).history
    assert list(history) == [*sorted(names), *(f"val_{name}" for name in sorted(names))]


def test_arrays_by_list_and_by_name(rng: np.random.Generator) -> None:
    model = siamese()
    x, y = data(rng)
    model.compile("sgd", "mse")
    named_x, named_y = {"right": x[1], "left": x[0]}, {"second": y[1], "first": y[0]}
    assert model.evaluate(named_x, named_y, verbose=0) == model.evaluate(x, y, verbose=0)
    before = model.get_weights()
    model.fit(named_x, named_y, verbose=0, shuffle=False)
    after = model.get_weights()
    model.set_weights(before)
    model.fit(tuple(x), tuple(y), verbose=0, shuffle=False)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(after, model.get_weights(), strict=True))


def test_a_loss_for_one_output(rng: np.random.Generator) -> None:
    model = siamese()
    x, y = data(rng)
    model.compile("sgd", [None, "mse"])
    assert model.metrics_names == ["loss", "second_loss"]
    before = model.get_layer("first").get_weights()
    model.fit(x, {"second": y[1]}, verbose=0)
    assert all(
        a.tobytes() == b.tobytes()
        for a, b in zip(before, model.get_layer("first").get_weights(), strict=True)
    )


def test_a_frozen_layer_stays(rng: np.random.Generator) -> None:
    model = siamese()
    x, y = data(rng)
    shared = model.get_layer("shared")
    shared.trainable = False
    model.compile("adam", "mse")
    before, others = shared.get_weights(), model.get_layer("first").get_weights()
    model.fit(x, y, verbose=0)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, shared.get_weights(), strict=True))
    assert others[0].tobytes() != model.get_layer("first").get_weights()[0].tobytes()
    shared.trainable = True
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    assert before[0].tobytes() != shared.get_weights()[0].tobytes()
    model.trainable = False
    assert not any(layer.trainable for layer in model.layers)


def test_save_and_load(tmp_path: Path, rng: np.random.Generator) -> None:
    """A loaded model goes on to the same bits, frozen layers and loss weights included."""
    model = siamese()
    x, y = data(rng)
    model.get_layer("second").trainable = False
    model.compile("adam", ["mse", "mse"], loss_weights=[1.0, 3.0])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded: Any = fastcnn.load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded, Model)
    assert loaded.get_config() == model.get_config()
    assert loaded.get_compile_config() == model.get_compile_config()
    histories = [each.fit(x, y, epochs=2, verbose=0).history for each in (model, loaded)]
    assert histories[0] == histories[1]
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_summary_counts_what_trains() -> None:
    model = siamese()
    model.get_layer("shared").trainable = False
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "Trainable params: 24" in text
    assert "Non-trainable params: 35" in text


def test_a_deep_graph() -> None:
    """Deeper than the interpreter's stack."""
    x = y = Input((2,))
    for _ in range(120):
        y = layers.Activation("linear")(layers.ReLU()(y))
    assert Model(x, y).output_shape == (None, 2)


a, b = Input((4,)), Input((4,))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Model(a, b), ArgumentError, "no output depends on it"),
        (lambda: Model([a, b], layers.Dense(2)(a)), ArgumentError, "no output depends on it"),
        (lambda: Model([], layers.Dense(2)(a)), ArgumentError, "is missing: the outputs depend on it"),
        (lambda: Model(a, []), ArgumentError, "outputs: none came"),
        (lambda: Model([a, a], layers.Dense(2)(a)), ArgumentError, "a tensor came twice"),
        (lambda: Model(layers.ReLU()(a), layers.Dense(2)(a)), ArgumentError, "no output depends on it"),
        (lambda: Model({"a": a}, {"b": b}), DTypeError, "dict came, .* a list of them: data may be dicts"),
        (lambda: Model(np.zeros(3), a), DTypeError, "ndarray came, wanted what fastcnn.Input"),
        (lambda: layers.Dense(2)([[0.0] * 4]), DTypeError, "'dense.*inputs: float came"),
        (lambda: layers.Conv2D(2, 3, name="c")(a), ShapeError, r"'c' \(Conv2D\).*wanted \[height, width"),
        (lambda: layers.Dense(2)([a, b]), ArgumentError, "inputs has 2 entries, wanted 1"),
        (
            lambda: Model(a, layers.Dense(2, name="x")(layers.Dense(3, name="x")(a))),
            ArgumentError,
            "'x'.*two layers|'x' is taken",
        ),
    ],
)
def test_bad_graphs(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_layer_stands_in_several_models() -> None:
    layer = layers.Dense(2)
    y = layer(a)
    first, second = Model(a, y), Model(a, layers.ReLU()(y))
    first.set_weights([weights + 1 for weights in first.get_weights()])
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ("one", "both", ArgumentError, "fit: x: ndarray came, wanted a list of 2 arrays: left, right"),
        ("both", "one", ArgumentError, "fit: y: ndarray came, wanted a list of 2 arrays: first, second"),
        ("named", "both", ArgumentError, r"arrays for \['left', 'middle'\] came"),
    ],
)
def test_bad_arrays(x: str, y: str, error: type[Exception], message: str, rng: np.random.Generator) -> None:
    model = siamese()
    model.compile("sgd", "mse")
    both_x, both_y = data(rng)
    xs: dict[str, Any] = {"one": both_x[0], "both": both_x, "named": {"left": both_x[0], "middle": both_x[1]}}
    ys: dict[str, Any] = {"one": both_y[0], "both": both_y}
    before = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(error, match=message):
        model.fit(xs[x], ys[y], verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": None}, "wanted a loss for at least one output"),
        ({"loss": ["mse"]}, "loss: 1 entries came, wanted 2"),
        ({"loss": {"third": "mse"}}, r"\['third'\] came, wanted names of outputs"),
        ({"loss": "mse", "loss_weights": [1.0]}, "loss_weights: 1 entries came, wanted 2"),
        ({"loss": "mse", "loss_weights": [1.0, float("nan")]}, "loss_weights: nan"),
    ],
)
def test_bad_compile(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        siamese().compile("sgd", **arguments)


def test_an_input_that_is_an_output_too() -> None:
    """A rescaling behind it is no part of reading it then."""
    inputs = Input((3,))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    same, half = Model(inputs, [inputs, layers.Rescaling(0.5)(inputs)]).predict(x, verbose=0)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(half, x / 2)


@pytest.mark.parametrize("reader", [layers.Activation("linear"), layers.Dense(2)])
def test_probabilities_that_something_else_reads(reader: layers.Layer, rng: np.random.Generator) -> None:
    """Only a cross-entropy that reads a softmax alone may take what the softmax reads."""
    inputs = Input((3,))
    logits = layers.Dense(4)(inputs)
    p = layers.Softmax()(logits)
    other = reader(p)
    shared, apart = Model(inputs, [p, other]), Model(inputs, [layers.Softmax()(logits), other])
    x, labels = rng.random((6, 3), dtype=np.float32), rng.integers(0, 4, 6)
    y = [labels, rng.random((6, *other.sample_shape), dtype=np.float32)]
    losses, gradients = [], []
    for model in (shared, apart):
        model.compile(loss=["sparse_categorical_crossentropy", "mse"])
        losses.append(model.evaluate(x, y, verbose=0))
        gradients.append(model.gradients(x, y))
    probabilities, read = shared.predict(x, verbose=0)
    entropy = -np.log(probabilities[np.arange(6), labels]).mean()
    np.testing.assert_allclose(losses[0][1:], [entropy, ((read - y[1]) ** 2).mean()], rtol=1e-5)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for one, two in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)

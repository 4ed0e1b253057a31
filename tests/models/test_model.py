# SPDX-License-Identifier: Apache-2.0
"""`Sequential`: building, weights, prediction, summary, configuration and state."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, Input, Sequential, ShapeError, layers, utils


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


def small_cnn() -> Sequential:
    return Sequential(
        [
            Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )


def equal(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


def test_add_makes_the_same_model() -> None:
    model = Sequential(name="grown")
    model.add(layers.Dense(5, activation="relu", input_shape=(4,)))
    model.add(layers.Dense(2))
    utils.set_random_seed(1)
    whole = Sequential([Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(2)])
    assert equal(model.get_weights(), whole.get_weights())
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]


def test_weights_stay_when_the_stack_changes() -> None:
    model = Sequential([layers.Dense(5, input_shape=(4,)), layers.Dense(3)])
    model.set_weights([weights + 1 for weights in model.get_weights()])
    first, second = (layer.get_weights() for layer in model.layers)
    popped = model.pop()
    assert model.output_shape == (None, 5)
    model.add(layers.Dense(7))
    with pytest.raises(ShapeError):
        model.predict(np.zeros((1, 9)), verbose=0)
    assert equal(model.layers[0].get_weights(), first)
    assert model.layers[1].get_weights()[0].shape == (5, 7)
    other = Sequential([Input((5,)), popped])
    assert not equal(other.get_weights(), second)  # a layer's weights are its model's


def test_dense_is_the_matrix_product(rng: np.random.Generator) -> None:
    model = Sequential([layers.Dense(3, input_shape=(4,))])
    kernel, bias = rng.integers(-4, 5, (4, 3)), rng.integers(-4, 5, 3)
    model.set_weights([kernel, bias])
    x = rng.integers(-8, 9, (37, 4))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x @ kernel + bias)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float16", "float64", "bool"])
def test_any_real_dtype_is_cast(dtype: str, rng: np.random.Generator) -> None:
    model = small_cnn()
    x = rng.integers(0, 2, (5, 8, 8, 1)).astype(dtype)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x.astype(np.float32), verbose=0))


def test_a_last_axis_of_one_may_be_missing_or_too_many(rng: np.random.Generator) -> None:
    model = small_cnn()
    x = rng.integers(0, 256, (5, 8, 8, 1))
    wanted = model.predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict(x[..., 0], verbose=0), wanted)
    np.testing.assert_array_equal(model.predict(x[..., np.newaxis], verbose=0), wanted)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 32, None])
def test_batches_do_not_show_in_predictions(batch_size: int | None, rng: np.random.Generator) -> None:
    model = small_cnn()
    x = rng.integers(0, 256, (7, 8, 8, 1))
    np.testing.assert_allclose(
        model.predict(x, batch_size=batch_size, verbose=0), model.predict_on_batch(x), rtol=1e-5
    )


def test_shapes_bind_at_the_first_batch(rng: np.random.Generator) -> None:
    model = Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(4)])
    assert not model.built
    with pytest.raises(ArgumentError, match="the input's shape is not known"):
        model.get_weights()
    with pytest.raises(ShapeError):  # refused, so it binds nothing
        model.predict(rng.random((3, 2, 2, 1)), verbose=0)
    assert not model.built
    assert model.predict(rng.random((3, 6, 5, 2)), verbose=0).shape == (3, 4)
    assert model.input_shape == (None, 6, 5, 2)
    with pytest.raises(ShapeError, match=r"\[N, 6, 5, 2\]"):
        model.predict(rng.random((3, 6, 6, 2)), verbose=0)


def test_build() -> None:
    model = Sequential([layers.Dense(2)])
    model.build((None, 3))
    assert model.count_params() == 8
    model.build((None, 3))
    with pytest.raises(ShapeError, match="build"):
        model.build((None, 4))
    for shape, error in ((5, DTypeError), ((None, 2.5), DTypeError), ((None, 0), ShapeError)):
        with pytest.raises(error, match="build: input_shape"):
            Sequential([layers.Dense(2)]).build(shape)


def test_one_seed_one_model() -> None:
    weights = [small_cnn().get_weights(), small_cnn().get_weights()]
    assert not equal(*weights)
    utils.set_random_seed(1)
    assert equal(small_cnn().get_weights(), weights[0])
    # Weights follow from the model's seed, not from the moment at which shapes are bound.
    utils.set_random_seed(1)
    late = Sequential([layers.Dense(3)])
    utils.set_random_seed(1)
    early = Sequential([layers.Dense(3, input_shape=(5,))])
    late.build((None, 5))
    assert equal(late.get_weights(), early.get_weights())


def test_set_weights_is_all_or_nothing() -> None:
    model = small_cnn()
    before = model.get_weights()
    for weights, error in (
        (before[:-1], ArgumentError),
        ([*before[:-1], np.ones(4)], ShapeError),
        ([*before[:-1], np.array(["a"] * 3)], DTypeError),
    ):
        with pytest.raises(error):
            model.set_weights([weights[0] + 1, *weights[1:]])
    with pytest.raises(DTypeError, match="wanted a list of arrays"):
        model.set_weights(5)
    assert equal(model.get_weights(), before)
    before[0][:] = 0  # a copy
    assert model.get_weights()[0].any()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((0, 8, 8, 1)), ShapeError, "x is empty"),
        (np.zeros((2, 9, 8, 1)), ShapeError, r"x has shape \[2, 9, 8, 1\], wanted \[N, 8, 8, 1\]"),
        (np.zeros(3), ShapeError, "x has shape"),
        (5, ShapeError, "predict: x: int came"),
        (None, ShapeError, "predict: x: NoneType came"),
        ([[1, 2], [3]], ShapeError, "predict: x: the rows differ"),
        (np.zeros((1, 8, 8, 1), complex), DTypeError, "x"),
        (np.full((1, 8, 8, 1), "a"), DTypeError, "x"),
    ],
)
def test_bad_samples(x: Any, error: type[Exception], message: str) -> None:
    model = small_cnn()
    with pytest.raises(error, match=message):
        model.predict(x, verbose=0)
    with pytest.raises(error):
        model.predict_on_batch(x)


@pytest.mark.parametrize(
    ("batch_size", "error"), [(0, ArgumentError), (-1, ArgumentError), (2.5, DTypeError), ("8", DTypeError)]
)
def test_bad_batch_sizes(batch_size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="predict: batch_size"):
        small_cnn().predict(np.zeros((2, 8, 8, 1)), batch_size=batch_size, verbose=0)


def test_eight_threads_predict_the_same_bits(rng: np.random.Generator) -> None:
    """Also the first time, when each of them finds the model without shapes."""
    x = rng.integers(0, 256, (64, 8, 8, 1))
    wanted = small_cnn().predict(x, batch_size=16, verbose=0)
    stack = [type(layer).from_config(layer.get_config()) for layer in small_cnn().layers]
    utils.set_random_seed(1)
    model = Sequential(stack)
    results: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: results.extend(model.predict(x, batch_size=16, verbose=0) for _ in range(5))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert all(np.array_equal(result, wanted) for result in results)


def test_layers_are_found_by_name_and_index() -> None:
    model = small_cnn()
    assert model.get_layer("conv2d") is model.get_layer(index=1) is model.layers[1]
    assert model.get_layer(index=-1).name == "dense"
    with pytest.raises(ArgumentError, match="did you mean 'conv2d'"):
        model.get_layer("conv2")
    for arguments in ({}, {"name": "dense", "index": 1}, {"index": 9}):
        with pytest.raises(ArgumentError, match="get_layer"):
            model.get_layer(**arguments)


def test_what_cannot_be_stacked() -> None:
    model = small_cnn()
    with pytest.raises(DTypeError, match="wanted a layer"):
        model.add("dense")
    with pytest.raises(DTypeError, match="wanted a list of layers"):
        Sequential(3)
    with pytest.raises(ArgumentError, match="an Input must stand first"):
        model.add(Input((3,)))
    with pytest.raises(ArgumentError, match="there is no layer"):
        Sequential().pop()
    assert len(model.layers) == 6
    assert model.output_shape == (None, 3)


SUMMARY = """\
Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━┳━━━━━━━┓
┃ Layer (type)                 ┃ Output Shape    ┃ Param # ┃ FLOPs ┃ Bytes ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━╇━━━━━━━┩
│ conv2d (Conv2D)              │ (None, 6, 6, 4) │      40 │ 2,592 │   832 │
├──────────────────────────────┼─────────────────┼─────────┼───────┼───────┤
│ max_pooling2d (MaxPooling2D) │ (None, 3, 3, 4) │       0 │   144 │   720 │
├──────────────────────────────┼─────────────────┼─────────┼───────┼───────┤
│ flatten (Flatten)            │ (None, 36)      │       0 │     0 │     0 │
├──────────────────────────────┼─────────────────┼─────────┼───────┼───────┤
│ dense (Dense)                │ (None, 10)      │     370 │   720 │   184 │
└──────────────────────────────┴─────────────────┴─────────┴───────┴───────┘
 Total params: 410 (1.60 KB)
 Trainable params: 410 (1.60 KB)
 Non-trainable params: 0 (0.00 B)
 Forward pass of one sample: 3,456 FLOPs, 1.70 KB of activations moved
"""


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    stack = [layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10)]
    model = Sequential(stack)
    model.summary()
    assert capsys.readouterr().out.count("0 (unbuilt)") == 4
    model.build((None, 8, 8, 1))
    model.summary()
    assert capsys.readouterr().out == SUMMARY
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert lines == [SUMMARY.rstrip("\n")]


def test_a_configuration_makes_the_same_architecture() -> None:
    model = small_cnn()
    again = Sequential.from_config({**model.get_config(), "name": "again"})
    assert again.output_shape == model.output_shape
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
    again.set_weights(model.get_weights())
    assert equal(again.get_weights(), model.get_weights())
    unbuilt = Sequential([layers.Dense(3)])
    assert not Sequential.from_config(unbuilt.get_config()).built


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [{"class_name": "Exec", "config": {}}]},
        {"layers": [{"class_name": "Dense", "config": 3}]},
        {"layers": ["Dense"]},
        {"extra": 1},
    ],
)
def test_configurations_that_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Sequential.from_config({**small_cnn().get_config(), **change})


def test_state(rng: np.random.Generator) -> None:
    x, y = rng.random((40, 8, 8, 1)), rng.integers(0, 3, 40)
    models = [small_cnn()]
    utils.clear_session()  # the names of layers are part of a state
    models.append(small_cnn())
    for model in models:
        model.compile("adam", "sparse_categorical_crossentropy")
    models[0].fit(x, y, verbose=0)
    models[0].optimizer.learning_rate = 0.01
    models[0].fit(x, y, verbose=0)
    models[1].set_state(models[0].get_state())
    assert models[1].optimizer.learning_rate == 0.01
    for model in models:
        model.fit(x, y, verbose=0)
    states = [model.get_state() for model in models]
    assert states[0].keys() == states[1].keys()
    assert equal([*states[0].values()], [*states[1].values()])
    with pytest.raises(ArgumentError, match="permutations"):
        models[0].set_state({key: value for key, value in states[0].items() if key != "permutations"})
    with pytest.raises(ArgumentError):
        models[0].set_state({"permutations": states[0]["permutations"]})


def test_a_model_is_freed_at_once() -> None:
    model = small_cnn()
    model.predict(np.zeros((1, 8, 8, 1)), verbose=0)
    kept = model.layers
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()
    with pytest.raises(ArgumentError, match="stands in no model"):
        kept[-1].get_weights()


def test_describe() -> None:
    text = small_cnn().describe("predict", batch_size=4)
    assert "conv2d" in text
    with pytest.raises(ArgumentError, match="mode"):
        small_cnn().describe("guess")

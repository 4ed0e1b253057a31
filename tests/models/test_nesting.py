# SPDX-License-Identifier: Apache-2.0
"""Layers and models in several models: shared weights, models among layers, ends within a model, copies."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, Input, Model, Sequential, ShapeError, layers, models, utils


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(3)


def base(**options: Any) -> Sequential:
    return Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(name="pool"),
        ],
        name="base",
        **options,
    )


def two_headed() -> Model:
    x = Input((3,), name="x")
    y = layers.Dense(4, activation="tanh", name="dense")(x)
    return Model(x, [layers.Dense(2, name="a")(y), layers.Dense(2, name="b")(y)], name="heads")


def equal(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


X = np.random.default_rng(0).standard_normal((40, 8, 8, 1))
Y = np.random.default_rng(1).integers(0, 3, 40)


# Ends within a model


def test_feature_maps_follow_the_training() -> None:
    for make in (lambda m: m, lambda m: Model(m.inputs, m.outputs)):
        model = make(
            Sequential([Input((8, 8, 1)), *base().layers, layers.Flatten(), layers.Dense(3, "softmax")])
        )
        features = Model(inputs=model.inputs, outputs=model.get_layer("first").output)
        assert features.output_shape == (None, 6, 6, 4)
        assert equal(features.get_weights(), model.get_layer("first").get_weights())
        before = features.predict(X, verbose=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(X, Y, epochs=2, verbose=0)
        assert equal(features.get_weights(), model.get_layer("first").get_weights())
        after = features.predict(X, verbose=0)
        assert not np.array_equal(before, after)
        alone = Sequential([Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu")])
        alone.set_weights(model.get_layer("first").get_weights())
        np.testing.assert_array_equal(alone.predict(X, verbose=0), after)


def test_several_ends() -> None:
    model = base()
    ends = [layer.output for layer in model.layers]
    maps = Model(model.input, ends)
    assert [shape[1:] for shape in maps.output_shape] == [(6, 6, 4), (6, 6, 4), (3, 3, 4)]
    np.testing.assert_array_equal(maps.predict(X, verbose=0)[2], model.predict(X, verbose=0))


def test_training_goes_both_ways() -> None:
    """Whichever model is trained, the layers that both have are trained in both."""
    body = base()
    head = Model(body.input, layers.Dense(3, "softmax")(layers.Flatten()(body.output)))
    for model, targets in ((head, Y), (body, np.zeros((40, 3, 3, 4)))):
        model.compile("sgd", "sparse_categorical_crossentropy" if model is head else "mse")
        before = body.get_weights()
        model.fit(X, targets, verbose=0)
        assert not equal(body.get_weights(), before)
        assert equal(head.get_weights()[:6], body.get_weights())
        assert equal(body.get_layer("first").get_weights(), head.get_weights()[:2])
    body.get_layer("first").set_weights([np.ones((3, 3, 1, 4)), np.zeros(4)])
    assert head.get_weights()[0].sum() == 36
    head.set_weights([w * 0 for w in head.get_weights()])
    assert not body.predict(X, verbose=0).any()


def test_a_shared_run_is_the_run_of_one_model() -> None:
    """Sharing changes no bit, frozen layers and moving statistics included."""
    weights = []
    for shared in (False, True):
        utils.set_random_seed(5)
        body = base()
        body.layers[0].trainable = False
        model = Model(body.input, layers.Dense(3, "softmax", name="d")(layers.Flatten()(body.output)))
        others = [Model(body.input, layer.output) for layer in body.layers] if shared else []
        model.compile("adam", "sparse_categorical_crossentropy")
        model.set_weights([np.full_like(w, 0.01 * i) for i, w in enumerate(model.get_weights())])
        for _ in range(3):
            model.fit(X, Y, verbose=0)
            for each in others:
                each.predict(X, verbose=0)
        weights.append(model.get_weights())
    assert equal(*weights)


def test_weights_outlive_the_model_that_changed_them() -> None:
    body = base()
    head = Model(body.input, layers.Dense(3, "softmax")(layers.Flatten()(body.output)))
    head.compile("sgd", "sparse_categorical_crossentropy")
    head.fit(X, Y, verbose=0)
    trained = head.get_weights()[:6]
    del head
    gc.collect()
    assert equal(body.get_weights(), trained)


def test_a_layer_in_two_stacks() -> None:
    shared = layers.Dense(4, name="shared")
    first, second = (Sequential([Input((3,)), shared, layers.Dense(2)]) for _ in range(2))
    assert equal(first.get_weights()[:2], second.get_weights()[:2])
    first.set_weights([w + 1 for w in first.get_weights()])
    assert equal(first.get_weights()[:2], second.get_weights()[:2])
    with pytest.raises(ShapeError, match=r"'shared': it has weights of shapes \[\(3, 4\), \(4,\)\]"):
        Sequential([Input((7,)), shared])


def test_threads_predict_with_several_models() -> None:
    body = base()
    parts = [Model(body.input, layer.output) for layer in body.layers]
    wanted = [part.predict(X, verbose=0) for part in parts]
    results: list[bool] = []

    def work() -> None:
        for part, array in zip(parts, wanted, strict=True):
            results.append(np.array_equal(part.predict(X, verbose=0), array))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 18


# Models among layers


def nested() -> Sequential:
    return Sequential(
        [base(), layers.Flatten(name="flat"), layers.Dense(3, "softmax", name="top")], name="outer"
    )


def test_a_model_is_a_layer() -> None:
    model = nested()
    inner = model.get_layer("base")
    assert model.layers[0] is inner
    assert model.output_shape == (None, 3)
    flat = Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    flat.set_weights(model.get_weights())
    for each in (model, flat):
        each.compile("adam", "sparse_categorical_crossentropy")
    logs = [each.fit(X, Y, epochs=2, shuffle=False, verbose=0).history for each in (model, flat)]
    assert logs[0] == logs[1]
    assert equal(model.get_weights(), flat.get_weights())
    assert equal(inner.get_weights(), flat.get_weights()[:6])
    assert model.count_params() == flat.count_params() == inner.count_params() + 3 * 36 + 3


def test_transfer_learning() -> None:
    """A frozen body and a new head: the body stays to the bit, its moving statistics too."""
    body = base()
    body.trainable = False
    x = Input((8, 8, 1))
    model = Model(x, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(body(x))))
    before = body.get_weights()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0)
    assert equal(body.get_weights(), before)
    body.trainable = True
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    assert not equal(body.get_weights(), before)


def test_models_without_a_shape_learn_it() -> None:
    inner = Sequential([layers.Conv2D(2, 3), layers.Flatten()])
    model = Sequential([layers.Rescaling(0.5), inner, layers.Dense(2)])
    assert not inner.built
    model.build((None, 6, 6, 1))
    assert inner.input_shape == (None, 6, 6, 1)
    assert equal(inner.get_weights(), model.get_weights()[:2])


def test_two_outputs_two_calls(rng: np.random.Generator) -> None:
    heads = two_headed()
    left, right = Input((3,)), Input((3,))
    first, second = heads(left), heads(right)
    model = Model([left, right], [layers.Add()([first[0], second[1]]), first[1]])
    x = rng.standard_normal((2, 5, 3))
    got = model.predict(list(x), verbose=0)
    a, b = (heads.predict(each, verbose=0) for each in x)
    np.testing.assert_allclose(got[0], a[0] + b[1], rtol=1e-6)
    np.testing.assert_array_equal(got[1], a[1])
    assert model.count_params() == heads.count_params()
    assert model.output_names == ["add", "heads"]


def test_names_may_repeat_within_models() -> None:
    x = Input((3,))
    y = layers.Dense(2, name="dense")(x)
    for number in range(2):
        y = Sequential([Input((2,)), layers.Dense(2, name="dense")], name=f"m{number}")(y)
    model = Model(x, y)
    assert [each["name"] for each in model._bind().native.parameters][::2] == [
        "dense/kernel",
        "m0/dense/kernel",
        "m1/dense/kernel",
    ]


@pytest.mark.parametrize("make", [nested, lambda: Sequential([nested(), layers.ReLU()]), two_headed])
def test_files_clones_and_copies(make: Any, tmp_path: Any) -> None:
    model = make()
    x = np.random.default_rng(2).standard_normal((10, *np.array(model.input_shape)[1:]))
    model.compile("adam", "mse")
    targets = [np.zeros_like(each) for each in np.atleast_3d(model.predict(x, verbose=0))]
    y = targets if len(model.output_names) > 1 else np.zeros_like(model.predict(x, verbose=0))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    made = [fastcnn.load_model(tmp_path / "m"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    wanted = model.fit(x, y, epochs=2, verbose=0).history
    for other in made:
        assert type(other) is type(model)
        assert other.get_config() == model.get_config()
        assert other.fit(x, y, epochs=2, verbose=0).history == wanted
        assert equal(other.get_weights(), model.get_weights())
    clone = models.clone_model(model)
    assert clone.get_config() == model.get_config()
    assert not equal(clone.get_weights(), model.get_weights())
    clone.set_weights(model.get_weights())
    got, predicted = clone.predict(x, verbose=0), model.predict(x, verbose=0)
    assert equal(list(got), list(predicted))


def test_a_clone_by_a_function() -> None:
    def twice(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(
            {**config, **({"units": 2 * config["units"]} if "units" in config else {})}
        )

    clone = models.clone_model(nested(), clone_function=twice)
    assert clone.output_shape == (None, 6)
    x = Input((3,), name="other")
    assert models.clone_model(two_headed(), input_tensors=x).input_names == ["other"]
    with pytest.raises(DTypeError, match="clone_function: 3 came for 'first', wanted a layer"):
        models.clone_model(base(), clone_function=lambda layer: 3)
    with pytest.raises(DTypeError, match="clone_model: model: int"):
        models.clone_model(3)


def test_copies_of_layers_and_of_models_without_a_shape() -> None:
    layer = layers.Dense(2, kernel_regularizer="l2", name="d")
    Sequential([Input((3,)), layer])
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.get_config() == layer.get_config()
        with pytest.raises(ArgumentError, match="stands in no model"):
            other.get_weights()
    model = Sequential([layers.Dense(2)])
    model.compile("sgd", "mse")
    other = copy.deepcopy(model)
    for each in (model, other):
        each.build((None, 3))
    assert equal(model.get_weights(), other.get_weights())


def test_models_predict_when_called_with_arrays() -> None:
    model = nested()
    np.testing.assert_array_equal(model(X), model.predict_on_batch(X))
    with pytest.raises(ArgumentError, match="training: 'yes' came with arrays"):
        model(X, training="yes")


SUMMARY = """\
Model: "outer"
┏━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━┳━━━━━━━┳━━━━━━━━━━━┓
┃ Layer (type)         ┃ Output Shape    ┃ Param # ┃ FLOPs ┃ Bytes ┃ Trainable ┃
┡━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━╇━━━━━━━╇━━━━━━━━━━━┩
│ base (Sequential)    │ (None, 3, 3, 4) │      56 │ 3,744 │ 2,704 │         Y │
├──────────────────────┼─────────────────┼─────────┼───────┼───────┼───────────┤
│   └ first (Conv2D)   │ (None, 6, 6, 4) │      40 │ 2,736 │   832 │         N │
├──────────────────────┼─────────────────┼─────────┼───────┼───────┼───────────┤
│   └ norm (BatchNorm… │ (None, 6, 6, 4) │      16 │   864 │ 1,152 │         Y │
├──────────────────────┼─────────────────┼─────────┼───────┼───────┼───────────┤
│   └ pool (MaxPoolin… │ (None, 3, 3, 4) │       0 │   144 │   720 │         - │
├──────────────────────┼─────────────────┼─────────┼───────┼───────┼───────────┤
│ flat (Flatten)       │ (None, 36)      │       0 │     0 │     0 │         - │
├──────────────────────┼─────────────────┼─────────┼───────┼───────┼───────────┤
│ top (Dense)          │ (None, 3)       │     111 │   228 │   156 │         Y │
└──────────────────────┴─────────────────┴─────────┴───────┴───────┴───────────┘
 Total params: 167 (668.00 B)
 Trainable params: 119 (476.00 B)
 Non-trainable params: 48 (192.00 B)
 Forward pass of one sample: 3,972 FLOPs, 2.79 KB of activations moved
"""


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = nested()
    model.get_layer("base").get_layer("first").trainable = False
    model.summary(line_length=80, expand_nested=True, show_trainable=True)
    assert capsys.readouterr().out == SUMMARY
    for length in (60, 120):
        model.summary(line_length=length)
        lines = capsys.readouterr().out.split("\n")[1:-5]
        assert {len(line) for line in lines} == {length}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: layers.Dense(2, name="d").output,
            ArgumentError,
            "'d': output: the layer has not been called",
        ),
        (lambda: Sequential([layers.Dense(2)]).outputs, ArgumentError, "shape is not known"),
        (lambda: base()(Input((7, 7, 1))), ShapeError, r"\(7, 7, 1\), the model wants \(8, 8, 1\)"),
        (lambda: base()([Input((8, 8, 1)), Input((8, 8, 1))]), ArgumentError, "2 came, wanted 1"),
        (lambda: Sequential([two_headed(), layers.Dense(2)]), ArgumentError, "'heads' has several outputs"),
        (lambda: Sequential([base(), base()]), ArgumentError, "the name 'base' is taken"),
    ],
)
def test_bad_graphs(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def autoencoder() -> tuple[Model, Model]:
    """A model and its first half, whose layers are the same."""
    x = Input((8, 8, 1), name="x")
    code = layers.Conv2D(2, 3, activation="tanh", name="code")(x)
    whole = Model(x, layers.Conv2DTranspose(1, 3, name="back")(code), name="whole")
    return whole, Model(x, code, name="half")


@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_share_what_the_originals_share(how: Any) -> None:
    whole, half = autoencoder()
    whole.compile("adam", "mse")
    whole.fit(X, X, verbose=0)
    for second in (half, Sequential([Input((8, 8, 1)), half, layers.Flatten()])):
        wholes, seconds = how((whole, second))
        assert equal(wholes.get_weights(), whole.get_weights())
        assert wholes.get_layer("code") is not whole.get_layer("code")
        before = seconds.predict(X, verbose=0)
        np.testing.assert_array_equal(before, second.predict(X, verbose=0))
        wholes.fit(X, X, epochs=2, verbose=0)
        assert equal(seconds.get_weights(), wholes.get_layer("code").get_weights())
        assert not np.array_equal(before, seconds.predict(X, verbose=0))
        np.testing.assert_array_equal(before, second.predict(X, verbose=0))  # the originals have not changed


@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_of_a_model_keeps_layers_that_are_called_twice(how: Any) -> None:
    left, right, tower = Input((8, 8, 1)), Input((8, 8, 1)), base()
    outer = Model([left, right], layers.Subtract()([tower(left), tower(right)]))
    made, alone = how((outer, tower))
    assert made.get_layer("base") is alone
    assert made.count_params() == outer.count_params()
    alone.set_weights([w + 1 for w in tower.get_weights()])
    assert equal(made.get_weights(), alone.get_weights())

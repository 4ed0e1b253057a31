# SPDX-License-Identifier: Apache-2.0
"""Layers of augmentation: what users pass, calls on arrays, models that hold them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, Input, Model, Sequential, ShapeError, layers, utils

LAYERS: list[layers.Layer] = [
    layers.RandomFlip(),
    layers.RandomTranslation(0.3, (-0.1, 0.5)),
    layers.RandomRotation(0.2, "wrap", "nearest"),
    layers.RandomZoom(0.4, fill_mode="constant", fill_value=3.0),
    layers.RandomCrop(5, 4),
    layers.RandomContrast(0.5, (-8, 8)),
    layers.RandomBrightness(0.5, (-8, 8)),
    layers.RandomErasing((1, 1), (0.2, 0.5), value_range=(-8, 8)),
]
EVERY = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)


def images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(3).integers(-5, 6, (count, 8, 9, 3)).astype(np.float32)


def fresh(layer: layers.Layer, **changes: Any) -> Any:
    return type(layer).from_config({**layer.get_config(), "name": None, **changes})


@EVERY
def test_a_call_on_arrays_draws_anew(layer: layers.Layer) -> None:
    x = images()
    kept = x.copy()
    one, other = fresh(layer, seed=3), fresh(layer, seed=3)
    a, b = one(x), one(x, training=True)
    assert a.dtype == np.float32
    assert not np.array_equal(a, b)
    assert np.array_equal(a, other(x.astype(np.float64)))
    assert np.array_equal(b, other(x))
    assert np.array_equal(x, kept)
    assert not np.array_equal(fresh(layer, seed=4)(x), a)


@EVERY
def test_a_call_without_training(layer: layers.Layer) -> None:
    x = images()
    y = fresh(layer)(x, training=False)
    if not isinstance(layer, layers.RandomCrop):
        assert np.array_equal(y, x)
    assert np.array_equal(y, Sequential([Input((8, 9, 3)), fresh(layer)]).predict(x, verbose=0))


@EVERY
def test_one_image_and_dicts(layer: layers.Layer) -> None:
    x, labels = images(), np.arange(6)
    y = fresh(layer, seed=3)(x)
    got = fresh(layer, seed=3)({"images": x, "labels": labels})
    assert np.array_equal(got["images"], y)
    assert got["labels"] is labels
    assert np.array_equal(fresh(layer, seed=3)(x[0]), y[0])
    assert np.array_equal(fresh(layer, seed=3)(x[:2].astype(np.int8)), y[:2])


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_channels_first_is_channels_last_moved(layer: layers.Layer, training: bool) -> None:
    """The same bits from the same draws: of arrays, of one image, and in a model."""
    x = images()
    moved = np.moveaxis(x, -1, 1)
    last, first = fresh(layer, seed=3), fresh(layer, seed=3, data_format="channels_first")
    wanted, got = last(x, training=training), first(moved, training=training)
    assert np.array_equal(got, np.moveaxis(wanted, -1, 1))
    assert got.flags.c_contiguous
    one = fresh(layer, seed=3, data_format="channels_first")(moved[0], training=training)
    assert np.array_equal(one, np.moveaxis(fresh(layer, seed=3)(x[0], training=training), -1, 0))
    models = []
    for form, shape in (("channels_last", (8, 9, 3)), ("channels_first", (3, 8, 9))):
        utils.set_random_seed(1)
        model = Sequential(
            [Input(shape), fresh(layer, data_format=form), layers.Flatten(form), layers.Dense(2)]
        )
        model.compile("sgd", "mse")
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    for model, data in zip(models, (x, moved), strict=True):
        if training:
            model.train_on_batch(data, np.ones((6, 2)))
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert np.array_equal(a, b)
    predictions = [model.predict(data, verbose=0) for model, data in zip(models, (x, moved), strict=True)]
    assert np.array_equal(*predictions)


@pytest.mark.parametrize("kind", [layers.MixUp, layers.CutMix])
def test_mixing_channels_first(kind: Any) -> None:
    x, labels = images(), np.eye(6)
    moved = {"images": np.moveaxis(x, -1, 1), "labels": labels}
    wanted = kind(seed=3)({"images": x, "labels": labels})
    got = kind(seed=3, data_format="channels_first")(moved)
    assert np.array_equal(got["images"], np.moveaxis(wanted["images"], -1, 1))
    assert np.array_equal(got["labels"], wanted["labels"])


def test_a_global_seed_makes_calls_reproducible() -> None:
    results = []
    for _ in range(2):
        utils.set_random_seed(7)
        results.append(layers.RandomRotation(0.5)(images()))
    assert np.array_equal(*results)


@EVERY
def test_copies_and_pickles(layer: layers.Layer) -> None:
    assert copy.deepcopy(layer).get_config() == layer.get_config()
    assert pickle.loads(pickle.dumps(layer)).get_config() == layer.get_config()


def classifier(*augmentation: layers.Layer) -> Sequential:
    model = Sequential(
        [
            Input((8, 9, 3)),
            *augmentation,
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_fit_trains_on_what_is_drawn_and_evaluates_without() -> None:
    x, y = images(40), np.arange(40) % 3
    utils.set_random_seed(1)
    plain = classifier()
    augmented = classifier(
        layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)
    )
    augmented.set_weights(plain.get_weights())
    assert augmented.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)
    assert np.array_equal(augmented.predict(x, verbose=0), plain.predict(x, verbose=0))
    histories = [m.fit(x, y, epochs=2, batch_size=20, verbose=0, shuffle=False) for m in (plain, augmented)]
    assert histories[0].history["loss"] != histories[1].history["loss"]


def test_training_is_the_same_each_time_and_on_each_number_of_threads(keep_threads: None) -> None:
    x, y, weights = images(40), np.arange(40) % 3, []
    for threads in (1, 2, 3):
        fastcnn.set_num_threads(threads)
        utils.set_random_seed(1)
        model = classifier(layers.RandomFlip(), layers.RandomTranslation(0.2, 0.2), layers.RandomErasing())
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        weights.append([w.tobytes() for w in model.get_weights()])
    assert weights[0] == weights[1] == weights[2]


def test_the_model_draws_what_a_call_draws() -> None:
    """With a seed of the layer's own and at the same step: read off a loss of the caller's own."""
    x, seen = images(4), []
    layer = layers.RandomRotation(0.4, seed=11)
    model = Model(inputs := Input((8, 9, 3)), layers.Conv2D(3, 1)(layer(inputs)))
    eye = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    model.set_weights([eye, np.zeros(3, np.float32)])

    def loss(target: np.ndarray, predictions: np.ndarray) -> tuple[Any, np.ndarray]:
        seen.append(predictions.copy())
        return 0.0, np.zeros_like(predictions)

    model.compile("sgd", loss)
    model.fit(x, x, epochs=2, batch_size=4, verbose=0, shuffle=False)
    again = layers.RandomRotation(0.4, seed=11)
    for step in seen:
        assert np.array_equal(step, again(x))


def test_saved_models_hold_them(tmp_path: Any) -> None:
    model = classifier(*(fresh(layer) for layer in LAYERS[:4]))
    model.save(tmp_path / "model.safetensors")
    loaded = fastcnn.load_model(tmp_path / "model.safetensors")
    for mine, theirs in zip(model.layers, loaded.layers, strict=True):
        assert mine.get_config() == theirs.get_config()
    assert np.array_equal(model.predict(images(), verbose=0), loaded.predict(images(), verbose=0))


def test_mix_up_mixes_images_and_labels() -> None:
    x, labels = images(16), np.eye(16, dtype=np.float32)
    mixed = layers.MixUp(0.4, seed=5)({"images": x, "labels": labels})
    weights = mixed["labels"]
    assert np.all(np.count_nonzero(weights, axis=1) <= 2)
    assert np.abs(weights.sum(axis=1) - 1).max() <= 2**-23
    wanted = np.einsum("ij,jhwc->ihwc", weights.astype(np.float64), x)
    assert np.abs(mixed["images"] - wanted).max() <= 4 * 2.0**-24 * 2 * np.abs(x).max()
    assert np.count_nonzero(np.diag(weights) < 0.99) > 2
    again = layers.MixUp(0.4, seed=5)
    assert np.array_equal(again({"images": x, "labels": labels})["labels"], weights)
    assert not np.array_equal(again({"images": x, "labels": labels})["labels"], weights)


def test_cut_mix_counts_pixels() -> None:
    colours = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None, None], (16, 8, 9, 1))
    mixed = layers.CutMix(seed=5)({"images": colours, "labels": np.eye(16)})
    shares = np.stack([(mixed["images"] == colour).mean(axis=(1, 2, 3)) for colour in range(16)], axis=1)
    assert np.abs(shares - mixed["labels"]).max() <= 2**-22
    assert np.count_nonzero(np.diag(shares) < 1) > 4


@pytest.mark.parametrize("layer", [layers.MixUp(), layers.CutMix()], ids=["MixUp", "CutMix"])
def test_mixing_in_front_of_fit(layer: Any) -> None:
    x, y = images(40), utils.to_categorical(np.arange(40) % 3, 3)

    def batches() -> Iterator[tuple[Any, Any]]:
        for at in range(0, 40, 20):
            mixed = layer({"images": x[at : at + 20], "labels": y[at : at + 20]})
            yield mixed["images"], mixed["labels"]

    model = classifier()
    model.compile("sgd", "categorical_crossentropy")
    assert np.isfinite(model.fit(batches(), verbose=0).history["loss"][0])
    unchanged = layer({"images": x, "labels": y}, training=False)
    assert np.array_equal(unchanged["images"], x)
    assert np.array_equal(unchanged["labels"], y)
    assert np.array_equal(layer(x[0]), x[0])
    assert layer(x).shape == x.shape
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ShapeError, match="as utils"):
        layer({"images": x, "labels": np.arange(40)})


MIXING = pytest.mark.parametrize("kind", [layers.MixUp, layers.CutMix])


def mixing_classifier(kind: Any, loss: str, **options: Any) -> Sequential:
    """A softmax of five classes behind a mixing of seed 11."""
    utils.set_random_seed(5)
    model = Sequential(
        [
            Input((8, 9, 3)),
            kind(**({} if kind is layers.Identity else {"seed": 11})),
            layers.Flatten(),
            layers.Dense(5, activation="softmax"),
        ]
    )
    model.compile("sgd", loss, **options)
    return model


@MIXING
def test_fit_mixes_labels_as_it_mixes_images(kind: Any) -> None:
    """What a layer in front of the model makes of each batch, to the last bit, of either kind of labels."""
    x, labels = images(40), np.arange(40) % 5
    rows = np.eye(5, dtype=np.float32)[labels]
    layer, plain = kind(seed=11), mixing_classifier(layers.Identity, "categorical_crossentropy")
    losses = []
    for _ in range(2):
        for at in range(0, 40, 16):
            mixed = layer({"images": x[at : at + 16], "labels": rows[at : at + 16]})
            losses.append(plain.train_on_batch(mixed["images"], mixed["labels"]))
    for loss, y in (("categorical_crossentropy", rows), ("sparse_categorical_crossentropy", labels)):
        model = mixing_classifier(kind, loss)
        model.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
        for mine, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
            assert np.array_equal(mine, theirs)
    assert np.ptp(losses) > 0


@MIXING
def test_channels_first_in_a_model_is_channels_last_moved(kind: Any) -> None:
    x, labels, weights = images(40), np.arange(40) % 5, []
    fronts: list[list[Any]] = [
        [Input((8, 9, 3)), kind(seed=11)],
        [Input((3, 8, 9)), kind(seed=11, data_format="channels_first"), layers.Permute((2, 3, 1))],
    ]
    for front, batch in zip(fronts, (x, np.moveaxis(x, -1, 1)), strict=True):
        ones = {"kernel_initializer": "ones"}
        model = Sequential([*front, layers.Flatten(), layers.Dense(5, activation="softmax", **ones)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(batch, labels, batch_size=16, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


@MIXING
def test_metrics_see_mixed_labels(kind: Any) -> None:
    """Those that are counted natively and those that read predictions say the same."""
    x, labels = images(40), np.arange(40) % 5

    def hits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
        classes = y if y.ndim == 1 else y.argmax(axis=-1)
        return (classes == p.argmax(axis=-1)).astype(np.float32)

    histories = []
    for loss, y in (
        ("sparse_categorical_crossentropy", labels),
        ("categorical_crossentropy", np.eye(5)[labels]),
    ):
        model = mixing_classifier(kind, loss, metrics=["accuracy", hits])
        histories.append(model.fit(x, y, batch_size=16, verbose=0, shuffle=False).history)
        assert histories[-1]["accuracy"] == pytest.approx(histories[-1]["hits"])
    assert histories[0] == histories[1]


@MIXING
def test_nothing_is_mixed_out_of_training(kind: Any) -> None:
    x, labels = images(40), np.arange(40) % 5
    model = mixing_classifier(kind, "sparse_categorical_crossentropy", metrics=["accuracy"])
    plain = mixing_classifier(layers.Identity, "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert np.array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))
    assert model.evaluate(x, labels, verbose=0) == plain.evaluate(x, labels, verbose=0)


@pytest.mark.usefixtures("keep_threads")
@MIXING
def test_mixed_training_has_the_same_bits_on_any_number_of_threads(kind: Any) -> None:
    weights = []
    for threads in (1, 2, 3):
        fastcnn.set_num_threads(threads)
        utils.set_random_seed(1)
        model = classifier(kind(), layers.RandomFlip())
        model.fit(images(40), np.arange(40) % 3, epochs=2, batch_size=16, verbose=0)
        weights.append([w.tobytes() for w in model.get_weights()])
    assert weights[0] == weights[1] == weights[2]


@MIXING
def test_what_mixing_in_a_model_refuses(kind: Any) -> None:
    model = mixing_classifier(kind, lambda y, p: (0.0, np.zeros_like(p)))
    with pytest.raises(ArgumentError, match="a loss of your own reads targets that are not mixed"):
        model.fit(images(8), np.zeros((8, 5)), verbose=0)
    sparse = fastcnn.losses.SparseCategoricalCrossentropy(ignore_class=0)
    model.compile("sgd", sparse)
    with pytest.raises(ArgumentError, match="mixes labels, wanted a loss without ignore_class"):
        model.fit(images(8), np.zeros(8), verbose=0)


def test_center_crop_and_resizing_act_always() -> None:
    x = images()
    assert np.array_equal(layers.CenterCrop(4, 3)(x), x[:, 2:6, 3:6])
    assert np.array_equal(layers.Resizing(4, 9, "nearest")(x), x[:, 1::2])
    assert layers.Resizing(16, 4, crop_to_aspect_ratio=True)(x, training=False).shape == (6, 16, 4, 3)
    assert Sequential([layers.Resizing(5, 6, input_shape=(8, 9, 3))]).output_shape == (None, 5, 6, 3)
    moved = np.moveaxis(x, -1, 1)
    for kind in (layers.CenterCrop, layers.Resizing):
        first = kind(5, 6, data_format="channels_first")
        assert np.array_equal(first(moved), np.moveaxis(kind(5, 6)(x), -1, 1))
        assert Sequential([Input((3, 8, 9)), first]).output_shape == (None, 3, 5, 6)


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: layers.RandomFlip("diagonal"), ArgumentError, "mode: unknown 'diagonal'"),
    (lambda: layers.RandomFlip(seed=-1), ArgumentError, "seed: -1"),
    (lambda: layers.RandomFlip(seed=2**63), ArgumentError, "seed: 9223372036854775808"),
    (lambda: layers.RandomFlip(seed=1.5), DTypeError, "seed: 1.5"),
    (lambda: layers.RandomFlip(data_format="first"), ArgumentError, "data_format: unknown 'first'"),
    (lambda: layers.RandomFlip(data_format="channels_first")(np.zeros((3, 3))), ShapeError, r"C, H, W\]"),
    (lambda: layers.RandomTranslation(2, 0), ArgumentError, r"height_factor: 2 came, wanted .* \[-1, 1\]"),
    (lambda: layers.RandomTranslation(0, (0.1, 0.2, 0.3)), ArgumentError, "width_factor: .* two numbers"),
    (lambda: layers.RandomTranslation(0, "1"), DTypeError, "width_factor: '1' came"),
    (lambda: layers.RandomRotation(float("nan")), ArgumentError, "factor: nan"),
    (lambda: layers.RandomRotation(0.1, "edge"), ArgumentError, "fill_mode: unknown 'edge'"),
    (lambda: layers.RandomRotation(0.1, interpolation="cubic"), ArgumentError, "unknown 'cubic'"),
    (lambda: layers.RandomRotation(0.1, fill_value=None), DTypeError, "fill_value: None"),
    (lambda: layers.RandomZoom((-1, -1)), ArgumentError, "height_factor: -1 came, wanted a number above -1"),
    (lambda: layers.RandomCrop(0, 4), ArgumentError, "height: 0"),
    (lambda: layers.RandomCrop(4, 1.5), DTypeError, "width: 1.5"),
    (lambda: layers.Resizing(4, 4, antialias=True), ArgumentError, "antialias: True came, wanted False"),
    (lambda: layers.Resizing(4, 4, pad_to_aspect_ratio=True), ArgumentError, "pad_to_aspect_ratio: True"),
    (lambda: layers.RandomContrast(1.5), ArgumentError, "factor: 1.5"),
    (lambda: layers.RandomBrightness(-1.5), ArgumentError, "factor: -1.5"),
    (lambda: layers.RandomBrightness(0.5, (1, 2, 3)), ArgumentError, "value_range"),
    (lambda: layers.RandomBrightness(0.5, (0, float("inf"))), ArgumentError, "value_range"),
    (lambda: layers.RandomErasing(2), ArgumentError, "factor: 2"),
    (lambda: layers.RandomErasing(scale=(0.1, 1.2)), ArgumentError, "scale"),
    (lambda: layers.RandomErasing(fill_value=(1, 2)), ArgumentError, "fill_value: .* wanted a number, three"),
    (lambda: layers.MixUp(0), ArgumentError, "alpha: 0"),
    (lambda: layers.CutMix(2), ArgumentError, "factor: 2"),
    (lambda: layers.RandomFlip()(images(), training=1), DTypeError, "training: 1"),
    (lambda: layers.RandomFlip()(Input((4, 4, 1)), training=True), ArgumentError, "training: True came"),
    (lambda: layers.RandomFlip()(np.zeros((3, 3))), ShapeError, r"shape \(3, 3\) came"),
    (lambda: layers.RandomFlip()(np.zeros((0, 3, 3, 1))), ShapeError, r"shape \(0, 3, 3, 1\) came"),
    (lambda: layers.RandomFlip()(np.zeros((3, 3, 1), complex)), DTypeError, "complex128"),
    (lambda: layers.RandomFlip()({"labels": 3}), ArgumentError, "wanted images"),
    (lambda: layers.RandomFlip()({"images": images(), "boxes": 3}), ArgumentError, "boxes"),
    (lambda: layers.RandomErasing(fill_value=(1, 2, 3))(np.zeros((3, 3, 2))), ArgumentError, "3 numbers"),
    (lambda: Sequential([layers.RandomFlip(input_shape=(4, 4))]).output_shape, ShapeError, "RandomFlip"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

# SPDX-License-Identifier: Apache-2.0
"""Arguments and names that scripts for Keras use and that change little or nothing here."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, Input, Sequential, activations, layers, metrics, models


def test_idle_arguments_of_layers() -> None:
    model = Sequential(
        [
            Input(batch_shape=(None, 8, 8, 3), dtype="uint8"),
            layers.Conv2D(3, 3, data_format="channels_last"),
            layers.BatchNormalization(axis=3, synchronized=False),
            layers.MaxPooling2D(data_format=None),
            layers.Dropout(0.3, seed=3, noise_shape=None),
            layers.GaussianNoise(0.1, seed=1),
            layers.SpatialDropout2D(0.1, data_format="channels_last"),
            layers.GlobalAveragePooling2D(data_format="channels_last", keepdims=True),
            layers.Flatten(data_format=None),
            layers.Dense(3),
            layers.Softmax(axis=-1),
        ]
    )
    again = models.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert model.input_shape == Sequential([Input((8, 8, 3), 32), layers.ReLU()]).input_shape


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: layers.Dropout(0.3, seed="x"), DTypeError, "seed: 'x' came"),
        (lambda: layers.Dropout(0.3, noise_shape=(1,)), ArgumentError, "noise_shape: .1,. came, wanted None"),
        (lambda: layers.MaxPooling2D(data_format="last"), ArgumentError, "data_format.*channels_last"),
        (lambda: layers.Dense(3, seed=3), TypeError, "unexpected keyword argument 'seed'"),
        (lambda: layers.Dense(3, activaton="relu"), TypeError, "'activaton': did you mean 'activation'?"),
        (lambda: layers.LeakyReLU(alpha=0.1), TypeError, "keyword argument 'alpha': wanted negative_slope$"),
        (lambda: layers.ReLU(init="zeros"), TypeError, "unexpected keyword argument 'init'$"),
        (lambda: layers.Dense(3, init="zeros"), TypeError, "'init': wanted kernel_initializer"),
        (
            lambda: layers.Dense(3, batch_input_shape=(9, 4)),
            TypeError,
            "wanted input_shape, without the batch",
        ),
        (lambda: layers.Dense(3, input_dim="4"), DTypeError, "input_shape: .*'4'"),
        (lambda: layers.Dropout(10**400), ArgumentError, "rate: inf came, wanted a finite number"),
        (lambda: layers.Softmax(axis=()), ArgumentError, "axis: got no axis"),
        (lambda: Input(), ArgumentError, "either shape or batch_shape"),
        (lambda: Input((3,), dtype="complex64"), DTypeError, "'complex64' came, wanted the name of a real"),
        (lambda: Input((3,), batch_size=0), ArgumentError, "batch_size: 0 came"),
        (lambda: layers.BatchNormalization(axis=None), DTypeError, "axis: None came, wanted an integer"),
    ],
)
def test_wrong_ones(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_rows_of_so_many_numbers() -> None:
    model = Sequential([layers.Dense(3, input_dim=4), layers.ReLU()])
    assert model.input_shape == (None, 4)
    assert layers.Dense(3, input_dim=4, input_shape=(5, 2)).declared_shape == (5, 2)


def test_classes_stand_for_their_objects() -> None:
    layer = layers.Dense(
        2, kernel_initializer=fastcnn.initializers.Ones, kernel_regularizer=fastcnn.regularizers.L2
    )
    model = Sequential([Input((3,)), layer])
    model.compile(
        fastcnn.optimizers.SGD, fastcnn.losses.MeanSquaredError, metrics=[metrics.MeanAbsoluteError]
    )
    assert (layer.kernel == 1).all()
    assert isinstance(model.optimizer, fastcnn.optimizers.SGD)
    assert model.metrics_names == ["loss", "mean_absolute_error"]
    with pytest.raises(ArgumentError, match="compile: loss: unknown"):
        model.compile("sgd", fastcnn.optimizers.SGD)


def test_descriptions() -> None:
    conv = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")
    assert layers.deserialize(layers.serialize(conv)).get_config() == conv.get_config()
    assert metrics.deserialize(metrics.serialize(metrics.AUC(num_thresholds=7))).num_thresholds == 7
    for module, thing in (
        (fastcnn.optimizers, fastcnn.optimizers.Adam(0.5)),
        (fastcnn.optimizers.schedules, fastcnn.optimizers.schedules.CosineDecay(0.1, 5)),
        (fastcnn.losses, fastcnn.losses.Huber(2.0)),
        (fastcnn.initializers, fastcnn.initializers.he_normal()),
        (fastcnn.regularizers, fastcnn.regularizers.l1_l2(0.1, 0.2)),
        (fastcnn.constraints, fastcnn.constraints.MaxNorm(3.0)),
    ):
        made = module.deserialize(module.serialize(thing))
        assert type(made) is type(thing)
        assert made.get_config() == thing.get_config()
    assert activations.deserialize(activations.serialize(activations.gelu)) is activations.gelu
    assert activations.get(None) is activations.linear
    with pytest.raises(ArgumentError, match="did you mean 'relu'"):
        activations.get("rely")


def test_models_as_json() -> None:
    model = Sequential([Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten()])
    graph = fastcnn.Model(model.input, layers.Dense(2)(model.output))
    for each in (model, graph):
        assert models.model_from_json(each.to_json(indent=1)).get_config() == each.get_config()
    for text in ("{", "3", '{"class_name": "Dense", "config": {"units": 3}}', None):
        with pytest.raises(ArgumentError):
            models.model_from_json(text)  # type: ignore[arg-type]


def test_variables_and_metrics() -> None:
    model = Sequential([Input((8, 8, 1)), layers.Conv2D(2, 3), layers.BatchNormalization()])
    conv, norm = model.layers
    assert [len(each.trainable_weights) for each in (conv, norm)] == [2, 2]
    assert [len(each.non_trainable_weights) for each in (conv, norm)] == [0, 2]
    conv.trainable = False
    assert len(model.trainable_variables) == 2
    assert len(model.non_trainable_variables) == 4
    assert (len(conv.trainable_weights), len(conv.non_trainable_weights)) == (0, 2)
    assert model.metrics == []
    model.compile("sgd", "mse", metrics=["mae", metrics.RootMeanSquaredError()])
    assert [each.name for each in model.metrics] == ["mae", "root_mean_squared_error"]


def test_files(tmp_path: pathlib.Path) -> None:
    first = Sequential([Input((6,)), layers.Dense(4), layers.Dense(3)])
    second = Sequential([Input((6,)), layers.Dense(4), layers.Dense(2)])
    path = tmp_path / "m.keras"
    first.save(filepath=path)
    with pytest.raises(FileExistsError):
        first.save(path, overwrite=False)
    assert fastcnn.saving.load_model(filepath=path, safe_mode=True).get_config() == first.get_config()
    own, path = second.get_weights(), tmp_path / "m.weights.h5"
    first.save_weights(path)
    with pytest.raises(fastcnn.FormatError, match="do not fit"):
        second.load_weights(path)
    second.load_weights(path, skip_mismatch=True)
    for got, wanted in zip(second.get_weights(), [*first.get_weights()[:2], *own[2:]], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_backend() -> None:
    backend = fastcnn.backend
    assert (backend.backend(), backend.floatx(), backend.image_data_format()) == (
        "fastcnn", "float32", "channels_last",
    )  # fmt: skip
    assert backend.epsilon() == 1e-7
    backend.clear_session()
    assert layers.Dense(1).name == "dense"

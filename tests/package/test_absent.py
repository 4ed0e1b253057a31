# SPDX-License-Identifier: Apache-2.0
"""Names of Keras that are not here say what to do instead; those that are here are listed by `dir`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import (
    ArgumentError,
    Sequential,
    callbacks,
    config,
    datasets,
    layers,
    metrics,
    models,
    ops,
    preprocessing,
    utils,
)


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        (fastcnn, "applications", "pretrained networks are left out: build one of layers"),
        (fastcnn, "mixed_precision", r"say compile\(precision=...\)"),
        (layers, "LSTM", "recurrent layers, attention and text are left out"),
        (layers, "Wrapper", "write a class of Layer whose call is written with layers"),
        (layers, "Conv2d", "did you mean 'Conv2D'"),
        (ops, "while_loop", "ops holds the kernels and some of NumPy"),
        (metrics, "Accuracies", "did you mean 'Accuracy'"),
        (callbacks, "EarlyStop", "did you mean 'EarlyStopping'"),
        (utils, "get_file", "files are not downloaded"),
        (models, "load_modl", "did you mean 'load_model'"),
        (datasets, "imdb", "recurrent layers, attention and text are left out"),
        (preprocessing.image, "ImageDataGenerator", "image_dataset_from_directory reads folders"),
        (layers, "ThresholdedReLU", r"wanted ReLU\(threshold=...\)"),
        (Sequential(), "fit_generator", "fit takes generators"),
        (Sequential(), "predict_classes", r"wanted predict\(x\).argmax\(axis=-1\)"),
        (layers, "nothing_like_it", "has no attribute 'nothing_like_it'$"),
    ],
)
def test_says_what_to_do(module: Any, name: str, said: str) -> None:
    with pytest.raises(AttributeError, match=said):
        getattr(module, name)
    assert not hasattr(module, name)


@pytest.mark.parametrize("module", [fastcnn, layers, metrics, callbacks, utils, models, ops, config])
def test_dir_lists_what_there_is(module: Any) -> None:
    assert set(module.__all__) <= set(dir(module))
    assert all(hasattr(module, name) for name in module.__all__)


def test_settings_that_are_the_only_ones() -> None:
    config.set_floatx("float32")
    fastcnn.backend.set_image_data_format("channels_last")
    assert config.floatx() == config.dtype_policy() == "float32"
    for call in (
        lambda: config.set_floatx("float16"),
        lambda: config.set_image_data_format("channels_first"),
    ):
        with pytest.raises(ArgumentError, match="the only one"):
            call()
    assert fastcnn.version() == fastcnn.__version__
    assert fastcnn.preprocessing.image.load_img is utils.load_img


def test_small_names_of_models_and_layers() -> None:
    model = Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    assert model.compute_output_shape((None, 4, 4, 1)) == (None, 2)
    assert not model.built
    model.build((None, 4, 4, 1))
    assert len(model.variables) == 4
    assert model.dtype == model.layers[0].dtype == "float32"
    assert model.layers[0].built
    assert not layers.Dense(2).built
    assert len(model.layers[2].variables) == len(model.layers[2].trainable_variables) == 2
    assert not model.layers[2].non_trainable_variables
    assert not model.run_eagerly
    with pytest.raises(ArgumentError, match=r"wanted save\(path\)"):
        model.export("model")
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.get_metrics_result() == {}
    logs = model.test_on_batch([[[[1.0]] * 4] * 4], [[1.0, 2.0]], return_dict=True)
    assert model.get_metrics_result() == logs


def test_logs_of_an_epoch_stand_in_keras_order() -> None:
    model = Sequential([layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit([[1.0], [2.0]], [[1.0], [2.0]], validation_split=0.5, verbose=0).history
    assert list(history) == ["loss", "mae", "val_loss", "val_mae"]
    model.compile("sgd", "mse", metrics=["accuracy"])
    history = model.fit([[1.0], [2.0]], [[1.0], [2.0]], validation_split=0.5, verbose=0).history
    assert list(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert list(model.evaluate([[1.0]], [[1.0]], return_dict=True, verbose=0)) == ["accuracy", "loss"]


def test_a_summary_says_what_layers_of_a_graph_read() -> None:
    inputs = fastcnn.Input((8, 8, 3), name="image")
    shared = layers.Conv2D(3, 1, name="conv")
    total = layers.Add(name="sum")([shared(inputs), shared(layers.ReLU(name="relu")(inputs))])
    printed: list[str] = []
    fastcnn.Model(inputs, layers.Flatten(name="flat")(total)).summary(print_fn=printed.append)
    lines = [line.split("│") for line in printed[0].split("\n") if line.startswith("│")]
    assert {line[1].split()[0]: line[6].strip() for line in lines} == {
        "image": "-",
        "relu": "image[0][0]",
        "conv": "image[0][0], relu[0][0]",
        "sum": "conv[0][0], conv[1][0]",
        "flat": "sum[0][0]",
    }
    assert "Connected to" in printed[0]
    x = fastcnn.Input((4,))
    fastcnn.Model(x, layers.Dense(2)(layers.Dense(3)(x))).summary(print_fn=printed.append)
    assert "Connected to" not in printed[1]


def test_metrics_as_functions_are_those_of_the_classes() -> None:
    rng = np.random.default_rng(2)
    p = rng.random((20, 6)).astype(np.float32)
    labels = rng.integers(0, 6, 20)
    rows = np.eye(6)[labels]
    for name, target, options in (
        ("categorical_accuracy", rows, {}),
        ("sparse_categorical_accuracy", labels, {}),
        ("top_k_categorical_accuracy", rows, {"k": 2}),
        ("sparse_top_k_categorical_accuracy", labels, {"k": 3}),
        ("binary_accuracy", rows, {"threshold": 0.3}),
    ):
        values = getattr(metrics, name)(target, p, **options)
        metric = getattr(metrics, "".join(part.title() for part in name.split("_")))(**options)
        assert values.shape == (20,)
        assert float(values.mean()) == pytest.approx(metric(target, p))
    assert metrics.mean_squared_error is fastcnn.losses.mean_squared_error
    model = Sequential([layers.Dense(6, activation="softmax", input_shape=(6,))])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metrics.sparse_categorical_accuracy])
    assert model.metrics_names == ["loss", "sparse_categorical_accuracy"]
    assert 0 <= model.evaluate(p, labels, verbose=0)[1] <= 1

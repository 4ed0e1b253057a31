# SPDX-License-Identifier: Apache-2.0
"""The layers of normalization: weights, configuration, training, freezing, files, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Input, Sequential, layers, load_model, losses, optimizers
from fastcnn.errors import ArgumentError, DTypeError
from fastcnn.testing import reference as ref

EVERY = (
    layers.BatchNormalization(momentum=0.9),
    layers.GroupNormalization(2),
    layers.InstanceNormalization(),
    layers.LayerNormalization(axis=(1, 2, 3)),
    layers.RMSNormalization(),
    layers.UnitNormalization(),
)


def small(layer: Any) -> Any:
    before_last = (layer, layers.ReLU())
    model = Sequential(
        [
            Input((6, 6, 2)),
            layers.Conv2D(4, 3),
            *before_last,
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    model.compile(optimizers.SGD(0.05), losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def data(rng: np.random.Generator) -> tuple[Any, Any]:
    labels = rng.integers(0, 3, 64)
    return (rng.standard_normal((64, 6, 6, 2)) + labels[:, None, None, None]).astype(np.float32), labels


def copy_of(layer: Any) -> Any:
    return type(layer).from_config({**layer.get_config(), "name": "norm"})


@pytest.mark.parametrize("layer", EVERY, ids=lambda layer: type(layer).__name__)
def test_trains_and_comes_back_from_a_file(layer: Any, rng: np.random.Generator, tmp_path: Path) -> None:
    model = small(copy_of(layer))
    x, y = data(rng)
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    for each in (model, again):
        each.fit(x, y, batch_size=16, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_batch_norm_weights_are_in_the_order_of_keras() -> None:
    layer = layers.BatchNormalization(
        beta_initializer=initial(1), gamma_initializer=initial(2),
        moving_mean_initializer=initial(3), moving_variance_initializer=initial(4), input_shape=(5,),
    )  # fmt: skip
    model = Sequential([layer])
    assert [w[0] for w in layer.get_weights()] == [2.0, 1.0, 3.0, 4.0]
    assert layer.count_params() == 20
    assert model.count_params() == 20


def initial(value: float) -> Any:
    from fastcnn import initializers

    return initializers.Constant(value)


@pytest.mark.parametrize(("center", "scale"), [(False, True), (True, False), (False, False)])
@pytest.mark.parametrize("kind", ["BatchNormalization", "GroupNormalization", "LayerNormalization"])
def test_center_and_scale(kind: str, center: bool, scale: bool) -> None:
    arguments = {"groups": 1} if kind.startswith("Group") else {}
    layer = getattr(layers, kind)(center=center, scale=scale, input_shape=(4,), **arguments)
    model = Sequential([layer])
    assert len(model.get_weights()) == center + scale + 2 * kind.startswith("Batch")


def test_batch_norm_in_training_and_after(rng: np.random.Generator) -> None:
    layer = layers.BatchNormalization(momentum=0.5, input_shape=(4,))
    model = Sequential([layer])
    model.compile(optimizers.SGD(0.0), losses.MeanSquaredError())
    x = rng.standard_normal((32, 4)).astype(np.float32)
    loss = model.train_on_batch(x, np.zeros_like(x))
    assert loss == pytest.approx(np.mean(ref.batch_norm(x) ** 2), rel=1e-6)
    gamma, beta, mean, variance = layer.get_weights()
    _, wanted_mean, wanted_variance = ref.batch_norm_train(x, momentum=0.5)
    assert np.allclose(mean, wanted_mean, rtol=1e-6, atol=1e-7)
    assert np.allclose(variance, wanted_variance, rtol=1e-6)
    wanted = ref.batch_norm(x, gamma, beta, mean, variance)
    assert np.allclose(model.predict(x, verbose=0), wanted, rtol=1e-5, atol=1e-6)


def test_a_frozen_layer_is_in_inference_mode(rng: np.random.Generator) -> None:
    layer = layers.BatchNormalization()
    model = small(layer)
    x, y = data(rng)
    layer.trainable = False
    model.compile(optimizers.SGD(0.05), losses.SparseCategoricalCrossentropy(from_logits=True))
    before = layer.get_weights()
    kernel = model.layers[0].get_weights()[0]
    model.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    assert not np.array_equal(kernel, model.layers[0].get_weights()[0])
    layer.trainable = True
    model.compile(optimizers.SGD(0.05), losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


BAD: tuple[tuple[str, dict[str, Any], type[Exception], str], ...] = (
    ("BatchNormalization", {"axis": 0}, ArgumentError, "axis"),
    ("BatchNormalization", {"epsilon": -1.0}, ArgumentError, "epsilon"),
    ("BatchNormalization", {"epsilon": float("nan")}, ArgumentError, "epsilon"),
    ("BatchNormalization", {"momentum": "0.9"}, DTypeError, "momentum"),
    ("BatchNormalization", {"momentum": 1.5}, ArgumentError, "momentum"),
    ("BatchNormalization", {"center": 1}, DTypeError, "center"),
    ("BatchNormalization", {"gamma_initializer": "one"}, ArgumentError, "gamma_initializer"),
    ("GroupNormalization", {"groups": 3}, ArgumentError, "groups"),
    ("GroupNormalization", {"groups": 0}, ArgumentError, "groups"),
    ("GroupNormalization", {"groups": 2.0}, DTypeError, "groups"),
    ("GroupNormalization", {}, ArgumentError, "groups"),
    ("LayerNormalization", {"axis": (0, 1)}, ArgumentError, "axis"),
    ("LayerNormalization", {"axis": (0, 1, 2, 3)}, ArgumentError, "axis"),
    ("LayerNormalization", {"axis": ()}, ArgumentError, "axis"),
    ("LayerNormalization", {"axis": "last"}, DTypeError, "axis"),
    ("RMSNormalization", {"axis": 7}, ArgumentError, "axis"),
    ("UnitNormalization", {"axis": None}, DTypeError, "axis"),
)


@pytest.mark.parametrize(("kind", "arguments", "error", "word"), BAD)
def test_bad_arguments(kind: str, arguments: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        Sequential([Input((5, 5, 4)), getattr(layers, kind)(**arguments)])

# SPDX-License-Identifier: Apache-2.0
"""fit and compile refuse what is wrong by name and leave the model, its history and the data as they were."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DeviceError, DTypeError, Sequential, ShapeError, layers, utils


def equal(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


X, Y = np.zeros((10, 2)), np.arange(10) % 4

BAD_FITS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"y": Y + 1}, ArgumentError, r"^fit: label 4 at index 3 is out of range \[0, 4\)"),
    ({"y": Y - 1}, ArgumentError, r"label -1"),
    ({"y": Y + 0.5}, ArgumentError, r"label 0.5.*whole number"),
    ({"y": np.full(10, np.nan)}, ArgumentError, r"label nan"),
    ({"y": Y[:9]}, ShapeError, r"^fit: x has 10 samples and y 9"),
    ({"y": Y[:9], "validation_split": 0.5}, ShapeError, r"fit: y: 9 targets came for 10 samples"),
    ({"y": utils.to_categorical(Y)}, ShapeError, r"categorical_crossentropy"),
    ({"y": None}, ShapeError, r"fit: y: NoneType came"),
    ({"y": ["a"] * 10}, DTypeError, r"y"),
    ({"x": X[:0], "y": Y[:0]}, ShapeError, r"^fit: x is empty"),
    ({"batch_size": 0}, ArgumentError, r"fit: batch_size: 0 came, wanted 1 or more"),
    ({"batch_size": 1.5}, DTypeError, r"fit: batch_size: 1.5"),
    ({"epochs": -1}, ArgumentError, r"fit: epochs: -1 came, wanted 0 or more"),
    ({"epochs": 2.5}, DTypeError, r"fit: epochs: 2.5"),
    ({"initial_epoch": -1}, ArgumentError, r"fit: initial_epoch: -1"),
    ({"validation_split": 1}, ArgumentError, r"fit: validation_split: 1 came, wanted .* and below 1"),
    ({"validation_split": -0.1}, ArgumentError, r"fit: validation_split: -0.1"),
    ({"validation_split": math.nan}, ArgumentError, r"fit: validation_split: nan"),
    ({"validation_split": 0.99, "x": X[:1], "y": Y[:1]}, ArgumentError, r"leaves one side empty"),
    ({"validation_data": X}, ArgumentError, r"fit: validation_data: wanted a pair"),
    ({"validation_data": (X, Y + 1)}, ArgumentError, r"^fit: validation_data: label 4"),
    ({"validation_split": 0.2, "y": [*Y[:9], 7]}, ArgumentError, r"^fit: validation_split: label 7"),
    ({"validation_data": (X, Y[:3])}, ShapeError, r"^fit: validation_data: x has 10 samples and y 3"),
    ({"shuffle": "batch"}, DTypeError, r"fit: shuffle: 'batch'"),
    ({"verbose": 3}, ArgumentError, r'fit: verbose: 3 came, wanted 0, 1, 2 or "auto"'),
    ({"callbacks": [print]}, DTypeError, r"callbacks"),
    ({"callbacks": 3}, DTypeError, r"callbacks: 3 came, wanted a list"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_FITS)
@pytest.mark.parametrize("bound", [True, False])
def test_bad_fits_change_nothing(
    change: dict[str, Any], error: type[Exception], message: str, bound: bool
) -> None:
    model = Sequential([layers.Dense(4, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    if bound:
        model.fit(X, Y, verbose=0)
        before = model.get_state()
        history = model.history
    arguments = {"x": X, "y": Y, "verbose": 0, **change}
    copies = {key: np.copy(arguments[key]) for key in "xy"}
    with pytest.raises(error, match=message):
        model.fit(**arguments)
    assert model.built == bound
    if bound:
        assert equal([*model.get_state().values()], [*before.values()])
        assert model.history is history
    for key, copy in copies.items():
        np.testing.assert_array_equal(arguments[key], copy)


def test_messages_name_what_was_called() -> None:
    model = Sequential([layers.Dense(4, "softmax", input_shape=(2,))])
    model.compile("adam", "sparse_categorical_crossentropy")
    for call in (model.train_on_batch, model.test_on_batch, model.evaluate, model.gradients):
        with pytest.raises(ShapeError, match=rf"^{call.__name__}: x has shape \[10, 3\], wanted \[N, 2\]"):
            call(np.zeros((10, 3)), Y)
    with pytest.raises(ShapeError, match=r"^fit: x has shape \[5, 3\]"):
        model.fit(iter([(np.zeros((5, 3)), Y[:5])]), verbose=0)
    with pytest.raises(ArgumentError, match=r"^Sequential '\w+': set_weights: 1 arrays came, wanted 2"):
        model.set_weights([np.zeros((2, 4))])


def test_fit_before_compile() -> None:
    model = Sequential([layers.Dense(4)])
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ArgumentError, match=f"{call.__name__}: .*not compiled; call compile"):
            call(X, Y)
    for name in ("optimizer", "loss", "metrics_names"):
        with pytest.raises(ArgumentError, match=f"{name}: .*not compiled"):
            getattr(model, name)
    assert not model.built


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": "adan"}, ArgumentError, "did you mean 'adam'"),
        ({"loss": "sparse_categorical_crossentropi"}, ArgumentError, "mean .sparse_categorical_crossentropy"),
        ({"metrics": ["precison"]}, ArgumentError, "metrics: unknown 'precison'.*mean 'precision'"),
        ({"device": "cuda"}, DeviceError, "no GPU kernels"),
        ({"device": "tpu"}, ArgumentError, "device"),
        ({"precision": "float16"}, ArgumentError, "float32"),
        ({"math": "sloppy"}, ArgumentError, "math"),
    ],
)
@pytest.mark.parametrize("built", [True, False])
def test_bad_compiles_change_nothing(
    change: dict[str, Any], error: type[Exception], message: str, built: bool
) -> None:
    model = Sequential([layers.Dense(4, "softmax")])
    arguments = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**arguments)
    if built:
        model.fit(X, Y, verbose=0)
    before = model.get_compile_config()
    with pytest.raises(error, match=message):
        model.compile(**{**arguments, **change})
    assert model.get_compile_config() == before
    model.fit(X, Y, verbose=0)

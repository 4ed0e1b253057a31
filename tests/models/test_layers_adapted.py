# SPDX-License-Identifier: Apache-2.0
"""Normalization by the mean and variance of data."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, Sequential, ShapeError, layers, models, utils

# Channels of 0 and 2, 10 and 18, 5 alone: mean and deviation are whole numbers.
DATA = np.stack([np.tile([0, 2], 32), np.tile([10, 18], 32), np.full(64, 5)], axis=-1).reshape(4, 4, 4, 3)
MEAN, VARIANCE = [1.0, 14.0, 5.0], [1.0, 16.0, 0.0]


class Batches(utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return DATA[2 * index : 2 * index + 2], np.zeros(2)


def pieces() -> Iterator[Any]:
    yield DATA[:1]
    yield DATA[1:]


def adapted(data: Any = DATA, **arguments: Any) -> layers.Normalization:
    layer = layers.Normalization(**arguments)
    layer.adapt(data)
    return layer


@pytest.mark.parametrize(
    "data", [DATA, DATA.astype(np.uint8), DATA[:, ::-1], [DATA[:3], DATA[3:]], pieces(), Batches()]
)
def test_it_measures_arrays_and_batches(data: Any) -> None:
    layer = adapted(data)
    assert layer.mean is not None
    assert layer.variance is not None
    assert layer.mean.shape == layer.variance.shape == (1, 1, 1, 3)
    assert layer.mean.ravel().tolist() == MEAN
    assert layer.variance.ravel().tolist() == VARIANCE
    assert layer(DATA).reshape(-1, 3)[:2].tolist() == [[-1, -1, 0], [1, 1, 0]]


def test_any_axis_or_all_of_them() -> None:
    moved = np.moveaxis(DATA, -1, 1)
    first = adapted(moved, axis=1)
    assert first.mean is not None
    assert first.mean.shape == (1, 3, 1, 1)
    assert np.array_equal(np.moveaxis(first(moved), 1, -1), adapted()(DATA))
    assert np.array_equal(adapted(axis=(-1,))(DATA), adapted()(DATA))
    whole = adapted(np.array([[0, 2], [4, 2]]), axis=None)
    assert whole.mean is not None
    assert whole.mean.tolist() == [[2]]
    assert whole(np.array([[2.0, 2.0]])).tolist() == [[0, 0]]
    assert [each.tolist() for each in whole.get_weights()] == [[2, 2], [2, 2]]


@pytest.mark.parametrize("before", [True, False])
def test_it_may_be_adapted_before_and_after_it_is_built(before: bool) -> None:
    layer = layers.Normalization()
    if before:
        layer.adapt(DATA)
    model = Sequential([layer, layers.Flatten(), layers.Dense(2)])
    model.build((None, 4, 4, 3))
    if not before:
        assert [each.tolist() for each in layer.get_weights()] == [[0] * 3, [1] * 3]
        layer.adapt(DATA)
    assert [each.tolist() for each in model.get_weights()[:2]] == [MEAN, VARIANCE]
    assert len(model.trainable_weights) == 2
    model.compile("sgd", "mse")
    model.fit(DATA, np.zeros((4, 2)), verbose=0)
    assert [each.tolist() for each in layer.get_weights()] == [MEAN, VARIANCE]


def test_files_and_copies_hold_what_it_measured(tmp_path: pathlib.Path) -> None:
    model = Sequential([layers.Input((4, 4, 3)), adapted(), layers.Conv2D(2, 3)])
    wanted = model.predict(DATA, verbose=0)
    model.save(tmp_path / "model.safetensors")
    for again in (fastcnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model)):
        assert np.array_equal(again.predict(DATA, verbose=0), wanted)


def test_numbers_that_are_given_are_no_weights(tmp_path: pathlib.Path) -> None:
    known = layers.Normalization(mean=MEAN, variance=VARIANCE)
    model = Sequential([layers.Input((4, 4, 3)), known, layers.Conv2D(2, 3)])
    assert [each.shape for each in model.get_weights()] == [(3, 3, 3, 2), (2,)]
    assert known.get_weights() == []
    assert model.count_params() == 56
    assert np.array_equal(known(DATA), adapted()(DATA))
    model.compile("sgd", "mse")
    model.fit(DATA, np.zeros((4, 2, 2, 2)), verbose=0)
    assert np.array_equal(known(DATA), adapted()(DATA))
    model.set_weights(model.get_weights())
    with pytest.raises(ArgumentError, match="set_weights: 4 arrays came, wanted 2"):
        model.set_weights([np.zeros(3), np.zeros(3), *model.get_weights()])
    wanted = model.predict(DATA, verbose=0)
    model.save(tmp_path / "model.safetensors")
    model.save_weights(tmp_path / "weights.safetensors")
    again = fastcnn.load_model(tmp_path / "model.safetensors")
    fresh = models.clone_model(again)
    fresh.load_weights(tmp_path / "weights.safetensors")
    for each in (again, fresh):
        assert np.array_equal(each.predict(DATA, verbose=0), wanted)


@pytest.mark.parametrize(("mean", "variance"), [(2.0, 16.0), ([2.0, 4.0], [16.0, 0.25])])
def test_inverted_it_gives_back_what_it_took(mean: Any, variance: Any) -> None:
    x = np.array([[2.0, 6.0], [-2.0, 8.0]])
    there = layers.Normalization(mean=mean, variance=variance)
    back = layers.Normalization(mean=mean, variance=variance, invert=True)
    assert np.array_equal(back(there(x)), x)
    assert np.array_equal(there(x), ((x - mean) / np.sqrt(variance)).astype(np.float32))


def test_before_augmentation_it_does_not_hide_that_it_augments() -> None:
    augment = Sequential([adapted(), layers.RandomFlip("horizontal")])
    seen = {augment(DATA).tobytes() for _ in range(20)}
    assert len(seen) > 1


def adapted_where_it_stands(channels: int) -> None:
    model = Sequential([layers.Normalization()])
    model.build((None, channels))
    model.layers[0].adapt(DATA)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: layers.Normalization(axis=(1, 2)), ArgumentError, "axis: .* wanted one axis, or None"),
    (lambda: layers.Normalization("last"), DTypeError, "axis"),
    (lambda: layers.Normalization(mean=1.0), ArgumentError, "variance: None came"),
    (lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]), ShapeError, "variance"),
    (lambda: layers.Normalization(mean=[[1.0]], variance=[[1.0]]), ShapeError, "mean: shape"),
    (lambda: layers.Normalization(None, [1.0], [1.0]), ShapeError, "wanted a number"),
    (lambda: layers.Normalization(mean=0.0, variance=-1.0), ArgumentError, "variance: -1.0 came"),
    (lambda: layers.Normalization(mean=np.nan, variance=1.0), ArgumentError, "mean: nan came"),
    (lambda: layers.Normalization(mean="a", variance=1.0), DTypeError, "mean: 'a' came"),
    (lambda: layers.Normalization(invert=1), DTypeError, "invert"),
    (
        lambda: layers.Normalization(mean=MEAN, variance=MEAN)(DATA[..., :2]),
        ShapeError,
        "3 numbers came, .* 2",
    ),
    (lambda: layers.Normalization(mean=0, variance=1).adapt(DATA), ArgumentError, "adapt: mean and variance"),
    (lambda: layers.Normalization(invert=True).adapt(DATA), ArgumentError, "adapt: the layer inverts"),
    (lambda: adapted([]), ArgumentError, "adapt: no data came"),
    (lambda: adapted(DATA[:0]), ArgumentError, "adapt: no data came"),
    (lambda: adapted([DATA, DATA[..., :2]]), ShapeError, "adapt: 2 channels came after 3"),
    (lambda: adapted([DATA, DATA[0]]), ShapeError, "adapt: 3 axes came after batches of 4"),
    (lambda: adapted(np.zeros(3)), DTypeError, "the batch first"),
    (lambda: adapted(np.array([["a"]])), DTypeError, "wanted numbers"),
    (lambda: adapted(DATA, axis=0), ArgumentError, "axis is 0"),
    (lambda: adapted(DATA, axis=4), ArgumentError, "axis is 4, the data has 4 axes"),
    (lambda: adapted(np.full((2, 2), np.inf)), ArgumentError, "not finite"),
    (lambda: adapted(3), DTypeError, "wanted an array or batches"),
    (lambda: adapted_where_it_stands(2), ShapeError, "data of 3 channels came, the layer has 2"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

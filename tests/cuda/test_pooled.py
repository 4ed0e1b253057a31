# SPDX-License-Identifier: Apache-2.0
"""Convolutions of few channels on a GPU and the pools that join them: in whole numbers the bits of a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device import cupy
from networks import nobody_touches_the_memory

import fastcnn
from fastcnn import layers
from fastcnn.testing.compare import assert_same_bits

__all__ = ["cupy", "nobody_touches_the_memory"]

BATCH, CLASSES = 5, 3


def conv(filters: int, size: Any = 3, **options: Any) -> Any:
    return lambda: layers.Conv2D(filters, size, **{"activation": "relu", **options})


def pool(size: Any = 2, strides: Any = None) -> Any:
    return lambda: layers.MaxPooling2D(size, strides)


# The shape of an image, the layers, how many steps are a convolution with its pool: forwards, and backwards.
NETWORKS: dict[str, tuple[tuple[int, ...], list[Any], int, int]] = {
    "lenet": ((12, 12, 1), [conv(6, 5, padding="same"), pool(), conv(7, 3), pool()], 2, 2),
    "pools of three": ((12, 12, 2), [conv(5, padding="same"), pool(3)], 1, 1),
    "no activation": ((10, 8, 3), [conv(4, activation=None), pool()], 1, 1),
    "no bias": ((10, 8, 7), [conv(32, 1, use_bias=False), pool()], 1, 1),
    "strides": ((17, 19, 2), [conv(3, strides=(2, 3)), pool(), conv(2, 1)], 1, 1),
    "dilated": ((12, 14, 2), [conv(9, (3, 2), dilation_rate=(2, 1), padding="same"), pool()], 1, 1),
    "windows overlap": ((11, 12, 2), [conv(3, 2), pool(3, 2), conv(2, 2)], 0, 1),
    "gaps": ((12, 12, 1), [conv(3), pool(2, 3)], 0, 1),
    "several tiles": ((28, 36, 1), [conv(6, 1), pool(), conv(16, 5), pool()], 2, 2),
    "tiles of a row": ((20, 90, 3), [conv(32), pool()], 1, 1),
    "rows left over": ((9, 10, 2), [conv(2), conv(3, 2), pool(3)], 1, 1),
    "the border cuts": ((8, 9, 2), [conv(3, 2), lambda: layers.MaxPooling2D(3, 2, padding="same")], 0, 0),
    "many channels": ((8, 8, 8), [conv(4), pool()], 0, 0),
    "many filters": ((8, 8, 2), [conv(33), pool()], 0, 0),
}


def whole(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-2, 3, shape).astype(np.float32)


def squares(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[float, np.ndarray]:
    """Whose gradient is whole."""
    return float(np.sum((y_pred - y_true) ** 2)), y_pred - y_true


def made(name: str, device: str, rng: np.random.Generator) -> Any:
    shape, parts, _, _ = NETWORKS[name]
    model = fastcnn.Sequential(
        [fastcnn.Input(shape), *(part() for part in parts), layers.Flatten(), layers.Dense(CLASSES)]
    )
    model.compile(fastcnn.optimizers.SGD(1.0), squares, device=device)
    model.set_weights([whole(rng, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_have_the_bits_of_the_cpus(name: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(7)
        model = made(name, device, rng)
        x, y = whole(rng, (BATCH, *NETWORKS[name][0])), whole(rng, (BATCH, CLASSES))
        found.append([model.predict(x, verbose=0), *model.gradients(x, y)])
        if device == "cuda":
            text = model._bind().native.describe("train", BATCH)
            forwards, backwards = NETWORKS[name][2:]
            assert text.count("+ pool") == forwards
            assert text.count("conv2d_wgrad_pooled_narrow") == backwards
    for there, here in zip(*found, strict=True):
        assert np.abs(here).max() < 2**24  # whole numbers up to here are floats
        assert np.any(here)
        assert_same_bits(there, here, name)


def test_the_first_of_equal_values_counts_and_nan_wins() -> None:
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 0, 3], x[0, 2, 0] = np.nan, -1
    found = []
    for device in ("cpu", "cuda"):
        model = fastcnn.Sequential([fastcnn.Input((4, 4, 1)), layers.Conv2D(1, 1), layers.MaxPooling2D(2)])
        model.compile("sgd", squares, device=device)
        model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
        model.predict(x, verbose=0)
        found.append([model.predict(x, verbose=0), *model.gradients(x, np.ones((1, 2, 2, 1), np.float32))])
    assert np.isnan(found[1][0][0, 0, 1, 0])
    for there, here in zip(*found, strict=True):
        assert np.array_equal(there, here, equal_nan=True)

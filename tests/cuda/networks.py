# SPDX-License-Identifier: Apache-2.0
"""Small networks, with what they are trained on, for tests of a whole training step on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from device import cupy

import fastcnn
from fastcnn import layers

SIDE, CLASSES = 8, 4
BATCH_BYTES = 20_000  # room for a few batches of lenet, not for 400 samples


def is_emulated() -> bool:
    return hasattr(cupy, "emulated")


def counts() -> dict[str, int]:
    """What the emulated GPU has done so far; nothing of a real one."""
    return cupy.emulated.counts() if is_emulated() else {}


def since(before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in counts().items()}


@pytest.fixture(autouse=True)
def nobody_touches_the_memory() -> Iterator[None]:
    """The emulated GPU's memory is out of the host's reach: to touch it ends the process."""
    if is_emulated():
        cupy.emulated.guard(True)
    yield
    if is_emulated():
        cupy.emulated.guard(False)


def lenet(rate: float = 0.25) -> fastcnn.Sequential:
    fastcnn.utils.set_random_seed(3)
    return fastcnn.Sequential(
        [
            fastcnn.Input((SIDE, SIDE, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(rate),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def residual() -> Any:
    fastcnn.utils.set_random_seed(5)
    x = fastcnn.Input((SIDE, SIDE, 1))
    y = layers.Rescaling(1 / 255)(x)
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(y))
    y = layers.ReLU()(y)
    z = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(y))
    z = layers.ReLU()(layers.Add()([y, z]))
    z = layers.GlobalAveragePooling2D()(z)
    return fastcnn.Model(x, layers.Dense(CLASSES, activation="softmax")(z))


NETWORKS = {"lenet": lenet, "residual": residual}


def data(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images whose class is where they are bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    images = rng.integers(0, 64, (count, SIDE, SIDE, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[SIDE // 2 * (label // 2) :, SIDE // 2 * (label % 2) :] += 96
    return images, labels

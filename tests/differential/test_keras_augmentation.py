# SPDX-License-Identifier: Apache-2.0
"""Augmentation beside Keras, where what is drawn is one thing alone, in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_keras import (
    IMAGES,
    close,
    keras,
)

import fastcnn

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]


FILL_MODES = ("constant", "nearest", "reflect", "wrap")

# What is drawn from an interval of one number is no surprise.
AUGMENTATIONS: list[Callable[[Any], Any]] = [
    *(
        make
        for fill in FILL_MODES
        for how in ("nearest", "bilinear")
        for make in (
            lambda k, fill=fill, how=how: k.layers.RandomTranslation(
                (0.25, 0.25), (-0.4, -0.4), fill_mode=fill, interpolation=how, fill_value=2.0
            ),
            lambda k, fill=fill, how=how: k.layers.RandomRotation(
                (0.07, 0.07), fill_mode=fill, interpolation=how, fill_value=2.0
            ),
            lambda k, fill=fill, how=how: k.layers.RandomZoom(
                (-0.3, -0.3), (0.7, 0.7), fill_mode=fill, interpolation=how, fill_value=2.0
            ),
        )
    ),
    lambda k: k.layers.RandomRotation((-0.25, -0.25)),
    lambda k: k.layers.RandomZoom((0.2, 0.2)),
    lambda k: k.layers.RandomCrop(12, 12),
    lambda k: k.layers.CenterCrop(5, 8),
    lambda k: k.layers.CenterCrop(5, 15),
    *(lambda k, size=size: k.layers.Resizing(*size) for size in ((6, 24), (7, 17), (1, 5), (12, 12))),
    *(
        lambda k, size=size: k.layers.Resizing(*size, "nearest")
        for size in ((6, 24), (7, 17), (1, 5), (31, 9))
    ),
    lambda k: k.layers.Resizing(9, 20, crop_to_aspect_ratio=True),
    lambda k: k.layers.RandomBrightness((0.25, 0.25), (-1, 1)),
    lambda k: k.layers.RandomContrast((-0.5, 0.5), (-1, 1)),
    lambda k: k.layers.RandomErasing((1, 1), (1, 1), fill_value=-3, value_range=(-1, 1)),
]


@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
@pytest.mark.parametrize("number", range(len(AUGMENTATIONS)))
def test_augmentation(number: int, form: str) -> None:
    """Keras computes points in float32: off by some 1e-6 of a pixel, and values by that times their slope."""
    theirs, ours = (
        type(layer).from_config({**layer.get_config(), "data_format": form})
        for layer in (AUGMENTATIONS[number](keras), AUGMENTATIONS[number](fastcnn))
    )
    x = IMAGES[:4] if form == "channels_last" else IMAGES[:4].transpose(0, 3, 1, 2)
    close(ours(x), theirs(x, training=True), 1e-5)
    config = theirs.get_config()
    for key, value in ours.get_config().items():
        if key not in ("name", "seed") and "factor" not in key and key != "scale":
            assert value == (list(config[key]) if isinstance(config[key], tuple) else config[key]), key

# SPDX-License-Identifier: Apache-2.0
"""Pictures and folders of pictures beside Keras: the same pixels, the same files in the same order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")
image = pytest.importorskip("PIL.Image")

from fastcnn import utils  # noqa: E402
from fastcnn.utils.resizing import crop, pad, resize  # noqa: E402

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]

PIXELS = np.random.default_rng(5).integers(0, 256, (23, 37, 3)).astype(np.uint8)
SIZES = [(11, 50), (64, 64), (5, 7), (23, 37), (46, 18)]
ROUNDINGS = 255 * 2.0**-17  # Keras computes the weights in float32


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"])
def test_resize(size: tuple[int, int], interpolation: str) -> None:
    wanted = keras.ops.image.resize(PIXELS.astype(np.float32), size, interpolation=interpolation)
    assert np.abs(resize(PIXELS, size, interpolation) - np.asarray(wanted)).max() <= ROUNDINGS


@pytest.mark.parametrize("size", SIZES)
def test_proportions(size: tuple[int, int]) -> None:
    x = PIXELS.astype(np.float32)
    cut = keras.preprocessing.image.smart_resize(x, size)
    padded = keras.ops.image.resize(x, size, pad_to_aspect_ratio=True)
    for got, wanted in ((crop(PIXELS, size), cut), (pad(PIXELS, size), padded)):
        assert np.abs(resize(got, size, "bilinear") - np.asarray(wanted)).max() <= ROUNDINGS


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("labels", ["inferred", None])
def test_files(tmp_path: Path, shuffle: bool, labels: str | None) -> None:
    index = pytest.importorskip("keras.src.utils.dataset_utils").index_directory
    for name in ("b/1.png", "b/x/2.JPG", "b/x.png", "a/3.gif", "a/notes.txt", "c-/4.bmp", "c/5.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(PIXELS).save(path) if path.suffix != ".txt" else path.touch()
    formats = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
    files, classes, names = index(str(tmp_path), labels, formats, shuffle=shuffle, seed=7, verbose=False)
    found = utils.image_dataset_from_directory(tmp_path, labels, shuffle=shuffle, seed=7, verbose=False)
    assert found.file_paths == [os.path.normpath(each) for each in files]
    assert found.class_names == names
    if labels:
        np.testing.assert_array_equal(found.labels, classes)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"color_mode": "grayscale", "target_size": (9, 20)},
        {"color_mode": "rgba", "target_size": (9, 20), "interpolation": "lanczos", "keep_aspect_ratio": True},
    ],
)
def test_load_img(tmp_path: Path, arguments: dict[str, Any]) -> None:
    image.fromarray(PIXELS).save(tmp_path / "a.png")
    ours, theirs = (k.utils.img_to_array(k.utils.load_img(tmp_path / "a.png", **arguments)) for k in both())
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
def test_array_to_img(channels: int, scale: bool) -> None:
    x = np.random.default_rng(channels).uniform(-90, 400, (5, 6, channels))
    x = x if scale else np.abs(x) % 256
    ours, theirs = (np.asarray(k.utils.array_to_img(x, scale=scale)) for k in both())
    np.testing.assert_array_equal(ours, theirs)


def both() -> tuple[Any, Any]:
    import fastcnn

    return fastcnn, keras

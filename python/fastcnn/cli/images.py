# SPDX-License-Identifier: Apache-2.0
"""What a saved model is given: test images, pictures, arrays in .npy or IDX files, in the model's shape."""

from __future__ import annotations

import json
import math
import tokenize
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from fastcnn import io
from fastcnn.cli.data import look_for
from fastcnn.cli.networks import one_of_each
from fastcnn.datasets import idx
from fastcnn.errors import FormatError, ShapeError
from fastcnn.models.base import BaseModel

Array = npt.NDArray[Any]


def load_model(path: str) -> BaseModel:
    """The model of a file, or of a folder that ``fastcnn train`` wrote."""
    model = io.load_model(_file(path))
    one_of_each(model, path)
    return model


def notes(path: str) -> dict[str, Any]:
    """What ``fastcnn train`` noted beside a model; nothing for a model from elsewhere."""
    try:
        found = json.loads((_file(path).parent / "metrics.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def noted_names(path: str, classes: int) -> list[str] | None:
    """The names of the classes, if they are noted beside the model."""
    noted = notes(path).get("class_names")
    if isinstance(noted, list) and len(noted) == classes and all(isinstance(each, str) for each in noted):
        return noted
    return None


def _file(path: str) -> Path:
    return Path(path, "model.safetensors") if Path(path).is_dir() else Path(path)


def reshape(images: Array, model: BaseModel, source: str) -> Array:
    """``images`` [N, ...] with the rank that the model wants; the sizes must agree already."""
    wanted = input_shape(model)
    if math.prod(images.shape[1:]) != math.prod(wanted):
        raise ShapeError(f"{source} has images of shape {images.shape[1:]}, the model wants {wanted}")
    return images.reshape(-1, *wanted)


def input_shape(model: BaseModel) -> tuple[int, ...]:
    """Of one image."""
    return cast("tuple[int, ...]", model.input_shape[1:])  # only the batch is None


def read(path: str, model: BaseModel, invert: bool) -> Array:
    """All images of a file, [N, *input_shape]."""
    with open(path, "rb") as file:
        head = file.read(6)
    if head == b"\x93NUMPY":
        return _stack(_read_npy(path), model, path)
    if head[:2] in (b"\0\0", b"\x1f\x8b"):  # IDX, or gzip
        return _stack(idx.load(path), model, path)
    return reshape(_read_picture(path, model, invert)[None], model, path)


def _stack(array: Array, model: BaseModel, path: str) -> Array:
    """One image, if that is what the array holds, or several."""
    one = array.size == math.prod(input_shape(model))
    return reshape(array[None] if one else array, model, path)


def _read_npy(path: str) -> Array:
    try:
        # Mapped: the size that the header declares is compared with the file's before anything is allocated.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise FormatError(path, 0, f".npy file: {error}") from error


def _read_picture(path: str, model: BaseModel, invert: bool) -> Array:
    pixels = look_for(input_shape(model)).read(path)
    return 255 - pixels if invert else pixels

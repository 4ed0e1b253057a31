# SPDX-License-Identifier: Apache-2.0
"""What a saved model is given: test images, pictures, arrays in .npy or IDX files, in the model's shape."""

from __future__ import annotations

import math
import tokenize
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from fastcnn import io
from fastcnn.cli.options import Failure
from fastcnn.datasets import idx
from fastcnn.errors import FormatError, ShapeError
from fastcnn.models.base import BaseModel

Array = npt.NDArray[Any]


def load_model(path: str) -> BaseModel:
    """The model of a file, or of a folder that ``fastcnn train`` wrote."""
    model = io.load_model(Path(path, "model.safetensors") if Path(path).is_dir() else path)
    ends = len(model.input_names), len(model.output_names)
    if ends != (1, 1):
        raise Failure(f"{path}: the model has {ends[0]} inputs and {ends[1]} outputs, wanted one of each")
    return model


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
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(f"{path}: reading pictures needs Pillow: pip install pillow") from error

    height, width, channels = _geometry(input_shape(model))
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
    return 255 - pixels if invert else pixels


def _geometry(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of an image for an input of rank 1 (a flattened square), 2 or 3."""
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side * side == shape[0]:
        return side, side, 1
    height, width, channels = (*shape, 1)[:3] if len(shape) in (2, 3) else (0, 0, 0)
    if channels not in (1, 3):
        raise Failure(f"the model's input {shape} is no picture; give it an array (.npy)")
    return height, width, channels

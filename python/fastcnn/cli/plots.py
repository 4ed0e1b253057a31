# SPDX-License-Identifier: Apache-2.0
"""``--plots DIR``: pictures of confusion matrices and feature maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastcnn import Model, visualize
from fastcnn._arguments import Array
from fastcnn.cli.options import Failure
from fastcnn.models.base import BaseModel

_MAPPED = re.compile("Conv|Pool|Add")  # kinds of layers that are drawn


def draw_matrix(folder: Path, matrix: Any, class_names: Sequence[str]) -> None:
    """The confusion matrix, as confusion_matrix.png."""
    folder.mkdir(parents=True, exist_ok=True)
    visualize.confusion_matrix(matrix, folder / "confusion_matrix.png", class_names)


def draw_features(folder: Path, model: BaseModel, x: Array, names: Sequence[str]) -> int:
    """What each layer makes of each image x [N, H, W, C], as NAME-LAYER.png; how many pictures it is."""
    folder.mkdir(parents=True, exist_ok=True)
    mapped = [
        layer
        for layer in model.layers
        if _MAPPED.search(type(layer).__name__) and _is_map(layer.output.shape)
    ]
    if not mapped:
        raise Failure("--plots: the model has no layer with feature maps [H, W, C]")
    outputs = Model(model.inputs, [layer.output for layer in mapped]).predict(x, verbose=0)
    for layer, maps in zip(mapped, outputs if len(mapped) > 1 else [outputs], strict=True):
        for name, each in zip(names, maps, strict=True):
            stem = re.sub(r"[^\w.-]+", "-", f"{name}-{layer.name}").strip("-.")
            visualize.feature_maps(each, folder / f"{stem}.png", title=f"{layer.name}: {tuple(each.shape)}")
    return len(mapped) * len(names)


def _is_map(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and shape[1:3] != (1, 1)

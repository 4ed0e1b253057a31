# SPDX-License-Identifier: Apache-2.0
"""Utilities for data and drawings."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, Input, Model, Sequential, ShapeError, layers, utils


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_normalize(axis: int, order: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((5, 4))
    x[:, 2] = 0
    x[3] = 0
    norms = np.linalg.norm(utils.normalize(x, axis, order), order, axis=axis)
    assert set(norms.round(9)) == {0.0, 1.0}
    np.testing.assert_array_equal(utils.normalize([[3, 4]]), [[0.6, 0.8]])


def test_split_dataset() -> None:
    x, y = np.arange(10), np.arange(10) * 2
    left, right = utils.split_dataset([x, y], left_size=0.7)
    assert [each.tolist() for each in left] == [list(range(7)), list(range(0, 14, 2))]
    assert right[0].tolist() == [7, 8, 9]
    left, right = utils.split_dataset(x, left_size=2, right_size=3)
    assert (left.tolist(), right.tolist()) == ([0, 1], [2, 3, 4])
    parts = [utils.split_dataset((x, y), right_size=0.5, shuffle=True, seed=1) for _ in range(2)]
    assert parts[0][0][0].tolist() == parts[1][0][0].tolist()
    assert sorted([*parts[0][0][0], *parts[0][1][0]]) == list(range(10))
    np.testing.assert_array_equal(parts[0][0][0] * 2, parts[0][0][1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: utils.normalize(["a"]), DTypeError, "normalize: x"),
        (lambda: utils.normalize([1.0], axis=1), ShapeError, "axis: 1"),
        (lambda: utils.normalize([1.0], order=0), ArgumentError, "order"),
        (lambda: utils.split_dataset(np.arange(4)), ArgumentError, "neither"),
        (lambda: utils.split_dataset(np.arange(4), 3, 2), ArgumentError, "3 and 2 of 4"),
        (lambda: utils.split_dataset(np.arange(4), 1.5), ArgumentError, "a share in"),
        (lambda: utils.split_dataset((np.arange(4), np.arange(3)), 1), ShapeError, "one length"),
        (lambda: utils.plot_model(3), DTypeError, "plot_model: model"),
        (lambda: utils.plot_model(Sequential([layers.Dense(1)])), ArgumentError, "shape is not known"),
        (lambda: utils.plot_model(graph(), rankdir="UP"), ArgumentError, "rankdir"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def graph() -> Model:
    x = Input((4, 4, 2), name="<in>")
    y = layers.Conv2D(2, 3, padding="same", activation="relu", name="a")(x)
    z = layers.Conv2D(2, 1, name="b", trainable=False)(x)
    inner = Sequential([Input((4, 4, 2)), layers.Flatten(), layers.Dense(2)], name="inner")
    return Model(x, inner(layers.Add(name="sum")([y, z])))


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_a_drawing(rankdir: str, tmp_path: Path) -> None:
    """Well-formed, one box a call, one arrow for all that is read; no box lies on another."""
    path = tmp_path / "m.svg"
    utils.plot_model(
        graph(), path, True, True, True, rankdir, show_layer_activations=True, show_trainable=True
    )
    root = xml.fromstring(path.read_text())
    space = "{http://www.w3.org/2000/svg}"
    boxes = [
        {key: float(each.get(key, "nan")) for key in ("x", "y", "width", "height")}
        for each in root.iter(f"{space}rect")
    ]
    assert len(boxes) == 5
    assert len([each for each in root.iter(f"{space}path") if each.get("marker-end")]) == 5
    texts = [each.text or "" for each in root.iter(f"{space}text")]
    for wanted in (
        "<in> (InputLayer)",
        "inner (Sequential)",
        "activation: relu",
        "does not train",
        "dtype: float32",
    ):
        assert wanted in texts
    assert "(None, 4, 4, 2), (None, 4, 4, 2) → (None, 4, 4, 2)" in texts
    left, top, width, height = map(float, re.split(" ", str(root.get("viewBox"))))
    for i, a in enumerate(boxes):
        assert left <= a["x"] <= left + width - a["width"]
        assert top <= a["y"] <= top + height - a["height"]
        for b in boxes[:i]:
            apart = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
            assert apart or a["y"] >= b["y"] + b["height"] or b["y"] >= a["y"] + a["height"]

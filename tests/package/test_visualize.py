# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices and the two pictures: right, refused when the input is wrong, without a display."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import fastcnn.math
from fastcnn import visualize
from fastcnn.errors import ArgumentError, DTypeError, ShapeError

HISTORY = {"loss": [0.3, 0.1, 0.05], "accuracy": [0.9, 0.95, 0.97], "val_loss": [0.2, 0.1, 0.1]}
MATRIX = [[9, 1, 0], [0, 10, 0], [2, 0, 8]]


def test_confusion_matrix_counts() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 7, (2, 500))
    matrix = fastcnn.math.confusion_matrix(labels, predictions)
    expected = [[np.sum((labels == i) & (predictions == j)) for j in range(7)] for i in range(7)]
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64"])
def test_confusion_matrix_takes_any_integers(dtype: str) -> None:
    matrix = fastcnn.math.confusion_matrix(labels=np.array([0, 200], dtype), predictions=[np.int64(0), 200])
    assert matrix.shape == (201, 201)
    assert matrix[200, 200] == 1


def test_confusion_matrix_num_classes() -> None:
    assert fastcnn.math.confusion_matrix([0, 1], [1, 1], num_classes=4).shape == (4, 4)
    np.testing.assert_array_equal(fastcnn.math.confusion_matrix([], [], num_classes=2), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("labels", "predictions", "num_classes", "error", "words"),
    [
        ([0, 1], [0], None, ShapeError, "2 labels for 1 predictions"),
        ([[0, 1]], [0, 1], None, ShapeError, r"labels of shape \(1, 2\)"),
        (0, 0, None, ShapeError, "labels of shape"),
        ([0.0, 1.0], [0, 1], None, DTypeError, "labels of dtype float64"),
        ([0, 1], [False, True], None, DTypeError, "predictions of dtype bool"),
        (["0"], [0], None, DTypeError, "labels of dtype"),
        ([0, -1], [0, 1], None, ArgumentError, "labels has -1"),
        ([0, 1], [0, 2**40], None, ArgumentError, "predictions has 1099511627776"),
        ([0, 3], [0, 1], 3, ArgumentError, "num_classes 3, wanted 4"),
        ([0], [0], 0, ArgumentError, "num_classes 0, wanted 1"),
        ([0], [0], -1, ArgumentError, "num_classes -1"),
        ([0], [0], 2**40, ArgumentError, "num_classes"),
        ([0], [0], 2.0, DTypeError, "num_classes 2.0"),
        ([0], [0], True, DTypeError, "num_classes True"),
        ([], [], None, ArgumentError, "no samples"),
    ],
)
def test_confusion_matrix_refuses(
    labels: Any, predictions: Any, num_classes: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"confusion_matrix: .*{words}"):
        fastcnn.math.confusion_matrix(labels, predictions, num_classes)


def test_learning_curves(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.png"
    figure = visualize.learning_curves(HISTORY, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [line.get_label() for line in accuracy.lines] == ["training"]
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), HISTORY["val_loss"])
    np.testing.assert_array_equal(loss.lines[0].get_xdata(), [1, 2, 3])


def test_learning_curves_of_what_fit_returns() -> None:
    pytest.importorskip("matplotlib")

    class History:
        history = HISTORY

    assert len(visualize.learning_curves(History()).axes) == 2


@pytest.mark.parametrize(
    ("history", "error", "words"),
    [
        ({}, ArgumentError, "no epoch"),
        ({"loss": []}, ArgumentError, "no epoch"),
        ({"loss": 3.0}, ShapeError, "'loss' is not one number per epoch"),
        ({"loss": ["a"]}, ShapeError, "'loss' is not one number per epoch"),
        ([1, 2], DTypeError, "a list"),
    ],
)
def test_learning_curves_refuses(history: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        visualize.learning_curves(history)


@pytest.mark.parametrize("normalize", [False, True])
def test_confusion_matrix_picture(tmp_path: pathlib.Path, normalize: bool) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "matrix.png"
    figure = visualize.confusion_matrix(MATRIX, path, ["cat", "dog", "elephant"], normalize=normalize)
    assert path.read_bytes().startswith(b"\x89PNG")
    texts = [text.get_text() for text in figure.axes[0].texts]
    counts = ["9", "1", "0", "0", "10", "0", "2", "0", "8"]
    percent = ["90", "10", "0", "0", "100", "0", "20", "0", "80"]
    assert texts == (percent if normalize else counts)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cat", "dog", "elephant"]
    assert figure.axes[0].get_title() == "27 of 30 right (90.00 %)"


def test_confusion_matrix_picture_of_many_and_of_empty_classes() -> None:
    pytest.importorskip("matplotlib")
    assert not visualize.confusion_matrix(np.eye(100, dtype=int)).axes[0].texts
    visualize.confusion_matrix(np.zeros((2, 2)), normalize=True)


@pytest.mark.parametrize(
    ("matrix", "names", "error"),
    [
        ([[1, 2]], None, ShapeError),
        ([1, 2], None, ShapeError),
        (np.zeros((0, 0)), None, ShapeError),
        (MATRIX, ["a"], ShapeError),
        ([["a"]], None, DTypeError),
        ([[-1]], None, ArgumentError),
        ([[float("nan")]], None, ArgumentError),
    ],
)
def test_confusion_matrix_picture_refuses(matrix: Any, names: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"visualize\.confusion_matrix: "):
        visualize.confusion_matrix(matrix, class_names=names)


def test_no_display_no_global_state_any_thread(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("matplotlib")
    threads = [
        threading.Thread(target=visualize.confusion_matrix, args=(MATRIX, tmp_path / f"{number}.png"))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(tmp_path / f"{number}.png").read_bytes() for number in range(4)}) == 1

    code = f"""
import os, sys
os.environ.pop("DISPLAY", None)
from fastcnn import visualize
visualize.learning_curves({HISTORY}, {str(tmp_path / "x.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (lambda: visualize.learning_curves(HISTORY), lambda: visualize.confusion_matrix(MATRIX)):
        with pytest.raises(ImportError, match=r"pip install fastcnn\[plot\]"):
            draw()


def test_importing_does_not_load_matplotlib() -> None:
    code = "import sys, fastcnn.visualize; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

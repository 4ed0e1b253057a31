# SPDX-License-Identifier: Apache-2.0
"""What fit, evaluate, predict, callbacks and summary print, beside Keras's: line by line, without numbers.

Times, values and the look of the bar may differ, and so may the order of the values in a line.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

import fastcnn  # noqa: E402

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]

X = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


def stack(k: Any) -> Any:
    return k.Sequential(
        [k.Input((8, 8, 1)), k.layers.Conv2D(4, 3), k.layers.Flatten(), k.layers.Dense(3, "softmax")]
    )


def compiled(k: Any) -> Any:
    model = stack(k)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def checked(k: Any) -> list[Any]:
    return [
        k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5, verbose=1),
        k.callbacks.ModelCheckpoint("best.keras", monitor="loss", save_best_only=True, verbose=1),
        k.callbacks.ModelCheckpoint("all.keras", verbose=1),
        k.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10, verbose=1),
        k.callbacks.EarlyStopping(monitor="loss", min_delta=10, restore_best_weights=True, verbose=1),
    ]


RUNS: dict[str, Callable[[Any, Any], Any]] = {
    "fit 1": lambda k, m: m.fit(X, Y, 8, epochs=2, verbose=1),
    "fit 2": lambda k, m: m.fit(X, Y, 8, epochs=3, verbose=2, validation_split=0.25),
    "fit on": lambda k, m: m.fit(X, Y, 8, epochs=5, initial_epoch=3, verbose=2, validation_freq=2),
    "fit with callbacks": lambda k, m: m.fit(X, Y, 8, epochs=3, verbose=2, callbacks=checked(k)),
    "fit by steps": lambda k, m: m.fit(((X, Y) for _ in range(6)), steps_per_epoch=3, epochs=2, verbose=2),
    "evaluate 1": lambda k, m: m.evaluate(X, Y, verbose=1),
    "evaluate 2": lambda k, m: m.evaluate(X, Y, 8, verbose=2),
    "predict 1": lambda k, m: m.predict(X, verbose=1),
    "predict 2": lambda k, m: m.predict(X, 8, verbose=2),
    "silent": lambda k, m: (m.fit(X, Y, verbose=0), m.evaluate(X, Y, verbose=0), m.predict(X, verbose=0)),
}


def structure(text: str) -> list[Any]:
    """Of each line its fixed words, and which values it holds."""
    found: list[Any] = []
    text = re.sub(r"\x1b\[\d*m", "", text)  # colours
    for line in text.split("\n"):
        last = re.split(r"[\b\r]+", line.rstrip("\b\r"))[-1].strip()  # what is painted over does not count
        values = re.match(r"(\d+/\d+)(.*?)\d+(?:s|ms|us)/step(.*)$", last)
        if values:
            bar = bool(re.search("[━=]", values[2]))
            found.append([values[1], bar, sorted(re.findall(r" - (\w+): -?[\d.]", values[3]))])
        else:
            found.append(re.sub(r"\d+\.\d+(e-\d+)?\.?|\d+e-\d+\.?", "#", last))
    return [each for each in found if each]


@pytest.mark.parametrize("run", RUNS)
def test_lines(
    run: str, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = []
    for k in (keras, fastcnn):
        RUNS[run](k, compiled(k))
        printed.append(structure(capsys.readouterr().out))
    assert printed[1] == printed[0]


def graph(k: Any) -> Any:
    x = k.Input((8, 8, 3), name="image")
    a, b = k.layers.Conv2D(4, 1, name="a")(x), k.layers.Conv2D(4, 1, name="b")(k.layers.ReLU(name="r")(x))
    y = k.layers.BatchNormalization(name="norm")(k.layers.add([a, b], name="sum"))
    return k.Model(x, k.layers.Dense(2, name="top")(k.layers.Flatten(name="flat")(y)), name="graph")


def nested(k: Any) -> Any:
    inner = k.Sequential([k.Input((8, 8, 1)), k.layers.Conv2D(2, 3, name="conv")], name="inner")
    inner.trainable = False
    return k.Sequential([inner, k.layers.Flatten(name="flat"), k.layers.Dense(3, name="top")], name="outer")


def table(text: str) -> tuple[list[list[str]], list[str]]:
    """Name and class, output shape and parameters of each layer; the lines below."""
    rows = [line.strip("│").split("│") for line in text.split("\n") if line.startswith("│")]
    cells = [[cell.strip(" └") for cell in row[:3]] for row in rows]
    totals = [line.strip() for line in text.split("\n") if " params: " in line]
    return cells, totals


def test_what_layers_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    printed = []
    for k in (keras, fastcnn):
        k.utils.clear_session()
        lines: list[str] = []
        graph(k).summary(line_length=180, print_fn=lines.append)
        rows = [line.strip("│").split("│") for line in "\n".join(lines).split("\n") if line.startswith("│")]
        printed.append({row[0].split()[0]: row[-1].strip() for row in rows})
    assert printed[1] == printed[0]


@pytest.mark.parametrize("make", [stack, graph, nested])
def test_summaries(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # Keras cuts what is wider than the terminal
    printed = []
    for k in (keras, fastcnn):
        k.utils.clear_session()
        model, lines = make(k), []
        if make is nested:
            model.build((None, 8, 8, 1))
        model.summary(line_length=160, expand_nested=True, print_fn=lines.append)
        printed.append(table("\n".join(lines)))
    assert printed[1] == printed[0]

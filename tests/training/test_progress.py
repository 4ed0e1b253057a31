# SPDX-License-Identifier: Apache-2.0
"""What fit, evaluate and predict print, to the character: on a terminal, into a file, when interrupted."""

from __future__ import annotations

import io
import math
import os
import re
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, layers
from fastcnn._training.progress import INTERVAL, Progress
from fastcnn.callbacks import Callback


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What a reader would see: carriage returns go back to the start of the line."""
        return [self._overwritten(line) for line in self.getvalue().split("\n")]

    @staticmethod
    def _overwritten(line: str) -> str:
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        return shown.rstrip()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that `Progress` reads."""
    now = [100.0]
    monkeypatch.setattr("fastcnn._training.progress.time.perf_counter", lambda: now[0])
    return now


def at(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, columns: int = 200) -> None:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))


def article(clock: list[float], verbose: int | str) -> None:
    """An epoch of the article, as three calls of the native session."""
    progress = Progress(verbose, "fit")
    progress.header(0, 5)
    progress.begin(1875)
    clock[0] += 0.16
    progress.update(32, {"loss": 2.31234, "accuracy": 0.1})
    clock[0] += 3.84
    progress.update(938, {"loss": 0.70006, "accuracy": 0.8})
    clock[0] += 4.0
    progress.update(1875, {"loss": 0.4632, "accuracy": 0.8785})
    progress.end({"loss": 0.4632, "accuracy": 0.8785})


FINAL = "1875/1875 [==============================] - 8s 4ms/step - loss: 0.4632 - accuracy: 0.8785"


@pytest.mark.parametrize("verbose", ["auto", 1, True])
def test_into_a_file_one_line_an_epoch(
    verbose: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    at(stream, monkeypatch)
    article(clock, verbose)
    assert stream.getvalue() == f"Epoch 1/5\n{FINAL}\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_verbose_2_has_no_bar(terminal: bool, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal() if terminal else io.StringIO()
    at(stream, monkeypatch)
    article(clock, 2)
    assert stream.getvalue() == "Epoch 1/5\n1875/1875 - 8s - 4ms/step - loss: 0.4632 - accuracy: 0.8785\n"


@pytest.mark.parametrize("verbose", [0, False])
def test_verbose_0_is_silent(verbose: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    at(stream, monkeypatch)
    article(clock, verbose)
    assert stream.getvalue() == ""


def test_live_on_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    at(stream, monkeypatch)
    article(clock, "auto")
    assert stream.getvalue() == (
        "Epoch 1/5\n"
        "\r  32/1875 [..............................] - ETA: 9s - loss: 2.3123 - accuracy: 0.1000"
        "\r 938/1875 [==============>...............] - ETA: 3s - loss: 0.7001 - accuracy: 0.8000"
        f"\r{FINAL}\n"
    )
    assert stream.screen() == ["Epoch 1/5", FINAL, ""]


def test_a_shorter_line_covers_a_longer_one(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    at(stream, monkeypatch)
    progress = Progress(1, "evaluate")
    progress.begin(2)
    clock[0] += 4000
    progress.update(1, {"loss": 1234567.0})
    progress.end({"loss": 1.0})
    assert stream.screen() == ["2/2 [==============================] - 4000s 2000s/step - loss: 1.0000", ""]
    assert "ETA: 1:06:40" in stream.getvalue()


def test_a_live_line_never_wraps(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    at(stream, monkeypatch, columns=40)
    article(clock, 1)
    live = stream.getvalue().split("\n")[1].split("\r")[1:-1]
    assert [len(line) for line in live] == [39, 39]


def test_painting_is_throttled(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    at(stream, monkeypatch)
    progress = Progress(1, "fit")
    progress.begin(1000)
    for done in range(1, 1000):
        clock[0] += 0.001
        progress.update(done, {})
    progress.end({})
    assert stream.getvalue().count("\r") == pytest.approx(1 / INTERVAL, abs=2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4632, "0.4632"),
        (12.5, "12.5000"),
        (0.0005, "5.0000e-04"),
        (0.0, "0.0000e+00"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_written_as_keras_does(
    value: float, text: str, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    at(stream, monkeypatch)
    progress = Progress(2, "fit")
    progress.begin(1)
    clock[0] += 0.0005
    progress.end({"loss": value})
    assert stream.getvalue() == f"1/1 - 0s - 500us/step - loss: {text}\n"


def model() -> Sequential:
    made = Sequential([layers.Dense(2, "softmax", input_shape=(3,))])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


X, Y = np.zeros((100, 3)), np.arange(100) % 2

TIMES = r"- \d+s \d+[mu]?s/step"
BAR = r"\[={30}\]"
VALUE = r"\d\.\d{4}(e-\d\d)?"


def test_fit_evaluate_and_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    at(stream, monkeypatch)
    network = model()
    network.fit(X, Y, epochs=2, validation_split=0.2)
    network.evaluate(X, Y, batch_size=50)
    network.predict(X)
    epoch = (
        f"3/3 {BAR} {TIMES} - loss: {VALUE} - accuracy: {VALUE} - val_loss: {VALUE} - val_accuracy: {VALUE}\n"
    )
    tested = f"2/2 {BAR} {TIMES} - loss: {VALUE} - accuracy: {VALUE}\n"
    predicted = f"4/4 {BAR} {TIMES}\n"
    pattern = f"Epoch 1/2\n{epoch}Epoch 2/2\n{epoch}{tested}{predicted}"
    assert re.fullmatch(pattern, stream.getvalue()), stream.getvalue()


def test_an_interrupted_line_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupt(Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            if batch == 2:
                raise KeyboardInterrupt

    stream = Terminal()
    at(stream, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model().fit(X, Y, callbacks=[Interrupt()])
    assert stream.screen()[0] == "Epoch 1/1"
    assert stream.screen()[1].startswith("1/4 [======>")
    assert stream.screen()[2:] == [""]

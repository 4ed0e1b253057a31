# SPDX-License-Identifier: Apache-2.0
"""Callbacks: when they stop, save, restore and write, and what they print."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, Input, Sequential, callbacks, layers, utils
from fastcnn.callbacks import Callback
from fastcnn.optimizers import SGD, Adam

Logs = dict[str, Any] | None


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


def line(rate: float = 0.1, **settings: Any) -> Sequential:
    """``y = w x`` from w = 0."""
    model = Sequential([layers.Dense(1, use_bias=False, kernel_initializer="zeros", input_shape=(1,))])
    model.compile(SGD(rate, **settings), "mse")
    return model


def classifier() -> Sequential:
    model = Sequential(
        [Input((6,)), layers.Dense(8, "relu"), layers.Dropout(0.3), layers.Dense(3, "softmax")]
    )
    model.compile(
        Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy", "sparse_top_k_categorical_accuracy"],
    )
    return model


def clusters(count: int = 70) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((count, 6)), rng.integers(0, 3, count)


class Feign(Callback):
    """Puts values of its own into the logs, one an epoch."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert logs is not None
        if not math.isnan(self.values[epoch]):
            logs[self.name] = self.values[epoch]


def epochs(values: list[float], name: str, *watchers: Callback, model: Sequential | None = None) -> Any:
    model = model or line()
    return model.fit(
        [[1.0]], [[1.0]], epochs=len(values), verbose=0, callbacks=[Feign(name, values), *watchers]
    )


def same_bits(left: Sequential, right: Sequential) -> bool:
    a, b = left.get_state(), right.get_state()
    return a.keys() == b.keys() and all(a[key].tobytes() == b[key].tobytes() for key in a)


# EarlyStopping


@pytest.mark.parametrize(
    ("values", "arguments", "ran"),
    [
        ([3, 2, 2, 1, 1], {}, 3),
        ([3, 2, 2, 1, 1], {"patience": 1}, 3),
        ([3, 2, 2, 1, 1, 1], {"patience": 2}, 6),
        ([3, 2.5, 2.2, 2.1], {"min_delta": 0.4}, 3),
        ([3, 2.5, 2.2, 2.1], {"min_delta": -0.4}, 3),
        ([1, 2, 2, 2], {"mode": "max"}, 3),
        ([9, 8, 7, 6], {"baseline": 5, "patience": 3}, 4),
        ([9, 8, 4, 3, 3], {"baseline": 5, "patience": 3}, 5),
        ([3, 3, 3, 3, 3], {"start_from_epoch": 3}, 5),
        ([3, math.nan, 3, 1], {}, 3),
    ],
)
@pytest.mark.filterwarnings("ignore:Early stopping conditioned")
def test_early_stopping(values: list[float], arguments: dict[str, Any], ran: int) -> None:
    stop = callbacks.EarlyStopping(monitor="watched", **arguments)
    assert len(epochs(values, "watched", stop).epoch) == ran
    assert stop.stopped_epoch == (ran - 1 if ran < len(values) or stop.model.stop_training else 0)


def test_early_stopping_follows_the_metric() -> None:
    """Without a mode accuracies rise and losses fall; a metric of a name of its own says which it is."""
    up = callbacks.EarlyStopping(monitor="val_accuracy")
    assert len(epochs([0.5, 0.6, 0.7], "val_accuracy", up).epoch) == 3
    model = line()
    model.compile("sgd", "mse", metrics=[fastcnn.metrics.R2Score(name="fit")])
    assert (
        len(epochs([0.5, 0.6, 0.7], "val_fit", callbacks.EarlyStopping(monitor="val_fit"), model=model).epoch)
        == 3
    )


@pytest.mark.parametrize("stops", [True, False])
def test_the_best_weights_come_back(stops: bool, capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[list[Any]] = []

    class Keep(Callback):
        def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
            kept.append(self.model.get_weights())

    model = line()
    stop = callbacks.EarlyStopping(
        "watched", patience=2 if stops else 9, restore_best_weights=True, verbose=1
    )
    epochs([3, 1, 2, 2, 2], "watched", Keep(), stop, model=model)
    assert len(kept) == (4 if stops else 5)
    assert model.get_weights()[0] == kept[1][0]
    printed = "Restoring model weights from the end of the best epoch: 2.\n"
    assert capsys.readouterr().out == ("Epoch 4: early stopping\n" if stops else "") + printed


def test_an_entry_that_is_missing_is_told_of() -> None:
    for callback, opening in (
        (callbacks.EarlyStopping("val_loss"), "Early stopping"),
        (callbacks.ReduceLROnPlateau("val_loss"), "Learning rate reduction"),
    ):
        with pytest.warns(UserWarning, match=f"{opening}.*`val_loss` which is not available.*: loss"):
            line().fit([[1.0]], [[1.0]], verbose=0, callbacks=[callback])


# Learning rates


@pytest.mark.parametrize(
    ("values", "arguments", "rates"),
    [
        ([3, 3, 3, 3], {"patience": 1}, [1, 1, 0.5, 0.25]),
        ([3, 2, 1, 1], {"patience": 1}, [1, 1, 1, 1]),
        ([3, 3, 3, 3, 3], {"patience": 1, "cooldown": 2}, [1, 1, 0.5, 0.5, 0.25]),
        ([3, 3, 3, 3, 3], {"patience": 1, "cooldown": 1}, [1, 1, 0.5, 0.25, 0.125]),
        ([3, 3, 3, 3], {"patience": 1, "min_lr": 0.4}, [1, 1, 0.5, 0.4]),
        ([3, 2.99, 2.98], {"patience": 1, "min_delta": 0.1}, [1, 1, 0.5]),
        ([1, 2, 2, 2], {"patience": 1, "mode": "max"}, [1, 1, 1, 0.5]),
    ],
)
def test_reduce_on_plateau(values: list[float], arguments: dict[str, Any], rates: list[float]) -> None:
    reduce = callbacks.ReduceLROnPlateau("watched", factor=0.5, **arguments)
    assert epochs(values, "watched", reduce, model=line(1.0)).history["learning_rate"] == rates


def test_scheduler_and_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    model = line(1.0)
    schedule = callbacks.LearningRateScheduler(lambda epoch: 1.0 / (epoch + 1), verbose=1)
    reduce = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9, verbose=1)
    history = model.fit([[0.0]], [[0.0]], epochs=2, verbose=0, callbacks=[schedule, reduce]).history
    assert history["learning_rate"] == [1.0, 0.5]
    assert capsys.readouterr().out == (
        "\nEpoch 1: LearningRateScheduler setting learning rate to 1.0.\n"
        "\nEpoch 2: LearningRateScheduler setting learning rate to 0.5.\n"
        "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.25.\n"
    )


def test_the_line_shows_the_learning_rate(capsys: pytest.CaptureFixture[str]) -> None:
    line(0.5).fit([[0.0]], [[0.0]], verbose=2, callbacks=[callbacks.ReduceLROnPlateau("loss")])
    assert capsys.readouterr().out.endswith(" - loss: 0.0000e+00 - learning_rate: 0.5000\n")


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    x, y = clusters()
    model = classifier()
    for append in (False, True):
        log = callbacks.CSVLogger(path, separator=";", append=append)
        history = model.fit(
            x, y, epochs=2, verbose=0, validation_split=0.2, validation_freq=2, callbacks=[log]
        )
    rows = list(csv.reader(path.read_text().splitlines(), delimiter=";"))
    keys = ["accuracy", "loss", "sparse_top_k_categorical_accuracy"]
    assert rows[0] == ["epoch", *keys, *(f"val_{key}" for key in keys)]
    assert [row[0] for row in rows[1:]] == ["0", "1", "0", "1"]
    assert rows[3][4:] == ["NA"] * 3
    assert [float(row[2]) for row in rows[3:]] == history.history["loss"]
    assert [float(rows[4][5])] == history.history["val_loss"]


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    epochs([1.5, math.inf], "watched", callbacks.JSONLogger(path))
    epochs([2.5], "watched", callbacks.JSONLogger(path, append=True))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["epoch"], row["watched"]) for row in rows] == [(0, 1.5), (1, None), (0, 2.5)]


# Others


def test_terminate_on_nan(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.array([[1.0], [np.nan], [1.0]])
    model = line()
    model.fit(
        x, [1, 1, 1], batch_size=1, epochs=3, shuffle=False, verbose=0, callbacks=[callbacks.TerminateOnNaN()]
    )
    assert model.get_state()["step"] == 2
    assert capsys.readouterr().out == "Batch 1: Invalid loss, terminating training\n"


def test_functions_as_hooks() -> None:
    calls: list[Any] = []
    made = callbacks.LambdaCallback(
        on_train_begin=lambda logs=None: calls.append("begin"),
        on_train_batch_end=lambda batch, logs: calls.append(batch),
        on_test_end=lambda logs: calls.append("tested"),
    )
    line().fit([[1.0], [2.0]], [1, 1], batch_size=1, verbose=0, validation_split=0.5, callbacks=[made])
    assert calls == ["begin", 0, "tested"]
    for wrong in ({"on_nothing": print}, {"on_epoch_end": 3}, {"set_model": print}):
        with pytest.raises(DTypeError, match="LambdaCallback"):
            callbacks.LambdaCallback(**wrong)


def test_other_names_of_batch_hooks() -> None:
    class Count(Callback):
        batches = 0

        def on_batch_end(self, batch: int, logs: Logs = None) -> None:
            self.batches += 1

    count = Count()
    line().fit(np.ones((7, 1)), np.ones(7), batch_size=2, verbose=0, callbacks=[count])
    assert count.batches == 4


def test_a_history_of_one_s_own_is_the_one_that_is_returned() -> None:
    mine = callbacks.History()
    model = line()
    assert model.fit([[1.0]], [[1.0]], epochs=2, verbose=0, callbacks=[mine]) is mine is model.history
    model.fit([[1.0]], [[1.0]], verbose=0, callbacks=[mine])
    assert mine.epoch == [0]
    assert len(mine.history["loss"]) == 3


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_averages_are_evaluated(swap_on_epoch: bool, tmp_path: Path) -> None:
    """w and its average after each epoch of one step, by hand: w = 0, 1, 1.5, 1.75; first average w."""
    seen: list[float] = []

    class Look(Callback):
        def _look(self) -> None:
            seen.append(float(self.model.get_weights()[0].item()))

        def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
            self._look()

        def on_test_begin(self, logs: Logs = None) -> None:
            self._look()

        def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
            self._look()

    model = line(0.25, use_ema=True, ema_momentum=0.5)
    swap = callbacks.SwapEMAWeights(swap_on_epoch)
    data: Any = ([[1.0]], [[2.0]])
    history = model.fit(*data, epochs=3, verbose=0, validation_data=data, callbacks=[swap, Look()]).history
    averages, weights = [1.0, 1.25, 1.5], [0.0, 1.0, 1.5, 1.75]
    expected: list[float] = []
    for epoch in range(3):
        ended = averages[epoch] if swap_on_epoch else weights[epoch + 1]
        expected += [weights[epoch], averages[epoch], ended]
    assert seen == expected
    assert history["val_loss"] == [(2 - average) ** 2 for average in averages]
    assert model.get_weights()[0].item() == averages[-1]  # fit ends with the averages
    with pytest.raises(ArgumentError, match="use_ema=True"):
        line().fit(*data, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: callbacks.EarlyStopping(mode="least"),
            ArgumentError,
            "EarlyStopping: mode: unknown 'least'",
        ),
        (lambda: callbacks.EarlyStopping(patience=1.5), DTypeError, "EarlyStopping: patience"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), ArgumentError, "ReduceLROnPlateau: factor"),
        (lambda: callbacks.ModelCheckpoint("x", save_freq=0), ArgumentError, "ModelCheckpoint: save_freq"),
        (lambda: callbacks.ModelCheckpoint("x", save_freq="never"), DTypeError, "ModelCheckpoint: save_freq"),
        (lambda: callbacks.BackupAndRestore(""), ArgumentError, "backup_dir"),
        (lambda: callbacks.LearningRateScheduler(0.1), DTypeError, "schedule"),
        (lambda: callbacks.SwapEMAWeights(1), DTypeError, "swap_on_epoch"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

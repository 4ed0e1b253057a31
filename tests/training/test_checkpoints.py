# SPDX-License-Identifier: Apache-2.0
"""Callbacks that write models: checkpoints, and backups from which a killed run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_callbacks import Logs, classifier, clusters, epochs, line, same_bits

import fastcnn
from fastcnn import ArgumentError, FormatError, callbacks, utils
from fastcnn.callbacks import Callback


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


def test_checkpoints_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "deep" / "m-{epoch:02d}-{watched:.1f}.keras")
    model = line()
    epochs([3, 2], "watched", callbacks.ModelCheckpoint(path, verbose=1), model=model)
    names = ["m-01-3.0.keras", "m-02-2.0.keras"]
    assert sorted(each.name for each in (tmp_path / "deep").iterdir()) == names
    assert same_bits(fastcnn.load_model(tmp_path / "deep" / names[1]), model)
    assert capsys.readouterr().out.startswith("\nEpoch 1: saving model to ")


def test_only_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[float] = []
    path = tmp_path / "best.weights.h5"

    class Look(Callback):
        def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
            other = line()
            other.load_weights(path)
            seen.append(float(other.get_weights()[0].item()))

    save = callbacks.ModelCheckpoint(path, "watched", 1, save_best_only=True, save_weights_only=True)
    epochs([3, 4, 1], "watched", save, Look())
    assert seen[0] == seen[1] != seen[2]
    assert capsys.readouterr().out == (
        f"\nEpoch 1: watched improved from None to 3.00000, saving model to {path}\n"
        f"\nEpoch 1: finished saving model to {path}\n"
        "\nEpoch 2: watched did not improve from 3.00000\n"
        f"\nEpoch 3: watched improved from 3.00000 to 1.00000, saving model to {path}\n"
        f"\nEpoch 3: finished saving model to {path}\n"
    )
    threshold = callbacks.ModelCheckpoint(
        tmp_path / "no", "watched", save_best_only=True, initial_value_threshold=0
    )
    epochs([3], "watched", threshold)
    assert not (tmp_path / "no").exists()


def test_checkpoints_by_batch(tmp_path: Path) -> None:
    save = callbacks.ModelCheckpoint(str(tmp_path / "{epoch}-{batch}"), save_freq=2)
    line().fit(np.ones((5, 1)), np.ones(5), batch_size=1, epochs=2, verbose=0, callbacks=[save])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1-2", "1-4", "2-1", "2-3", "2-5"]


def test_a_checkpoint_of_a_name_that_logs_lack(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"filepath.*'val_loss', the logs hold loss"):
        line().fit(
            [[1.0]], [[1.0]], verbose=0, callbacks=[callbacks.ModelCheckpoint(str(tmp_path / "{val_loss}"))]
        )


class Killed(Exception):
    """The process would have ended here."""


class KillAt(Callback):
    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("kill_at", [1, 5, 9, 10, 14])
@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.filterwarnings("ignore:the data ran out")
def test_a_killed_run_resumes_to_the_same_bits(
    tmp_path: Path, save_freq: Any, kill_at: int, steps: int | None
) -> None:
    """Five batches an epoch, or two: weights, optimizer, orders and logs are those of the run as a whole."""
    x, y = clusters()
    arguments: dict[str, Any] = {"batch_size": 16, "epochs": 8 if steps else 3, "verbose": 0}
    if steps:
        arguments["steps_per_epoch"] = steps
    else:
        arguments["validation_data"] = (x[:9], y[:9])
    straight = classifier()
    whole = straight.fit(x, y, **arguments).history
    utils.clear_session()
    utils.set_random_seed(1)
    first = classifier()
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)
    with pytest.raises(Killed):
        first.fit(x, y, **arguments, callbacks=[backup, KillAt(kill_at)])
    utils.clear_session()
    saved = (tmp_path / "backup").exists()
    utils.set_random_seed(77 if saved else 1)
    second = classifier()
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)
    history = second.fit(x, y, **arguments, callbacks=[backup])
    assert same_bits(second, straight)
    for key, values in history.history.items():
        assert values == whole[key][-len(values) :], key
    assert not list((tmp_path / "backup").iterdir())


def test_a_backup_that_is_none(tmp_path: Path) -> None:
    line().save(tmp_path / "latest.safetensors")
    with pytest.raises(FormatError, match="not a backup"):
        line().fit([[1.0]], [[1.0]], verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])


def test_two_backups(tmp_path: Path) -> None:
    keep = callbacks.BackupAndRestore(tmp_path, double_checkpoint=True, delete_checkpoint=False)
    model = line()
    model.fit([[1.0]], [[1.0]], epochs=3, verbose=0, callbacks=[keep])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["latest.safetensors", "previous.safetensors"]
    again = line()
    assert again.fit([[1.0]], [[1.0]], epochs=5, verbose=0, callbacks=[keep]).epoch == [3, 4]

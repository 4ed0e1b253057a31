# SPDX-License-Identifier: Apache-2.0
"""A fit that is killed goes on, in another process, to the bits of one that was not."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

# Shuffled batches, dropout, moments, a schedule and moving statistics: whatever a run draws or keeps is among
# them. The data that each batch saw is written down too.
PROGRAM = """
import os, signal, sys
import numpy as np
import fastcnn
from fastcnn import callbacks, layers, optimizers

folder, freq, victim = sys.argv[1], sys.argv[2], int(sys.argv[3])
fastcnn.utils.set_random_seed(5)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((50, 8, 8, 1)).astype(np.float32), rng.integers(0, 3, 50)
model = fastcnn.Sequential([
    layers.Input((8, 8, 1)),
    layers.Conv2D(4, 3, activation="relu"),
    layers.BatchNormalization(),
    layers.Dropout(0.3),
    layers.Flatten(),
    layers.Dense(3, activation="softmax"),
])
rate = optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
model.compile(optimizers.Adam(rate, use_ema=True), "sparse_categorical_crossentropy", metrics=["accuracy"])

class Kill(callbacks.Callback):
    batches = 0
    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == victim:
            os.kill(os.getpid(), signal.SIGKILL)

backup = callbacks.BackupAndRestore(os.path.join(folder, "backup"), int(freq) if freq.isdigit() else freq)
log = callbacks.CSVLogger(os.path.join(folder, "log.csv"), append=True)
history = model.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=[backup, log, Kill()],
                    validation_data=(x[:20], y[:20]))
state = {**model.get_state(), **{f"last/{key}": values[-1] for key, values in history.history.items()}}
arrays = {key.replace("/", "|"): value for key, value in state.items()}
np.savez(os.path.join(folder, "end.npz"), **arrays)
assert not os.path.exists(os.path.join(folder, "backup", "latest.safetensors"))
"""


def train(folder: pathlib.Path, freq: str, victim: int = 0) -> int:
    command = [sys.executable, "-c", PROGRAM, str(folder), freq, str(victim)]
    return subprocess.run(command, timeout=240, check=False).returncode


def end_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(folder / "end.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("freq", "victims"),
    [
        pytest.param("epoch", [10], id="each epoch"),
        pytest.param("1", [12], id="each batch"),
        pytest.param("1", [3, 12], id="each batch, twice", marks=pytest.mark.full),
        pytest.param("3", [5, 1, 7], id="each third batch, three times", marks=pytest.mark.full),
    ],
)
def test_killed_and_resumed(tmp_path: pathlib.Path, freq: str, victims: list[int]) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert train(whole, freq) == 0
    for victim in victims:
        assert train(broken, freq, victim) == -signal.SIGKILL
    assert train(broken, freq) == 0
    wanted, got = end_of(whole), end_of(broken)
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(got[key], value, key)
    epochs = [line.split(",")[0] for line in (broken / "log.csv").read_text().splitlines()[1:]]
    assert sorted(set(epochs)) == ["0", "1", "2", "3"]

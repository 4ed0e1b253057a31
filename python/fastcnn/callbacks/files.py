# SPDX-License-Identifier: Apache-2.0
"""Callbacks that write models: checkpoints, and backups from which an interrupted `fit` goes on."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any

import numpy as np

from fastcnn._arguments import flag, integer, real
from fastcnn.callbacks.base import Callback, Logs
from fastcnn.callbacks.watching import mode_named, more_is_better
from fastcnn.errors import ArgumentError, FormatError


def _frequency(save_freq: object, where: str) -> int | None:
    """Batches, or None for each epoch."""
    return None if save_freq == "epoch" else integer(save_freq, f"{where}: save_freq", least=1)


class ModelCheckpoint(Callback):
    """Save the model, or its weights alone, after each epoch or every so many batches.

    Parameters
    ----------
    filepath
        The file; ``"model-{epoch:02d}-{val_loss:.3f}.safetensors"`` names the epoch, counted from 1, and the
        entries of the logs. Folders are made. Whatever its name, it is a safetensors file.
    monitor
        The entry of the logs that says which is best.
    verbose
        1: say so.
    save_best_only
        Whether to save only what is better than all before.
    save_weights_only
        Whether to write by `save_weights` instead of `save`.
    mode
        "min", "max", or "auto": by the metric.
    save_freq
        "epoch", or a number of batches.
    initial_value_threshold
        What the first value must be better than.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastcnn
    >>> from fastcnn import callbacks, layers
    >>> model = fastcnn.Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> save = callbacks.ModelCheckpoint(os.path.join(folder, "{epoch}.safetensors"))
    >>> history = model.fit([[1.0]], [[2.0]], epochs=2, verbose=0, callbacks=[save])
    >>> sorted(os.listdir(folder))
    ['1.safetensors', '2.safetensors']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        where = "ModelCheckpoint"
        self.filepath, self.monitor, self.verbose = os.fspath(filepath), str(monitor), verbose
        self.save_best_only = flag(save_best_only, f"{where}: save_best_only")
        self.save_weights_only = flag(save_weights_only, f"{where}: save_weights_only")
        self.mode = mode_named(mode, where)
        self.save_freq = _frequency(save_freq, where)
        threshold = initial_value_threshold
        self.best = None if threshold is None else real(threshold, f"{where}: initial_value_threshold")
        self._epoch = self._waiting = 0
        if self.save_freq is not None:
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if it is time."""
        if self.save_freq is None:
            self._save(logs or {}, None)

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._waiting += 1
        if self.save_freq is not None and self._waiting >= self.save_freq:
            self._waiting = 0
            self._save(logs or {}, batch)

    def _save(self, logs: Logs, batch: int | None) -> None:
        path = self._path(logs, batch)
        if not self._wanted(logs, path):
            return
        if folder := os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        self._say(f"\nEpoch {self._epoch + 1}: finished saving model to {path}")

    def _path(self, logs: Logs, batch: int | None) -> str:
        numbers = {"epoch": self._epoch + 1} | ({} if batch is None else {"batch": batch + 1})
        try:
            return self.filepath.format(**numbers, **{key: logs[key] for key in logs if key not in numbers})
        except KeyError as error:
            raise ArgumentError(
                f"ModelCheckpoint: filepath: {self.filepath!r} names {error}, the logs hold {', '.join(logs)}"
            ) from None

    def _wanted(self, logs: Logs, path: str) -> bool:
        opening = f"\nEpoch {self._epoch + 1}: "
        if not self.save_best_only:
            self._say(f"{opening}saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Can save best model only with {self.monitor} available, found {', '.join(logs)}",
                UserWarning,
                stacklevel=4,
            )
            return True
        rises = more_is_better(self, self.monitor, self.mode)
        best = self.best if self.best is not None else -np.inf if rises else np.inf
        before = "None" if self.best is None else f"{best:.5f}"
        if not (current > best if rises else current < best):
            self._say(f"{opening}{self.monitor} did not improve from {before}")
            return False
        self._say(f"{opening}{self.monitor} improved from {before} to {current:.5f}, saving model to {path}")
        self.best = current
        return True

    def _say(self, text: str) -> None:
        if self.verbose > 0:
            print(text)


class BackupAndRestore(Callback):
    """Keep a backup of `fit`, from which the same call goes on after an interruption, to the same bits.

    Weights, optimizer, random numbers, the order of the samples and the sums of the epoch's logs are
    restored. Other callbacks begin anew, and a generator gives whatever it gives next.

    Parameters
    ----------
    backup_dir
        The folder of the backup.
    save_freq
        "epoch", or a number of batches.
    double_checkpoint
        Whether to keep the backup before the latest as well.
    delete_checkpoint
        Whether to remove it when `fit` ends well.

    Examples
    --------
    >>> import tempfile
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> backup = callbacks.BackupAndRestore(tempfile.mkdtemp())
    >>> model.fit([[1.0]], [[2.0]], epochs=3, verbose=0, callbacks=[backup]).epoch
    [0, 1, 2]
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        where = "BackupAndRestore"
        if not os.fspath(backup_dir):
            raise ArgumentError(f"{where}: backup_dir: an empty name came")
        self._folder = os.fspath(backup_dir)
        self._latest = os.path.join(self._folder, "latest.safetensors")
        self._previous = os.path.join(self._folder, "previous.safetensors")
        self.save_freq = _frequency(save_freq, where)
        self.double_checkpoint = flag(double_checkpoint, f"{where}: double_checkpoint")
        self.delete_checkpoint = flag(delete_checkpoint, f"{where}: delete_checkpoint")
        self._waiting = 0
        if self.save_freq is not None:
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Go on from a backup, if there is one."""
        from fastcnn.io import read_safetensors

        if not os.path.exists(self._latest):
            return
        tensors, metadata = read_safetensors(self._latest)
        parts: dict[str, dict[str, Any]] = {"state": {}, "place": {}, "sums": {}}
        for name, value in tensors.items():
            kind, _, key = name.partition("/")
            if metadata.get("fastcnn.backup") != "1" or kind not in parts:
                raise FormatError(self._latest, 8, "not a backup of fit")
            parts[kind][key] = value
        self.model.set_state(self._renamed(parts["state"], metadata))
        self.model._go_on({key: int(value) for key, value in parts["place"].items()}, parts["sums"])

    def _names(self) -> list[str]:
        return [parameter["name"] for parameter in self.model._bind().native.parameters]

    def _renamed(self, state: dict[str, Any], metadata: dict[str, str]) -> dict[str, Any]:
        """As this model calls its parameters: layers made again in one process have other names."""
        import json

        names = dict(zip(json.loads(metadata["fastcnn.parameters"]), self._names(), strict=False))
        renamed = {}
        for key, value in state.items():
            begin, _, rest = key.partition("/")
            if begin == "optimizer":
                slot, _, rest = rest.partition("/")
                begin = f"{begin}/{slot}"
            renamed[f"{begin}/{names.get(rest, rest)}" if rest else key] = value
        return renamed

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the backup."""
        if self.save_freq is None:
            self._write()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Remove the backup: there is nothing to go on with."""
        if self.delete_checkpoint:
            for path in (self._latest, self._previous):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._waiting += 1
        if self.save_freq is not None and self._waiting >= self.save_freq:
            self._waiting = 0
            self._write()

    def _write(self) -> None:
        import json  # only now, as the other module below: both are slow imports

        from fastcnn.io import write_safetensors

        os.makedirs(self._folder, exist_ok=True)
        place, sums = self.model._where_fit_is()
        tensors = {
            **{f"state/{key}": value for key, value in self.model.get_state().items()},
            **{f"place/{key}": np.array(value, np.int64) for key, value in place.items()},
            **{f"sums/{key}": value for key, value in sums.items()},
        }
        if self.double_checkpoint and os.path.exists(self._latest):
            os.replace(self._latest, self._previous)
        names = json.dumps(self._names())
        write_safetensors(self._latest, tensors, {"fastcnn.backup": "1", "fastcnn.parameters": names})

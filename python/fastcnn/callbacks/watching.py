# SPDX-License-Identifier: Apache-2.0
"""Callbacks that look at one entry of the logs: stopping early, lowering the learning rate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn._arguments import choose, flag, integer, real
from fastcnn.callbacks.base import Callback, Logs
from fastcnn.errors import ArgumentError, DTypeError

_MODES = {each: each for each in ("auto", "min", "max")}
_RISING = ("acc", "accuracy", "auc", "precision", "recall", "f1_score", "iou", "io_u", "r2_score")


def mode_named(mode: object, where: str) -> str:
    """ "auto", "min" or "max"."""
    return choose(mode, _MODES, f"{where}: mode")


def more_is_better(callback: Callback, monitor: str, mode: str) -> bool:
    """What "auto" means: what the metric of that name says of itself, else what the name says."""
    if mode != "auto":
        return mode == "max"
    name = monitor.removeprefix("val_")
    settings = callback.model._settings
    for key, metric in settings._named_metrics() if settings is not None else ():
        if key == name and metric.direction is not None:
            return metric.direction == "up"
    return name.startswith("fmeasure") or name.endswith(_RISING)


def watched(monitor: str, logs: Logs | None, what: str) -> Any:
    """The entry, or None and a warning."""
    value = (logs or {}).get(monitor)
    if value is None:
        found = ", ".join(logs or {})
        warnings.warn(
            f"{what} conditioned on metric `{monitor}` which is not available. "
            f"Available metrics are: {found}",
            UserWarning,
            stacklevel=3,
        )
    return value


class EarlyStopping(Callback):
    """End `fit` when an entry of the logs has not become better for some epochs.

    Parameters
    ----------
    monitor
        The entry.
    min_delta
        By how much it must be better to count.
    patience
        After how many epochs without a better value to stop.
    verbose
        1: say so.
    mode
        "min", "max", or "auto": by the metric.
    baseline
        Values no better than this count as not better.
    restore_best_weights
        Whether the model ends with the weights of its best epoch.
    start_from_epoch
        Epochs before this one, counted from 0, are not looked at.

    Attributes
    ----------
    stopped_epoch
        The epoch that was the last, counted from 0; 0 if it was not stopped.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> stop = callbacks.EarlyStopping(monitor="loss", patience=2, min_delta=1e9)
    >>> model.fit([[1.0]], [[2.0]], epochs=10, verbose=0, callbacks=[stop]).epoch
    [0, 1, 2]
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        where = "EarlyStopping"
        self.monitor, self.verbose = str(monitor), verbose
        self.min_delta = abs(real(min_delta, f"{where}: min_delta"))
        self.patience = integer(patience, f"{where}: patience", least=0)
        self.mode = mode_named(mode, where)
        self.baseline = None if baseline is None else real(baseline, f"{where}: baseline")
        self.restore_best_weights = flag(restore_best_weights, f"{where}: restore_best_weights")
        self.start_from_epoch = integer(start_from_epoch, f"{where}: start_from_epoch", least=0)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best: Any = None
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = None, None
        self._rises = more_is_better(self, self.monitor, self.mode)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare."""
        current = watched(self.monitor, logs, "Early stopping")
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)  # in case that no epoch is better than any
        self.wait += 1
        if self._better(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or self._better(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Put the best weights back, if that was asked for."""
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def _remember(self, epoch: int) -> None:
        self.best_weights, self.best_epoch = self.model.get_weights(), epoch

    def _better(self, current: Any, reference: Any) -> bool:
        if reference is None:
            return True
        return bool(
            current - self.min_delta > reference if self._rises else current + self.min_delta < reference
        )


class TerminateOnNaN(Callback):
    """End `fit` when the loss is no finite number.

    Parameters
    ----------
    raise_error
        True: by a RuntimeError.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> end = callbacks.TerminateOnNaN()
    >>> history = model.fit([[float("nan")]], [[2.0]], epochs=10, verbose=0, callbacks=[end])
    Batch 0: Invalid loss, terminating training
    >>> history.epoch
    [0]
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = flag(raise_error, "TerminateOnNaN: raise_error")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}. Terminating training.")
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by a factor when an entry of the logs has not become better for some epochs.

    Parameters
    ----------
    monitor
        The entry.
    factor
        Below 1.
    patience
        After how many epochs without a better value.
    verbose
        1: say so.
    mode
        "min", "max", or "auto": by the metric.
    min_delta
        By how much it must be better to count.
    cooldown
        Epochs to wait after a reduction.
    min_lr
        The learning rate never falls below it.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers, optimizers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile(optimizers.SGD(0.5), "mse")
    >>> slower = callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=1e9)
    >>> model.fit([[0.0]], [[0.0]], epochs=3, verbose=0, callbacks=[slower]).history["learning_rate"]
    [0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        where = "ReduceLROnPlateau"
        self.monitor, self.verbose = str(monitor), verbose
        self.factor = real(factor, f"{where}: factor", least=0, below=1)
        self.patience = integer(patience, f"{where}: patience", least=0)
        self.mode = mode_named(mode, where)
        self.min_delta = real(min_delta, f"{where}: min_delta")
        self.cooldown = integer(cooldown, f"{where}: cooldown", least=0)
        self.min_lr = real(min_lr, f"{where}: min_lr", least=0)
        self.wait = self.cooldown_counter = 0
        self.best: float = math.inf

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        self._rises = more_is_better(self, self.monitor, self.mode)
        self.best = -math.inf if self._rises else math.inf
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and write the learning rate into the logs."""
        rate = float(self.model.optimizer.learning_rate)
        if logs is not None:
            logs["learning_rate"] = rate
        current = watched(self.monitor, logs, "Learning rate reduction is")
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        limit = self.best + self.min_delta if self._rises else self.best - self.min_delta
        if current > limit if self._rises else current < limit:
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and rate > np.float32(self.min_lr):
                self._reduce(epoch, rate)

    def _reduce(self, epoch: int, rate: float) -> None:
        self.model.optimizer.learning_rate = reduced = max(rate * self.factor, self.min_lr)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {reduced}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch.

    Parameters
    ----------
    schedule
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, the epoch counted from 0; returns the rate.
    verbose
        1: say it.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers, optimizers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile(optimizers.SGD(0.5), "mse")
    >>> halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch < 1 else rate / 2)
    >>> model.fit([[0.0]], [[0.0]], epochs=3, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise DTypeError(f"LearningRateScheduler: schedule: {schedule!r} came, wanted a function")
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Ask the schedule."""
        where = "LearningRateScheduler: schedule"
        if self.model.optimizer.schedule is not None:
            raise ArgumentError(
                f"{where}: came, but the optimizer has a schedule of its own, wanted one of them"
            )
        import inspect

        try:
            inspect.signature(self.schedule).bind(epoch, 0.0)
            both = True
        except (TypeError, ValueError):
            both = False
        rate = self.schedule(epoch, self.model.optimizer.learning_rate) if both else self.schedule(epoch)
        self.model.optimizer.learning_rate = real(rate, where, least=0)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the learning rate into the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

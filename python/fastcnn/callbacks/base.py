# SPDX-License-Identifier: Apache-2.0
"""Code that runs at set moments of `fit`, `evaluate` and `predict`; moments, names and logs are Keras's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastcnn._arguments import listed
from fastcnn.errors import DTypeError

if TYPE_CHECKING:
    from fastcnn.models.base import BaseModel

__all__ = ["Callback", "History"]

Logs: TypeAlias = dict[str, Any]


class Callback:
    """Base of all callbacks: override the hooks you need.

    ``logs`` holds the means so far, as in ``{"loss": 0.41, "accuracy": 0.89}``; in `on_epoch_end` also
    "val_loss" and "val_accuracy". What `on_epoch_end` adds to ``logs`` goes into the history. Setting
    ``self.model.stop_training`` ends `fit`. As long as no callback overrides a hook of a batch, many batches
    run in one native call.

    Attributes
    ----------
    model
        The model at work.
    params
        ``{"verbose", "epochs", "steps"}`` in `fit`, ``{"verbose", "steps"}`` elsewhere.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers
    >>> class Print(callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0], [2.0]], [[2.0], [4.0]], epochs=2, verbose=0, callbacks=[Print()])
    0 ['loss']
    1 ['loss']
    """

    model: BaseModel
    params: dict[str, Any]

    def set_model(self, model: BaseModel) -> None:
        """Called first, with the model."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called first, with the run's settings."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """`fit` begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """`fit` ends; not called after an exception."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch, counted from 0, begins."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch ends, its validation included."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A training batch begins."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A training batch ends."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """An evaluation or a validation begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """An evaluation or a validation ends."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of an evaluation begins."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of an evaluation ends."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """`predict` begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """`predict` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of a prediction begins."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of a prediction ends."""


class History(Callback):
    """What `fit` returns.

    Attributes
    ----------
    history
        One list an entry of the logs, one value an epoch.
    epoch
        The epochs that were finished.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [[2.0]], epochs=3, verbose=0)
    >>> history.epoch, len(history.history["loss"])
    ([0, 1, 2], 3)
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch and its logs."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class CallbackList:
    """Several callbacks called as one, in order. Internal to the training loop."""

    def __init__(self, callbacks: Iterable[Callback] | Callback | None) -> None:
        self._callbacks = _as_list(callbacks)

    def start(self, model: BaseModel, params: Mapping[str, Any]) -> None:
        """Tell each what runs."""
        for callback in self._callbacks:
            callback.set_params(dict(params))
            callback.set_model(model)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of each."""
        for callback in self._callbacks:
            getattr(callback, hook)(*arguments)

    def want_batches(self, phase: str) -> bool:
        """Whether a hook of a batch of "train", "test" or "predict" is overridden."""
        hooks = (f"on_{phase}_batch_begin", f"on_{phase}_batch_end")
        return any(_overrides(callback, hook) for callback in self._callbacks for hook in hooks)


def _as_list(callbacks: Iterable[Callback] | Callback | None) -> list[Callback]:
    if callbacks is None:
        return []
    found = [callbacks] if isinstance(callbacks, Callback) else listed(callbacks, "callbacks", "callbacks")
    for callback in found:
        if not isinstance(callback, Callback):
            raise DTypeError(f"callbacks: {callback!r} came, wanted objects of fastcnn.callbacks.Callback")
    return found


def _overrides(callback: Callback, hook: str) -> bool:
    method: Callable[..., Any] = getattr(callback, hook)
    return getattr(method, "__func__", None) is not getattr(Callback, hook)

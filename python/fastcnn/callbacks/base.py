# SPDX-License-Identifier: Apache-2.0
"""Code that runs at set moments of `fit`, `evaluate` and `predict`; moments, names and logs are Keras's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastcnn._arguments import listed
from fastcnn._training.progress import Progress
from fastcnn.errors import DTypeError

if TYPE_CHECKING:
    from fastcnn.models.base import BaseModel

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

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name for `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name for `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A training batch begins."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A training batch ends."""
        self.on_batch_end(batch, logs)

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
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew, but keep what another run left in ``history``."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch and its logs."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class ProgbarLogger(Callback):
    """Prints the progress line. `fit`, `evaluate` and `predict` have one of their own, unless this is given.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> line = callbacks.ProgbarLogger()
    >>> history = model.fit([[1.0]], [[2.0]], verbose=2, callbacks=[line])  # doctest: +ELLIPSIS
    Epoch 1/1
    1/1 - 0s - ...s/step - loss: 4.0000
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._fits = self._validates = False

    def use(self, progress: Progress) -> None:
        """Print by this; the training loop calls it."""
        self._progress = progress
        self._fits = self._validates = False

    def show(self, done: int, total: int | None, logs: Logs) -> None:
        """So many batches are done; called now and then."""
        if self._progress is not None and not (self._fits and self._validates):
            self._progress.update(done, logs)

    def close(self) -> None:
        """End a line that stands open."""
        if self._progress is not None:
            self._progress.close()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Lines are those of epochs from now on."""
        self._fits = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Print ``Epoch 1/5``."""
        if self._progress is not None:
            self._progress.header(epoch, self.params["epochs"])
            self._progress.begin(self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print the line's last state."""
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Begin a line, unless this is a validation."""
        self._validates = True
        self._begin()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Print the line's last state."""
        self._validates = False
        if not self._fits:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Begin a line."""
        self._begin()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Print the line's last state."""
        self._end(logs)

    def _begin(self) -> None:
        if self._progress is not None and not self._fits:
            self._progress.begin(self.params["steps"])

    def _end(self, logs: Logs | None) -> None:
        if self._progress is None:
            return
        given = dict(logs or {})
        names = self.model.metrics_names if given else []  # the line begins with the loss
        order = [name for name in (*names, *(f"val_{each}" for each in names)) if name in given]
        self._progress.end({name: given[name] for name in (*order, *given)})


class CallbackList:
    """Several callbacks called as one, in order: the user's, then the history, then the progress line.

    Internal to the training loop.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback] | Callback | None,
        verbose: int | str = 0,
        where: str = "fit",
        history: bool = False,
    ) -> None:
        progress = Progress(verbose, where)
        self.verbose = progress.verbose
        self._callbacks = _as_list(callbacks)
        histories = [each for each in self._callbacks if isinstance(each, History)]
        self.history = histories[0] if histories else History()
        if history and not histories:
            self._callbacks.append(self.history)
        lines = [each for each in self._callbacks if isinstance(each, ProgbarLogger)]
        self._line = lines[0] if lines else ProgbarLogger()
        self._line.use(progress)
        if not lines:
            self._callbacks.append(self._line)

    def start(self, model: BaseModel, params: Mapping[str, Any]) -> None:
        """Tell each what runs."""
        for callback in self._callbacks:
            callback.set_params(dict(params))
            callback.set_model(model)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of each, with no logs if none came."""
        numbered = "epoch" in hook or "batch" in hook
        given = arguments if len(arguments) > numbered else (*arguments, {})
        for callback in self._callbacks:
            getattr(callback, hook)(*given)

    def show(self, done: int, total: int | None, logs: Logs) -> None:
        """Let the progress line know."""
        self._line.show(done, total, logs)

    def close(self) -> None:
        """Whatever became of the work, no line stands open."""
        self._line.close()

    def want_batches(self, phase: str) -> bool:
        """Whether a hook of a batch of "train", "test" or "predict" is overridden."""
        hooks = [f"on_{phase}_batch_begin", f"on_{phase}_batch_end"]
        if phase == "train":
            hooks += ["on_batch_begin", "on_batch_end"]
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

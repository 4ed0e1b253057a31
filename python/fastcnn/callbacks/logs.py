# SPDX-License-Identifier: Apache-2.0
"""Callbacks that write logs down, and one made of functions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from fastcnn._arguments import flag
from fastcnn.callbacks.base import Callback, Logs
from fastcnn.errors import DTypeError


class CSVLogger(Callback):
    """Write one row an epoch: its number, counted from 0, and its logs.

    Parameters
    ----------
    filename
        The file.
    separator
        Between two columns.
    append
        Whether to go on with a file that exists, without another heading.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> history = model.fit([[1.0]], [[2.0]], verbose=0, callbacks=[callbacks.CSVLogger(path)])
    >>> path.read_text().split()
    ['epoch,loss,val_loss', '0,4.0,NA']
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.sep = os.fspath(filename), str(separator)
        self.append = flag(append, "CSVLogger: append")
        self._file: IO[str] | None = None
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file."""
        heading = True
        if self.append and os.path.exists(self.filename):
            heading = os.path.getsize(self.filename) == 0
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115
        self._heading, self._keys = heading, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row."""
        import csv  # only now: a slow import

        assert self._file is not None
        entries = dict(logs or {})
        writer = csv.writer(self._file, delimiter=self.sep)
        if self._keys is None:
            self._keys = sorted(entries)
            if not any(key.startswith("val_") for key in self._keys):
                self._keys += [f"val_{key}" for key in self._keys]  # a validation may come in a later epoch
            if self._heading:
                writer.writerow(["epoch", *self._keys])
        writer.writerow([epoch, *(_plain(entries.get(key, "NA")) for key in self._keys)])
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class JSONLogger(Callback):
    """Write one line an epoch, a JSON object of its number, counted from 0, and its logs.

    Parameters
    ----------
    filename
        The file, JSON lines. What is no finite number is null.
    append
        Whether to go on with a file that exists.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.jsonl")
    >>> history = model.fit([[1.0]], [[2.0]], verbose=0, callbacks=[callbacks.JSONLogger(path)])
    >>> path.read_text().split(chr(10))[0]
    '{"epoch": 0, "loss": 4.0}'
    """

    def __init__(self, filename: str | os.PathLike[str], append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.append = flag(append, "JSONLogger: append")
        self._file: IO[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file."""
        self._file = open(self.filename, "a" if self.append else "w", encoding="utf-8")  # noqa: SIM115

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line."""
        import json  # only now: a slow import

        assert self._file is not None
        entries = {key: _finite(_plain(value)) for key, value in (logs or {}).items()}
        self._file.write(json.dumps({"epoch": epoch, **entries}, allow_nan=False) + "\n")
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class LambdaCallback(Callback):
    """A callback made of functions, each in place of the hook of its name.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin, on_train_batch_end
        Take what the hook takes.
    **kwargs
        Any other hook.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers
    >>> model = Sequential([layers.Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> tell = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, *logs))
    >>> history = model.fit([[1.0]], [[2.0]], epochs=2, verbose=0, callbacks=[tell])
    0 loss
    1 loss
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise DTypeError(
                    f"LambdaCallback: {name!r} came, wanted the name of a hook, such as on_test_end"
                )
            if function is not None:
                if not callable(function):
                    raise DTypeError(f"LambdaCallback: {name}: {function!r} came, wanted a function")
                setattr(self, name, function)


def _plain(value: Any) -> Any:
    """Numbers and lists."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

# SPDX-License-Identifier: Apache-2.0
"""Data that comes batch by batch: generators, data sets with a length, loaders of other libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn._arguments import Array
from fastcnn._training.data import Data, Ports, arrays, pair_up
from fastcnn.errors import ArgumentError, DTypeError


def is_stream(value: object) -> bool:
    """Whether this yields batches, rather than being the samples themselves."""
    if value is None or isinstance(value, (str, bytes, list, tuple, range, Mapping, np.ndarray, np.generic)):
        return False
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__buffer__", "__dlpack__")):
        return False
    try:
        memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        indexed = hasattr(value, "__getitem__") and hasattr(value, "__len__")
        return hasattr(value, "__iter__") or hasattr(value, "__next__") or indexed
    return False


class Stream:
    """Batches ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

    An object with ``__getitem__`` and ``__len__`` is asked for its batches by number and told of the end of
    an epoch (``on_epoch_end``), as Keras's ``PyDataset`` is. Another is iterated: anew in each epoch, unless
    it is an iterator itself, which goes on where it was.
    """

    def __init__(self, source: Any, ports: Ports, where: str, labelled: bool) -> None:
        self._source, self._ports, self._where, self._labelled = source, ports, where, labelled
        self.indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self._endless = hasattr(source, "__next__")
        self._iterator: Iterator[Any] | None = None
        self._read_any = False

    @property
    def batches(self) -> int | None:
        """In an epoch, if that is known."""
        known = getattr(self._source, "num_batches", None)
        if known is None and hasattr(self._source, "__len__"):
            known = len(self._source)
        return None if known is None or callable(known) else int(known)

    def begin(self) -> None:
        """Start an epoch."""
        if not self._endless:
            self._iterator = None
        if self.indexed and hasattr(self._source, "on_epoch_begin"):
            self._source.on_epoch_begin()

    def next(self, number: int, order: Array | None) -> Data | None:
        """Batch ``number`` of the epoch, of those in this order; None if there is none."""
        if self.indexed:
            count = self.batches or 0
            batch = self._source[int(number if order is None else order[number])] if number < count else None
        else:
            if self._iterator is None:
                self._iterator = iter(self._source)
            batch = next(self._iterator, None)
        return None if batch is None else self._read(batch)

    def no_batch(self) -> ArgumentError:
        """What there is to say of an epoch without any."""
        if self._endless and self._read_any:
            return ArgumentError(
                f"{self._where}: x: the generator was read to its end before this epoch; wanted one that "
                "goes on, or an object that is iterated anew in each epoch, such as a PyDataset"
            )
        return ArgumentError(f"{self._where}: x: the data holds no batch, wanted at least one")

    def end(self) -> None:
        """An epoch is over."""
        if self.indexed and hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def _read(self, batch: Any) -> Data:
        self._read_any = True
        parts = list(batch) if isinstance(batch, (tuple, list)) else [batch]
        if not 1 <= len(parts) <= 3:
            raise ArgumentError(
                f"{self._where}: a batch of {len(parts)} came, wanted x, (x, y) or (x, y, sample_weight)"
            )
        if not self._labelled:
            return Data(arrays(parts[0], self._ports.x, f"{self._where}: x"))
        if len(parts) < 2:
            raise ArgumentError(f"{self._where}: a batch without targets came, wanted (x, y)")
        return pair_up(parts[0], parts[1], self._ports, self._where, parts[2] if len(parts) > 2 else None)


def no_arguments(where: str, **arguments: object) -> None:
    """What a stream brings itself must not come besides."""
    for name, value in arguments.items():
        if value is not None:
            raise ArgumentError(
                f"{where}: {name}: came together with data in batches, which hold it themselves"
            )


def due(epochs: int | Sequence[int], epoch: int, where: str) -> bool:
    """Whether a validation is due after this epoch, counted from 0."""
    if isinstance(epochs, (list, tuple, set, range)):
        return epoch + 1 in epochs
    if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)):
        raise DTypeError(f"{where}: {epochs!r} came, wanted a number or a list of epochs")
    if epochs < 1:
        raise ArgumentError(f"{where}: {epochs} came, wanted 1 or more")
    return (epoch + 1) % int(epochs) == 0

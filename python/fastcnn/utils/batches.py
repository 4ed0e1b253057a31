# SPDX-License-Identifier: Apache-2.0
"""The base of data sets that are asked for their batches by number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class PyDataset:
    """Batches by number, for `fit`, `evaluate` and `predict`: override ``__len__`` and ``__getitem__``.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        Without effect: batches are asked for one after the other, when they are needed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers, utils
    >>> class Lines(utils.PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         x = np.full((4, 1), float(index))
    ...         return x, 2 * x
    >>> model = Sequential([layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> model.fit(Lines(), epochs=2, verbose=0).epoch
    [0, 1]
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing = workers, use_multiprocessing
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        """How many batches there are."""
        raise NotImplementedError(f"{type(self).__name__}: __len__ is missing: the number of batches")

    def __getitem__(self, index: int) -> Any:
        """Batch ``index``: ``(x, y)`` or ``(x, y, sample_weight)``."""
        raise NotImplementedError(f"{type(self).__name__}: __getitem__ is missing: a batch by its number")

    def __iter__(self) -> Iterator[Any]:
        """All batches."""
        return (self[index] for index in range(len(self)))

    def on_epoch_begin(self) -> None:
        """An epoch begins."""

    def on_epoch_end(self) -> None:
        """An epoch is over."""


Sequence = PyDataset

# SPDX-License-Identifier: Apache-2.0
"""What an epoch consists of: pieces of one session over arrays, or a session for each batch of a stream."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fastcnn._arguments import Array
from fastcnn._training.data import Data
from fastcnn._training.streams import Stream
from fastcnn._training.tally import Piece

if TYPE_CHECKING:
    from fastcnn._training.runner import Place, Runner


class Feed(abc.ABC):
    """The batches of one epoch after the other.

    Parameters
    ----------
    steps
        Batches of an epoch; the next one goes on where this one ended. None: all of them, each epoch anew.
    shuffle
        Whether each pass over the data has a new order.
    """

    def __init__(self, runner: Runner, steps: int | None, shuffle: bool) -> None:
        self._runner, self._steps, self._shuffle = runner, steps, shuffle
        self._order: Array | None = None
        self._at: int | None = None  # the next batch of the pass; None before one

    @property
    @abc.abstractmethod
    def total(self) -> int | None:
        """Batches of an epoch, if that is known."""

    @abc.abstractmethod
    def epoch(self, place: Place | None = None, left_out: int = 0) -> Iterator[Piece]:
        """The pieces of the next epoch, without its first ``left_out`` batches; keeps ``place``."""

    @abc.abstractmethod
    def _orderable(self) -> int | None:
        """How many things an order arranges; None if nothing can be."""

    def resume(self, place: Place) -> None:
        """Go on in the pass that another run left."""
        self._at = place.position
        count = self._orderable()
        if place.permutation >= 0 and count is not None:
            self._order = self._runner._order(place.permutation, count)

    def _pass(self, place: Place | None) -> None:
        """Start a pass."""
        self._at = 0
        count = self._orderable()
        if self._shuffle and count is not None:
            self._order = self._runner._next_order(count)
        if place is not None:
            place.permutation = self._runner._permutations - 1 if self._order is not None else -1
            place.position = 0

    def _ran_out(self) -> None:
        warnings.warn(
            "the data ran out within an epoch, which ended early; it must hold at least steps_per_epoch * "
            "epochs batches, or validation_steps, or steps",
            UserWarning,
            stacklevel=4,
        )


class ArrayFeed(Feed):
    """Batches of arrays, by one session."""

    def __init__(self, runner: Runner, piece: Piece, steps: int | None = None, shuffle: bool = False) -> None:
        super().__init__(runner, steps, shuffle)
        self._piece = piece

    @property
    def total(self) -> int | None:
        """Batches of an epoch."""
        return self._steps or self._piece.end

    def _orderable(self) -> int | None:
        return self._piece.data.samples

    def epoch(self, place: Place | None = None, left_out: int = 0) -> Iterator[Piece]:
        """One piece, or as many as passes are begun."""
        batches = self._piece.end
        left = (self._steps or batches) - left_out
        if left_out and (not left or self._at is None or self._at >= batches):
            return  # it was over but for its end
        if self._at is None or self._at >= batches:
            self._pass(place)
        assert self._at is not None
        taken = min(left, batches - self._at)
        yield self._piece._replace(order=self._order, begin=self._at, end=self._at + taken)
        self._at += taken
        if taken < left:
            self._ran_out()


class StreamFeed(Feed):
    """Batches of a stream, by a session each.

    Parameters
    ----------
    session
        Makes a piece of the batch.
    """

    def __init__(
        self,
        runner: Runner,
        stream: Stream,
        session: Callable[[Data], Piece],
        steps: int | None = None,
        shuffle: bool = False,
    ) -> None:
        super().__init__(runner, steps, shuffle)
        self._stream, self._session = stream, session

    @property
    def total(self) -> int | None:
        """Batches of an epoch, if that is known."""
        known = self._stream.batches
        return self._steps or known

    def _orderable(self) -> int | None:
        return self._stream.batches if self._stream.indexed else None

    def epoch(self, place: Place | None = None, left_out: int = 0) -> Iterator[Piece]:
        """One piece a batch."""
        if self._at is None or self._steps is None:
            if not left_out:
                self._pass(place)
            self._stream.begin()
        done = left_out
        while self._steps is None or done < self._steps:
            assert self._at is not None
            data = self._stream.next(self._at, self._order)
            if data is None:
                if done == 0:
                    raise self._stream.no_batch()
                if self._steps is not None:
                    self._ran_out()
                self._at = None
                break
            self._at += 1
            done += 1
            yield self._session(data)._replace(offset=self._at - 1)
        batches = self._stream.batches
        if self._at is not None and batches is not None and self._at >= batches:
            self._at = None
        self._stream.end()

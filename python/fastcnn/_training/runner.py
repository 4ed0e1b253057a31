# SPDX-License-Identifier: Apache-2.0
"""Native sessions, run to their end: the machinery below fit, evaluate and predict.

A session is bound to its arrays once and then runs batches for a slice of time a call, outside the
interpreter's lock. Between two calls weights stand at a finished step: there signals, callbacks and the
progress line get their turn.
"""

from __future__ import annotations

import abc
import contextlib
import itertools
import math
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, integer, match_rank
from fastcnn._training.data import Data, Ports, with_class_weights
from fastcnn._training.feeding import Feed, StreamFeed
from fastcnn._training.settings import Settings
from fastcnn._training.streams import Stream
from fastcnn._training.tally import Logs, Piece, Tally, external_loss, watchers
from fastcnn.callbacks.base import CallbackList, History
from fastcnn.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from fastcnn._graph.network import Network
    from fastcnn.models.base import BaseModel

Score: TypeAlias = float | list[float]

SLICE = 0.05  # seconds of a native call; Ctrl-C and the progress line wait so long, or for one batch
_SEEN = 1 << 24  # bytes of predictions that metrics are given at once, as far as batches allow
_RATES = 64  # of a schedule, evaluated at once when nothing is known of a batch's time
_PHASES = {"train": "train", "evaluate": "test", "predict": "predict"}  # session mode -> name in callbacks


class Place:
    """A moment of `fit`: what a later one needs besides the model's state to go on from here."""

    def __init__(self, epoch: int, batch: int = 0, permutation: int = -1, position: int = 0) -> None:
        self.epoch = epoch
        self.batch = batch  # of the epoch, done
        self.permutation = permutation  # the order in use; -1: none
        self.position = position  # in that order, in batches
        self.sums: Mapping[str, Array] = {}  # of the tally


class Runner(abc.ABC):
    """What a model is compiled for, and the running of its sessions; `Trainer` adds what users call."""

    name: str
    _seed: int  # of weights, orders and dropout

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._permutations = 0  # drawn so far
        self._tally: Tally | None = None  # of the latest pass
        self._place: Place | None = None  # where fit is
        self._resume: Place | None = None  # where it is to go on
        self._gradient_calls = 0  # of a training loop of the caller's own
        self._measuring: int | None = None  # the thread that may be in a loss of the caller's own
        self.history: History | None = None
        self.stop_training = False

    def _where_fit_is(self) -> tuple[dict[str, int], dict[str, Array]]:
        """For a backup: numbers of the place, and the sums of the epoch so far."""
        place = self._place or Place(0)
        sums = self._tally.get_state() if place.batch and self._tally is not None else {}
        return {key: value for key, value in vars(place).items() if key != "sums"}, sums

    def _go_on(self, place: Mapping[str, int], sums: Mapping[str, Array]) -> None:
        """Of a backup, in ``on_train_begin``."""
        self._resume = Place(**place)
        self._resume.sums = sums

    @abc.abstractmethod
    def _bind(self, shape: tuple[int, ...] | None = None) -> Network:
        """The network, built for samples of ``shape`` if it is not built yet."""

    @property
    @abc.abstractmethod
    def input_names(self) -> list[str]:
        """Names of the inputs."""

    @property
    @abc.abstractmethod
    def output_names(self) -> list[str]:
        """Names of the outputs."""

    @abc.abstractmethod
    def _binding(self) -> contextlib.AbstractContextManager[None]:
        """Lets go of a shape that was bound within it if what follows raises."""

    @property
    @abc.abstractmethod
    def built(self) -> bool:
        """Whether shapes are bound and weights exist."""

    def _compiled(self, where: str) -> Settings:
        if self._settings is None:
            raise ArgumentError(
                f"{where}: the model {self.name!r} is not compiled; call compile(optimizer, loss) first"
            )
        return self._settings

    @property
    def _ports(self) -> Ports:
        targets = () if self._settings is None else self._settings.targets
        return Ports(tuple(self.input_names), targets)

    def _session(
        self, mode: str, where: str, data: Data, batch_size: int | None, out: tuple[Array, ...] | None = None
    ) -> Piece:
        """A session over all of the data, its batches in their order."""
        size = 32 if batch_size is None else integer(batch_size, f"{where}: batch_size", least=1)
        network = self._bind(data.x[0].shape[1:])
        x = tuple(match_rank(each, shape) for each, shape in zip(data.x, network.input_shapes, strict=True))
        if mode == "predict":
            session = network.native.session(mode, x, None, out, size, where=where)
            return Piece(session, data, size, None, 0, session.batches)
        settings = self._compiled(where)
        size = max(1, min(size, data.samples))
        order: list[Array | None] = [None]
        external = external_loss(settings, data, size, order)
        outputs = dict(settings.external)
        pairs = [
            pair for pair in zip(settings.measured, data.y or (), strict=True) if pair[0][0] not in outputs
        ]
        y = tuple(each for _, each in pairs)
        if external is not None:
            self._check_external(data, where)
        elif data.weights is not None and len(data.weights) != len(y):
            raise ArgumentError(f"{where}: sample_weight: wanted one for each output with a loss")
        watched = mode != "gradients" and any(watchers(settings, network))
        seen = self._room(network, size, data.samples) if watched else None
        session = network.native.session(mode, x, y or None, seen, size, data.weights, external, where=where)
        piece = Piece(session, data, size, None, 0, session.batches, seen, order)
        return piece if seen is None else piece._replace(mixed=self._room_for_targets(session, len(seen[0])))

    def _check_external(self, data: Data, where: str) -> None:
        if data.weights is not None:
            raise ArgumentError(
                f"{where}: sample_weight: came, but a function of your own is a loss of the model"
            )
        for each in data.y or ():
            if len(each) != data.samples:
                raise ShapeError(f"{where}: y: {len(each)} targets came for {data.samples} samples")

    def _room(self, network: Network, size: int, samples: int) -> tuple[Array, ...]:
        """For the predictions of as many batches as is reasonable."""
        row = 4 * max(math.prod(shape) for shape in network.output_shapes)
        batches = max(1, min(_SEEN // (row * size), -(-samples // size)))
        return tuple(np.empty((batches * size, *shape), np.float32) for shape in network.output_shapes)

    def _room_for_targets(self, session: _native.Session, rows: int) -> tuple[Array | None, ...]:
        """For those of as many samples that layers mix."""
        shapes = session.mixed_shapes
        mixed = tuple(None if shape is None else np.empty((rows, *shape), np.float32) for shape in shapes)
        if any(each is not None for each in mixed):
            session.write_mixed(mixed)
        return mixed

    def _run_all(self, pieces: Iterable[Piece], total: int | None, calls: CallbackList) -> None:
        """Predictions, with their own hooks and line."""
        calls.start(cast("BaseModel", self), {"verbose": calls.verbose, "steps": total})
        with contextlib.closing(calls):
            calls.call("on_predict_begin")
            calls.call("on_predict_end", self._run(pieces, total, "predict", calls, None))

    def _run(
        self,
        pieces: Iterable[Piece],
        total: int | None,
        mode: str,
        calls: CallbackList,
        tally: Tally | None,
        done: int = 0,
    ) -> Logs:
        """Batches of sessions, a slice a time; the means over them."""
        phase = _PHASES[mode]
        training = mode == "train"
        by_batch = calls.want_batches(phase)
        logs: Logs = {}
        ahead = 1 if by_batch else _RATES
        for piece in pieces:
            if tally is not None:
                tally.begin(piece.session)
            at = piece.begin
            while at < piece.end and not (training and self.stop_training):
                if by_batch:
                    calls.call(f"on_{phase}_batch_begin", done)
                before = at
                at = self._slice(piece, at, 0.0 if by_batch else SLICE, ahead, training)
                done += at - before
                ahead = 1 if by_batch else max(_RATES, 2 * (at - before))
                if tally is not None:
                    tally.take(piece, before, at)
                    logs = tally.logs()
                if self._place is not None and training:
                    self._place.batch = done
                    self._place.position = piece.offset + at
                if by_batch:
                    calls.call(f"on_{phase}_batch_end", done - 1, logs)
                calls.show(done, total, logs)
            if training and self.stop_training:
                break
        return logs

    def _slice(self, piece: Piece, begin: int, seconds: float, ahead: int, training: bool) -> int:
        """Batches for so long; a schedule says the rates of at most ``ahead`` of them."""
        if piece.watched is not None:
            piece.watched[0] = piece.order
        network = self._bind()
        self._measuring = None if piece.watched is None else threading.get_ident()
        try:
            return self._run_slice(piece, network, begin, seconds, ahead, training)
        finally:
            self._measuring = None

    def _run_slice(
        self, piece: Piece, network: Network, begin: int, seconds: float, ahead: int, training: bool
    ) -> int:
        if not training:
            return piece.session.run(piece.order, begin, seconds, None, piece.end)
        native, optimizer = network.native, self._compiled("fit").optimizer
        optimizer.follow(native.step)
        rates = optimizer.rates(min(ahead, piece.end - begin))
        if rates is None:
            native.learning_rate = optimizer.learning_rate
        try:
            return piece.session.run(piece.order, begin, seconds, rates, piece.end)
        finally:
            optimizer.follow(native.step)
            network.changed()

    def _run_epoch(self, feed: Feed, mode: str, calls: CallbackList, place: Place | None = None) -> Logs:
        done = 0 if place is None else place.batch
        pieces = feed.epoch(place, done)
        first = next(pieces, None)  # only now shapes are known, if it came from a stream
        tally = self._tally = Tally(self._compiled("logs"), self._bind())
        if place is not None and place.sums:
            tally.set_state(place.sums)
        if first is None:
            return tally.logs()
        return self._run(itertools.chain([first], pieces), feed.total, mode, calls, tally, done)

    def _stream_feed(
        self,
        mode: str,
        where: str,
        source: Any,
        steps: int | None,
        shuffle: bool = False,
        class_weight: Mapping[int, float] | None = None,
    ) -> StreamFeed:
        def session(data: Data) -> Piece:
            with self._binding():
                data = with_class_weights(data, class_weight, self._compiled(where).class_axis, where)
                return self._session(mode, where, data, max(1, data.samples))

        stream = Stream(source, self._ports, where, labelled=True)
        return StreamFeed(self, stream, session, steps, shuffle)

    def _on_batch(self, mode: str, where: str, data: Data) -> Logs:
        settings = self._compiled(where)
        with self._binding():
            piece = self._session(mode, where, data, max(1, data.samples))
        tally = self._tally = Tally(settings, self._bind())
        tally.begin(piece.session)
        self._slice(piece, 0, math.inf, 1, mode == "train")
        tally.take(piece, 0, 1)
        return tally.logs()

    def _score(self, logs: Mapping[str, Any]) -> Score:
        values = [logs[name] for name in self._compiled("logs").names]
        return values if len(values) > 1 else values[0]

    def _next_order(self, count: int) -> Array:
        self._permutations += 1
        return self._order(self._permutations - 1, count)

    def _order(self, number: int, count: int) -> Array:
        return _random.order(self._seed, number, count)


def steps_of(value: object, where: str) -> int | None:
    """A number of batches, or None."""
    return None if value is None else integer(value, where, least=1)


def at_most(piece: Piece, steps: int | None) -> Piece:
    """At most so many batches of a piece."""
    return piece if steps is None else piece._replace(end=min(piece.end, steps))

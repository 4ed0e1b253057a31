# SPDX-License-Identifier: Apache-2.0
"""Native sessions, run to their end: the machinery below fit, evaluate and predict.

A session is bound to its arrays once and then runs batches for a slice of time a call, outside the
interpreter's lock. Between two calls weights stand at a finished step: there signals, callbacks and the
progress line get their turn.
"""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from fastcnn import _native, _random
from fastcnn._arguments import Array, integer, match_rank
from fastcnn._data import Data, Ports
from fastcnn._progress import Progress
from fastcnn._settings import Settings
from fastcnn.callbacks import CallbackList, History
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn._network import Network
    from fastcnn.models.base import BaseModel

Score: TypeAlias = float | list[float]

SLICE = 0.05  # seconds of a native call; Ctrl-C and the progress line wait so long, or for one batch
_RATES = 64  # of a schedule, evaluated at once when nothing is known of a batch's time
_PHASES = {"train": "train", "evaluate": "test", "predict": "predict"}  # session mode -> name in callbacks


class Runner(abc.ABC):
    """What a model is compiled for, and the running of its sessions; `Trainer` adds what users call."""

    name: str

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._permutations = 0  # drawn so far
        self.history: History | None = None
        self.stop_training = False

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
    ) -> _native.Session:
        size = 32 if batch_size is None else integer(batch_size, f"{where}: batch_size", least=1)
        network = self._bind(data.x[0].shape[1:])
        x = tuple(match_rank(each, shape) for each, shape in zip(data.x, network.input_shapes, strict=True))
        return network.native.session(mode, x, data.y, out, size, data.weights)

    def _run_all(
        self, session: _native.Session, mode: str, calls: CallbackList, progress: Progress
    ) -> dict[str, float]:
        """One pass with its own hooks and line."""
        phase = _PHASES[mode]
        self._start(calls, {"verbose": progress.verbose, "steps": session.batches})
        calls.call(f"on_{phase}_begin")
        with contextlib.closing(progress):
            progress.begin(session.batches)
            logs = self._run(session, mode, calls, progress.update)
            progress.end(logs)
        calls.call(f"on_{phase}_end", logs)
        return logs

    def _run(
        self,
        session: _native.Session,
        mode: str,
        calls: CallbackList,
        show: Callable[[int, Mapping[str, float]], None] = lambda done, logs: None,
        order: Array | None = None,
    ) -> dict[str, float]:
        """All batches of a session, a slice a time; the means over them."""
        phase = _PHASES[mode]
        training = mode == "train"
        by_batch = calls.want_batches(phase)
        session.reset()
        logs: dict[str, float] = {}
        done, total, ahead = 0, session.batches, 1 if by_batch else _RATES
        while done < total and not (training and self.stop_training):
            if by_batch:
                calls.call(f"on_{phase}_batch_begin", done)
            limit = 0.0 if by_batch else SLICE
            if training:
                before, done = done, self._train(session, order, done, limit, min(ahead, total - done))
                ahead = 1 if by_batch else max(_RATES, 2 * (done - before))
            else:
                done = session.run(order, done, limit)
            logs = {} if mode == "predict" else self._compiled("logs").means(session.totals())
            if by_batch:
                calls.call(f"on_{phase}_batch_end", done - 1, logs)
            show(done, logs)
        return logs

    def _on_batch(self, mode: str, where: str, data: Data) -> dict[str, float]:
        with self._binding():
            session = self._session(mode, where, data, max(1, data.samples))
        if mode == "train":
            self._train(session, None, 0, math.inf, 1)
        else:
            session.run(None, 0, math.inf)
        return self._compiled("logs").means(session.totals())

    def _score(self, logs: Mapping[str, float]) -> Score:
        values = [logs[name] for name in self._compiled("logs").names]
        return values if len(values) > 1 else values[0]

    def _train(
        self, session: _native.Session, order: Array | None, begin: int, seconds: float, ahead: int
    ) -> int:
        """A slice of training; a schedule says the rates of at most ``ahead`` batches."""
        native, optimizer = self._bind().native, self._compiled("fit").optimizer
        optimizer.follow(native.step)
        rates = optimizer.rates(ahead)
        if rates is None:
            native.learning_rate = optimizer.learning_rate
        try:
            return session.run(order, begin, seconds, rates)
        finally:
            optimizer.follow(native.step)

    def _start(self, calls: CallbackList, params: Mapping[str, Any]) -> None:
        calls.start(cast("BaseModel", self), params)

    def _next_order(self, count: int) -> Array:
        order = _random.order(self._bind().native.seed, self._permutations, count)
        self._permutations += 1
        return order

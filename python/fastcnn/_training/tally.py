# SPDX-License-Identifier: Apache-2.0
"""Sums of losses and metrics over the batches of an epoch or an evaluation, and the logs that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _native, losses
from fastcnn._arguments import Array
from fastcnn._graph.network import Network
from fastcnn._training.data import Data
from fastcnn._training.settings import Settings
from fastcnn.metrics.base import Metric

Logs = dict[str, Any]


def in_order(logs: Logs) -> Logs:
    """By their names, as Keras gives the logs of an epoch and of an evaluation to callbacks and callers."""
    return dict(sorted(logs.items()))


class Piece(NamedTuple):
    """A session, and which of its batches are to be run."""

    session: _native.Session
    data: Data
    batch_size: int
    order: Array | None  # of the samples
    begin: int
    end: int
    seen: tuple[Array, ...] | None = None  # the predictions of the batches of a run, if metrics read them
    watched: list[Array | None] | None = None  # where an external loss finds the order
    offset: int = 0  # of the session's first batch in a pass over the data
    mixed: tuple[Array | None, ...] = ()  # the targets of these predictions where layers mix them, by output

    def samples(self, begin: int, end: int) -> int:
        """In these batches."""
        return min(end * self.batch_size, self.data.samples) - begin * self.batch_size

    def rows(self, values: Array, begin: int, end: int) -> Array:
        """Those of an array that belong to these batches."""
        first, last = begin * self.batch_size, min(end * self.batch_size, len(values))
        return values[first:last] if self.order is None else values[self.order[first:last]]


class Tally:
    """What is known of the batches so far. Metrics keep their own sums.

    Parameters
    ----------
    settings
        What compile was told.
    network
        What is measured.
    """

    def __init__(self, settings: Settings, network: Network) -> None:
        self._settings = settings
        self._counted = counted_natively(settings, network)
        self._rest = watchers(settings, network)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.totals: list[dict[str, Any]] = [
            {"loss": 0.0, "correct": 0, "samples": 0} for _ in self._settings.objectives
        ]
        self.penalty, self.samples = 0.0, 0
        for metric in self._settings.all_metrics:
            metric.reset_state()

    def begin(self, session: _native.Session) -> None:
        """The session's sums go on from these."""
        session.resume(self.totals, self.penalty)

    def take(self, piece: Piece, begin: int, end: int) -> None:
        """Take in what a run of batches left."""
        self.totals, self.penalty = piece.session.totals(), piece.session.penalty
        self.samples += piece.samples(begin, end)
        if piece.seen is None:
            return
        targets = iter(range(len(self._settings.measured)))
        for output, objective in enumerate(self._settings.objectives):
            if objective.loss is None:
                continue
            target = next(targets)
            if self._rest[output]:
                self._observe(piece, begin, end, output, target)

    def _observe(self, piece: Piece, begin: int, end: int, output: int, target: int) -> None:
        assert piece.seen is not None
        true = self._targets(piece, begin, end, output, target)
        predicted = piece.seen[output][: len(true)]
        weights = piece.data.weights and piece.rows(piece.data.weights[target], begin, end)
        size = piece.batch_size
        for metric, weighted in self._rest[output]:
            given = weights if weighted else None
            steps = range(0, len(true), size) if metric.per_batch else (0,)
            for first in steps:
                part = slice(first, first + size if metric.per_batch else None)
                metric.update_state(true[part], predicted[part], None if given is None else given[part])

    def _targets(self, piece: Piece, begin: int, end: int, output: int, target: int) -> Array:
        assert piece.data.y is not None
        mixed = piece.mixed[output] if piece.mixed else None
        if mixed is None:
            return piece.rows(piece.data.y[target], begin, end)
        mixed = mixed[: piece.samples(begin, end)]
        sparse = isinstance(self._settings.objectives[output].loss, losses.SparseCategoricalCrossentropy)
        return mixed.argmax(axis=-1) if sparse else mixed  # the class that weighs most

    def logs(self) -> Logs:
        """Means over the batches so far."""
        settings = self._settings
        means = [self.totals[i]["loss"] / max(1, self.totals[i]["samples"]) for i, _ in settings.measured]
        weights = [each.weight for _, each in settings.measured]
        loss = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
        if self.penalty:
            loss += self.penalty / self.samples
        values: list[Any] = [loss, *(means if len(settings.objectives) > 1 else [])]
        for output, metric in settings.placed_metrics():
            if metric is self._counted[output]:
                values.append(self.totals[output]["correct"] / max(1, self.totals[output]["samples"]))
            else:
                values.append(metric.result())
        return dict(zip(settings.names, values, strict=True))

    def get_state(self) -> dict[str, Array]:
        """All sums, those of metrics too."""
        state: dict[str, Array] = {
            "losses": np.array([each["loss"] for each in self.totals], np.float64),
            "correct": np.array([each["correct"] for each in self.totals], np.int64),
            "rows": np.array([each["samples"] for each in self.totals], np.int64),
            "penalty": np.array(self.penalty, np.float64),
            "samples": np.array(self.samples, np.int64),
        }
        for number, metric in enumerate(self._settings.all_metrics):
            state |= {f"metric{number}/{key}": value for key, value in metric.get_state().items()}
        return state

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `get_state` gave."""
        columns = zip(state["losses"], state["correct"], state["rows"], strict=True)
        self.totals = [
            {"loss": float(loss), "correct": int(correct), "samples": int(rows)}
            for loss, correct, rows in columns
        ]
        self.penalty, self.samples = float(state["penalty"]), int(state["samples"])
        for number, metric in enumerate(self._settings.all_metrics):
            prefix = f"metric{number}/"
            metric.set_state(
                {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            )


def counted_natively(settings: Settings, network: Network) -> list[Metric | None]:
    """The metric of each output that the native step counts."""
    shapes = network.output_shapes
    return [each.counted(shape[-1]) for each, shape in zip(settings.objectives, shapes, strict=True)]


def watchers(settings: Settings, network: Network) -> list[list[tuple[Metric, bool]]]:
    """The metrics of each output that read predictions, and whether weights reach them."""
    counted = counted_natively(settings, network)
    return [
        [
            *((metric, False) for metric in each.metrics if metric is not native),
            *((metric, True) for metric in each.weighted),
        ]
        for each, native in zip(settings.objectives, counted, strict=True)
    ]


def external_loss(settings: Settings, data: Data, batch_size: int, order: Sequence[Array | None]) -> Any:
    """What a session calls for the outputs whose loss is a function of the caller's; None without one.

    ``order`` holds the order of the samples, which may change from epoch to epoch.
    """
    if not settings.external:
        return None
    position = {output: i for i, (output, _) in enumerate(settings.measured)}

    def measure(output: int, batch: int, predictions: Array) -> tuple[float, Array]:
        objective = settings.objectives[output]
        assert isinstance(objective.loss, losses.Custom)
        assert data.y is not None
        first, samples = batch * batch_size, order[0]
        last = first + len(predictions)
        targets = data.y[position[output]]
        rows = targets[first:last] if samples is None else targets[samples[first:last]]
        value, gradient = objective.loss.pair(rows, predictions)
        return value, gradient if objective.weight == 1 else gradient * np.float32(objective.weight)

    return measure

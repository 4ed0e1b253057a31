# SPDX-License-Identifier: Apache-2.0
"""What compile was told, and how it reaches the native model and a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fastcnn import _native, losses, metrics, optimizers
from fastcnn._arguments import real
from fastcnn._config import serialize
from fastcnn.errors import ArgumentError
from fastcnn.metrics import Metric

if TYPE_CHECKING:
    from fastcnn._graph.network import Network

T = TypeVar("T")


class Objective(NamedTuple):
    """What one output is measured by."""

    output: str  # its name
    loss: losses.Loss | None
    metrics: tuple[Metric, ...] = ()
    weighted: tuple[Metric, ...] = ()  # those that weights of samples reach
    weight: float = 1.0  # of its loss in the sum over the outputs

    def native(self) -> dict[str, Any] | None:
        """The description that the native module reads."""
        return None if self.loss is None else {**self.loss.native(), "weight": self.weight}

    def counted(self, width: int) -> Metric | None:
        """The metric that the native step counts, of an output whose last axis has this width."""
        if self.loss is None or isinstance(self.loss, losses.Custom):
            return None
        sparse = isinstance(self.loss, losses.SparseCategoricalCrossentropy)
        for each in self.metrics:
            binary = isinstance(each, metrics.BinaryAccuracy) and width == 1 and each.threshold == 0.5
            dense = not sparse and (each.native == "categorical" or binary)
            if each.native == "auto" or (sparse and each.native == "sparse") or dense:
                return each
        return None


class Settings(NamedTuple):
    """What compile was told."""

    optimizer: optimizers.Optimizer
    objectives: tuple[Objective, ...]  # one for each output
    device: str
    precision: str
    math: str

    @property
    def measured(self) -> list[tuple[int, Objective]]:
        """The outputs that have a loss, with their numbers."""
        return [(i, each) for i, each in enumerate(self.objectives) if each.loss is not None]

    @property
    def all_metrics(self) -> list[Metric]:
        """All of them."""
        return [metric for _, metric in self._named_metrics()]

    @property
    def names(self) -> list[str]:
        """Keys of the logs."""
        losses_of = [f"{each.output}_loss" for _, each in self.measured] if len(self.objectives) > 1 else []
        return ["loss", *losses_of, *(name for name, _ in self._named_metrics())]

    def placed_metrics(self) -> Iterator[tuple[int, Metric]]:
        """All metrics with the numbers of their outputs, those that weights reach last."""
        for number, each in enumerate(self.objectives):
            yield from ((number, metric) for metric in each.metrics)
        for number, each in enumerate(self.objectives):
            yield from ((number, metric) for metric in each.weighted)

    def _named_metrics(self) -> Iterator[tuple[str, Metric]]:
        seen: dict[str, int] = {}
        plain = sum(len(each.metrics) for each in self.objectives)
        for place, (number, metric) in enumerate(self.placed_metrics()):
            prefix = "" if len(self.objectives) == 1 else f"{self.objectives[number].output}_"
            name = prefix + metric.name
            if place >= plain and name in seen:
                name = f"{prefix}weighted_{metric.name}"
            times = seen[name] = seen.get(name, -1) + 1
            yield (f"{name}_{times}" if times else name), metric

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the outputs that have a loss."""
        return tuple(each.output for _, each in self.measured)

    @property
    def class_axis(self) -> int | None:
        """Along which the targets of the first loss tell classes; None: they are class numbers."""
        loss = self.measured[0][1].loss if self.measured else None
        if isinstance(loss, losses.SparseCategoricalCrossentropy):
            return None
        axis = getattr(loss, "axis", -1)
        return axis if isinstance(axis, int) else -1

    @property
    def external(self) -> list[tuple[int, Objective]]:
        """The outputs whose loss is a function of the caller's."""
        return [(i, each) for i, each in self.measured if isinstance(each.loss, losses.Custom)]

    def apply(self, network: Network) -> None:
        """Compile the native model of a network."""
        counted = [
            each.counted(shape[-1])
            for each, shape in zip(self.objectives, network.output_shapes, strict=True)
        ]
        self._apply(network.native, counted, network.frozen(), network.rules())

    def check(self) -> None:
        """Raise what `apply` would, for a network whose shapes are not known yet."""
        smallest: list[dict[str, Any]] = [
            {"op": "input", "name": "input", "inputs": [], "shape": (1,)},
            {"op": "dense", "name": "dense", "inputs": [0], "units": 1, "use_bias": False},
        ]
        outputs = [1] * len(self.objectives)
        self._apply(_native.Model(smallest, outputs), [None] * len(outputs), [], [])

    def _apply(
        self,
        native: _native.Model,
        counted: Sequence[Metric | None],
        frozen: list[int],
        rules: list[tuple[int, dict[str, Any]]],
    ) -> None:
        native.compile(
            self.optimizer.native(native.parameters),
            tuple(each.native() for each in self.objectives),
            tuple(None if each is None else each.native for each in counted),
            self.device,
            self.precision,
            self.math,
            frozen,
            rules,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of ``compile`` as plain values."""
        config: dict[str, Any] = {"optimizer": serialize(self.optimizer)}
        config["loss"] = [
            None if each.loss is None else losses.describe(each.loss) for each in self.objectives
        ]
        config["metrics"] = [[metrics.describe(each) for each in every.metrics] for every in self.objectives]
        if len(self.objectives) == 1:
            config["loss"], config["metrics"] = config["loss"][0], config["metrics"][0]
        if any(each.weighted for each in self.objectives):
            weighted = [[metrics.describe(each) for each in every.weighted] for every in self.objectives]
            config["weighted_metrics"] = weighted[0] if len(weighted) == 1 else weighted
        if any(each.weight != 1.0 for each in self.objectives):
            config["loss_weights"] = [each.weight for each in self.objectives]
        return {**config, "device": self.device, "precision": self.precision, "math": self.math}


class Told(NamedTuple):
    """Arguments of ``compile`` that say what is measured."""

    loss: Any
    metrics: Any = None
    weighted_metrics: Any = None
    loss_weights: Any = None
    functions: Mapping[str, Any] | None = None  # what descriptions may name

    def objectives(self, outputs: Sequence[str]) -> tuple[Objective, ...]:
        """Output by output.

        With several outputs each argument is a list in their order or a dict by their names; a single loss or
        list of metrics goes to all.
        """
        weights = self.loss_weights
        spread_losses = _spread(self.loss, outputs, "loss", isinstance(self.loss, (list, tuple)))
        spread_metrics = _spread_metrics(self.metrics, outputs, "metrics")
        spread_weighted = _spread_metrics(self.weighted_metrics, outputs, "weighted_metrics")
        spread_weights = _spread(weights, outputs, "loss_weights", isinstance(weights, (list, tuple)))
        return tuple(
            Objective(
                output,
                None if one_loss is None else losses.minimized(one_loss, self.functions),
                metrics.listed(one_metrics, self.functions),
                metrics.listed(one_weighted, self.functions),
                1.0 if weight is None else real(weight, "compile: loss_weights"),
            )
            if one_loss is not None
            else Objective(output, None)
            for output, one_loss, one_metrics, one_weighted, weight in zip(
                outputs, spread_losses, spread_metrics, spread_weighted, spread_weights, strict=True
            )
        )


def _spread_metrics(value: Any, outputs: Sequence[str], argument: str) -> list[Any]:
    listed = isinstance(value, (list, tuple))
    nested = listed and any(isinstance(each, (list, tuple)) or each is None for each in value)
    return _spread(value, outputs, argument, nested)


def _spread(value: Any, outputs: Sequence[str], argument: str, is_list: bool) -> list[Any]:
    """One value for each output."""
    if isinstance(value, Mapping) and set(value) != {"class_name", "config"}:
        unknown = set(value) - set(outputs)
        if unknown:
            raise ArgumentError(
                f"compile: {argument}: {sorted(unknown)} came, wanted names of outputs: {list(outputs)}"
            )
        return [value.get(output) for output in outputs]
    if is_list:
        if len(value) != len(outputs):
            raise ArgumentError(
                f"compile: {argument}: {len(value)} entries came, wanted {len(outputs)}: one for each output"
            )
        return list(value)
    return [value] * len(outputs)

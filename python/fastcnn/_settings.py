# SPDX-License-Identifier: Apache-2.0
"""What compile was told, and how it reaches the native model and a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fastcnn import _native, losses, metrics, optimizers
from fastcnn._arguments import real
from fastcnn._config import serialize
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn._network import Network

T = TypeVar("T")


class Objective(NamedTuple):
    """What one output is measured by."""

    output: str  # its name
    loss: losses.Loss | None
    metric: metrics.Metric | None
    weight: float = 1.0  # of its loss in the sum over the outputs

    def native(self) -> dict[str, Any] | None:
        """The description that the native module reads."""
        return None if self.loss is None else {**self.loss.native(), "weight": self.weight}


class Settings(NamedTuple):
    """What compile was told."""

    optimizer: optimizers.Optimizer
    objectives: tuple[Objective, ...]  # one for each output
    device: str
    precision: str
    math: str

    @property
    def names(self) -> list[str]:
        """Keys of the logs."""
        if len(self.objectives) == 1:
            metric = self.objectives[0].metric
            return ["loss"] if metric is None else ["loss", metric.name]
        measured = [each for each in self.objectives if each.loss is not None]
        return [
            "loss",
            *(f"{each.output}_loss" for each in measured),
            *(f"{each.output}_{each.metric.name}" for each in measured if each.metric is not None),
        ]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the outputs that have a loss."""
        return tuple(each.output for each in self.objectives if each.loss is not None)

    @property
    def sparse(self) -> tuple[bool, ...]:
        """Whether the targets of each loss are class numbers."""
        given = [each.loss for each in self.objectives if each.loss is not None]
        return tuple(isinstance(each, losses.SparseCategoricalCrossentropy) for each in given)

    def means(self, totals: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Logs from the native sums of each output."""
        pairs = [
            (each, sums) for each, sums in zip(self.objectives, totals, strict=True) if each.loss is not None
        ]
        means = [sums["loss"] / sums["samples"] for _, sums in pairs]
        shares = [sums["correct"] / sums["samples"] for each, sums in pairs if each.metric is not None]
        total = sum(each.weight * mean for (each, _), mean in zip(pairs, means, strict=True))
        values = [total, *shares] if len(self.objectives) == 1 else [total, *means, *shares]
        return dict(zip(self.names, values, strict=True))

    def apply(self, network: Network) -> None:
        """Compile the native model of a network."""
        self._apply(network.native, network.frozen())

    def check(self) -> None:
        """Raise what `apply` would, for a network whose shapes are not known yet."""
        smallest: list[dict[str, Any]] = [
            {"op": "input", "name": "input", "inputs": [], "shape": (1,)},
            {"op": "dense", "name": "dense", "inputs": [0], "units": 1, "use_bias": False},
        ]
        self._apply(_native.Model(smallest), [])

    def _apply(self, native: _native.Model, frozen: list[int]) -> None:
        native.compile(
            self.optimizer.native(native.parameters),
            tuple(each.native() for each in self.objectives),
            tuple(None if each.metric is None else each.metric.native for each in self.objectives),
            self.device,
            self.precision,
            self.math,
            frozen,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of ``compile`` as plain values."""
        config: dict[str, Any] = {"optimizer": serialize(self.optimizer)}
        if len(self.objectives) == 1:
            (only,) = self.objectives
            config["loss"] = None if only.loss is None else serialize(only.loss)
            config["metrics"] = [] if only.metric is None else [serialize(only.metric)]
        else:
            config["loss"] = [None if each.loss is None else serialize(each.loss) for each in self.objectives]
            config["metrics"] = [
                [] if each.metric is None else [serialize(each.metric)] for each in self.objectives
            ]
        if any(each.weight != 1.0 for each in self.objectives):
            config["loss_weights"] = [each.weight for each in self.objectives]
        return {**config, "device": self.device, "precision": self.precision, "math": self.math}


def objectives(outputs: Sequence[str], loss: Any, metric: Any, weights: Any) -> tuple[Objective, ...]:
    """What compile was told, output by output.

    With several outputs each argument is a list in their order or a dict by their names; a single loss or
    list of metrics goes to all.
    """
    spread_losses = _spread(loss, outputs, "loss", isinstance(loss, (list, tuple)))
    listed = isinstance(metric, (list, tuple))
    nested = listed and any(isinstance(each, (list, tuple)) or each is None for each in metric)
    spread_metrics = _spread(metric, outputs, "metrics", nested)
    spread_weights = _spread(weights, outputs, "loss_weights", isinstance(weights, (list, tuple)))
    return tuple(
        Objective(
            output,
            None if one_loss is None else losses.get(one_loss),
            None if one_loss is None else metrics.get(one_metric),
            1.0 if weight is None else real(weight, "compile: loss_weights"),
        )
        for output, one_loss, one_metric, weight in zip(
            outputs, spread_losses, spread_metrics, spread_weights, strict=True
        )
    )


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

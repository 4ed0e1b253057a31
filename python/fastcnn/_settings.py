# SPDX-License-Identifier: Apache-2.0
"""What compile was told, and how it reaches the native model and a file."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastcnn import _native, losses, metrics, optimizers
from fastcnn._config import serialize


class Settings(NamedTuple):
    """What compile was told."""

    optimizer: optimizers.Optimizer
    loss: losses.Loss
    metric: metrics.Metric | None
    device: str
    precision: str
    math: str

    @property
    def names(self) -> list[str]:
        """Keys of the logs."""
        return ["loss"] if self.metric is None else ["loss", self.metric.name]

    def apply(self, native: _native.Model) -> None:
        """Compile the native model."""
        accuracy = None if self.metric is None else self.metric.native
        native.compile(
            self.optimizer.native(), self.loss.native(), accuracy, self.device, self.precision, self.math
        )

    def check(self) -> None:
        """Raise what `apply` would, for a network whose shapes are not known yet."""
        smallest: list[dict[str, Any]] = [
            {"op": "input", "name": "input", "inputs": [], "shape": (1,)},
            {"op": "dense", "name": "dense", "inputs": [0], "units": 1, "use_bias": False},
        ]
        self.apply(_native.Model(smallest))

    def get_config(self) -> dict[str, Any]:
        """Arguments of ``compile`` as plain values."""
        return {
            "optimizer": serialize(self.optimizer),
            "loss": serialize(self.loss),
            "metrics": [] if self.metric is None else [serialize(self.metric)],
            "device": self.device,
            "precision": self.precision,
            "math": self.math,
        }

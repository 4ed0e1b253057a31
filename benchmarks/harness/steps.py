# SPDX-License-Identifier: Apache-2.0
"""The rows of `operators.py` that end a training step: losses with their gradients, and optimizers.

A loss is timed as the gradient of a batch, which fastcnn computes in the pass of its value and PyTorch by a
forward and a backward pass. An optimizer makes one step on weights in memory, in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tasks import Array, normal

RATE, EPSILON = 1e-3, 1e-7


@dataclass(frozen=True)
class LossTask:
    """The gradient of a loss of ``fastcnn.losses`` by its name in lower case, on rows of predictions."""

    name: str
    rows: int
    cols: int
    options: tuple[tuple[str, Any], ...] = ()

    flops = 0.0

    @property
    def label(self) -> str:
        return f"{self.name} {self.rows}x{self.cols}"

    @property
    def bytes(self) -> float:
        """Of predictions, targets and gradient."""
        return 4.0 * self.rows * (2 * self.cols + (1 if self.sparse else self.cols))

    @property
    def sparse(self) -> bool:
        return self.name.startswith("sparse")

    def target(self) -> NDArray[Any]:
        shape = (self.rows, self.cols)
        if self.sparse:
            return np.random.default_rng(self.rows).integers(0, self.cols, self.rows)
        made = normal(f"{self.label} target", shape)
        return (made > 0).astype(np.float32) if self.name.startswith("binary") else made

    def prediction(self) -> Array:
        return normal(f"{self.label} prediction", (self.rows, self.cols))


@dataclass(frozen=True)
class OptimizerTask:
    """A step of an optimizer on `tensors` variables of `size` numbers; `moved`: arrays read and written."""

    name: str
    tensors: int
    size: int
    moved: int
    options: tuple[tuple[str, Any], ...] = ()

    flops = 0.0

    @property
    def label(self) -> str:
        return f"{self.name} step {self.tensors} x {self.size}"

    @property
    def bytes(self) -> float:
        return 4.0 * self.moved * self.tensors * self.size

    def weights(self) -> list[Array]:
        return [normal(f"{self.label} weights {i}", (self.size,)) for i in range(self.tensors)]

    def gradients(self) -> list[Array]:
        return [normal(f"{self.label} gradient {i}", (self.size,)) for i in range(self.tensors)]


_LOGITS = (("from_logits", True),)
LOSSES = [
    LossTask("sparse_categorical_crossentropy", 1024, 10, _LOGITS),
    LossTask("sparse_categorical_crossentropy", 64, 1000, _LOGITS),
    LossTask("binary_crossentropy", 1024, 10, _LOGITS),
    LossTask("binary_crossentropy", 65536, 1, _LOGITS),
    LossTask("huber", 1024, 10),
    LossTask("mean_squared_error", 1024, 100),
]
_MANY, _FEW = (8, 131_072), (16, 256)
OPTIMIZERS = [
    OptimizerTask(name, *sizes, moved, options)
    for sizes in (_MANY, _FEW)
    for name, moved, options in (
        ("SGD", 5, (("momentum", 0.9),)),
        ("Adam", 7, (("epsilon", EPSILON),)),
        ("AdamW", 7, (("epsilon", EPSILON), ("weight_decay", 0.01))),
        ("RMSprop", 5, (("rho", 0.9), ("epsilon", 1e-12))),
        ("Adagrad", 5, (("initial_accumulator_value", 0.1), ("epsilon", EPSILON))),
    )
]

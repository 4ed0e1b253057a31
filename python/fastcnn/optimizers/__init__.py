# SPDX-License-Identifier: Apache-2.0
"""Update rules and schedules of their rates; names, arguments and formulas are Keras 3's.

``g`` is the gradient of the batch's mean loss, ``w`` a weight, ``t = 1, 2, ...`` the number of the update.
`Optimizer` says what all of them share; those arguments are given by keyword.
"""

from __future__ import annotations

from fastcnn._absent import absences
from fastcnn._config import named, reading, resolve, serialize
from fastcnn.optimizers import schedules
from fastcnn.optimizers.adam import Adam, Adamax, AdamW, Nadam
from fastcnn.optimizers.adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from fastcnn.optimizers.base import Optimizer
from fastcnn.optimizers.descent import SGD, Lion, Muon

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lion",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_KINDS: tuple[type[Optimizer], ...] = (
    SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Adamax, Nadam, Lion, Ftrl, Muon,
)  # fmt: skip
_CLASSES: dict[str, type[Optimizer]] = named(*_KINDS, **{kind.__name__.lower(): kind for kind in _KINDS})


def get(identifier: object) -> Optimizer:
    """An optimizer from its name ("sgd", "adamw"), its description or itself.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    return resolve(identifier, Optimizer, _CLASSES, "compile: optimizer")


deserialize = reading(get)

__getattr__ = absences(__name__)

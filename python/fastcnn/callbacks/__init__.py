# SPDX-License-Identifier: Apache-2.0
"""Code that runs at set moments of `fit`, `evaluate` and `predict`; moments, names and logs are Keras's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._late import late, listing
from fastcnn.callbacks.base import Callback, History, Logs, ProgbarLogger

if TYPE_CHECKING:
    from fastcnn.callbacks.averages import SwapEMAWeights
    from fastcnn.callbacks.files import BackupAndRestore, ModelCheckpoint
    from fastcnn.callbacks.logs import CSVLogger, JSONLogger, LambdaCallback
    from fastcnn.callbacks.watching import (
        EarlyStopping,
        LearningRateScheduler,
        ReduceLROnPlateau,
        TerminateOnNaN,
    )

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TerminateOnNaN",
]

__dir__ = listing(__name__)
__getattr__ = late(
    __name__,
    {
        "averages": ("SwapEMAWeights",),
        "files": ("BackupAndRestore", "ModelCheckpoint"),
        "logs": ("CSVLogger", "JSONLogger", "LambdaCallback"),
        "watching": ("EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau", "TerminateOnNaN"),
    },
)

# SPDX-License-Identifier: Apache-2.0
"""Seeds, names, one-hot targets, parts of data sets, batches by number, drawings of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._late import late
from fastcnn.utils.arrays import normalize, split_dataset, to_categorical
from fastcnn.utils.seeds import clear_session, set_random_seed

if TYPE_CHECKING:
    from fastcnn.utils.batches import PyDataset, Sequence
    from fastcnn.utils.plotting import plot_model

__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "normalize",
    "plot_model",
    "set_random_seed",
    "split_dataset",
    "to_categorical",
]

__getattr__ = late(__name__, {"batches": ("PyDataset", "Sequence"), "plotting": ("plot_model",)})

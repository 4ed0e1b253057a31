# SPDX-License-Identifier: Apache-2.0
"""Data sets: MNIST stands in the package, so that the first run needs no network; others are downloaded once.

`cache` says where they are kept. `idx` reads the format of the MNIST family, `npz` arrays of NumPy.
"""

from __future__ import annotations

from fastcnn._absent import absences
from fastcnn.datasets import cache, cifar10, cifar100, fashion_mnist, idx, mnist, npz

__all__ = ["cache", "cifar10", "cifar100", "fashion_mnist", "idx", "mnist", "npz"]

__getattr__ = absences(__name__)

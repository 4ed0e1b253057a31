# SPDX-License-Identifier: Apache-2.0
"""Data sets: MNIST stands in the package, so that the first run needs no network; others are downloaded once.

`cache` says where they are kept. `idx` reads the format of the MNIST family, `npz` arrays of NumPy.
"""

from __future__ import annotations

from fastcnn.datasets import cache as cache
from fastcnn.datasets import cifar10 as cifar10
from fastcnn.datasets import cifar100 as cifar100
from fastcnn.datasets import fashion_mnist as fashion_mnist
from fastcnn.datasets import idx as idx
from fastcnn.datasets import mnist as mnist
from fastcnn.datasets import npz as npz

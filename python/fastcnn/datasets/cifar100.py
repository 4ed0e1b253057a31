# SPDX-License-Identifier: Apache-2.0
"""CIFAR-100: small colour photographs in 100 classes of 20 groups. Downloaded when first used, 169 MB; see
`datasets.cache`.
"""

from __future__ import annotations

from pathlib import Path

from fastcnn._arguments import choose
from fastcnn.datasets import cache, cifar
from fastcnn.datasets.mnist import Pair

_ARCHIVE = cache.Remote(
    "cifar-100-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)
_IMAGES = {"train": 50_000, "test": 10_000}


def load_data(label_mode: str = "fine") -> tuple[Pair, Pair]:
    """Load CIFAR-100.

    Parameters
    ----------
    label_mode
        "fine": 100 classes; "coarse": 20 groups of them.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images uint8 [50000, 32, 32, 3] and [10000, 32, 32, 3]; labels uint8 [50000, 1] and [10000, 1].

    Raises
    ------
    OSError
        The archive is not there and cannot be downloaded; the message says what to put where.
    FormatError
        It is another one than it should be.
    """
    column = choose(label_mode, {"coarse": 0, "fine": 1}, "cifar100: label_mode")
    path = cache.fetch(_ARCHIVE)
    train, test = (_load(path, part, column) for part in ("train", "test"))
    return train, test


def _load(path: Path, part: str, column: int) -> Pair:
    images, labels = cifar.read(path, [f"cifar-100-binary/{part}.bin"], 2, _IMAGES[part])
    return images, labels[:, column : column + 1].copy()

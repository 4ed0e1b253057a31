# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10: small colour photographs in ten classes. Downloaded when first used, 170 MB; see `cache`."""

from __future__ import annotations

from fastcnn.datasets import cache, cifar
from fastcnn.datasets.mnist import Pair

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_ARCHIVE = cache.Remote(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_FOLDER = "cifar-10-batches-bin"
_IMAGES = 10_000  # of a file


def load_data() -> tuple[Pair, Pair]:
    """Load CIFAR-10.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images uint8 [50000, 32, 32, 3] and [10000, 32, 32, 3]; labels uint8 [50000, 1] and [10000, 1], 0 to
        9, see ``CLASSES``.

    Raises
    ------
    OSError
        The archive is not there and cannot be downloaded; the message says what to put where.
    FormatError
        It is another one than it should be.

    Examples
    --------
    >>> from fastcnn.datasets import cifar10
    >>> cifar10.CLASSES[6]
    'frog'
    """
    path = cache.fetch(_ARCHIVE)
    train = [f"{_FOLDER}/data_batch_{number}.bin" for number in range(1, 6)]
    return cifar.read(path, train, 1, _IMAGES), cifar.read(path, [f"{_FOLDER}/test_batch.bin"], 1, _IMAGES)

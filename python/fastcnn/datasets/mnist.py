# SPDX-License-Identifier: Apache-2.0
"""The MNIST database of handwritten digits, read from the four files that stand in the package.

Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0 (see NOTICE). Nothing is downloaded or cached.
"""

from __future__ import annotations

import pathlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fastcnn.datasets import idx

_FOLDER = pathlib.Path(__file__).parent / "data" / "mnist"

Pair: TypeAlias = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def load_data(path: str = "mnist.npz") -> tuple[Pair, Pair]:
    """Load MNIST.

    Parameters
    ----------
    path
        Where Keras keeps its download; without effect.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images uint8 [60000, 28, 28] and [10000, 28, 28], 0 (background) to 255 (ink); labels uint8 [60000]
        and [10000], 0 to 9. The arrays are new on each call.

    Raises
    ------
    FormatError
        One of the package's files is damaged.

    Examples
    --------
    >>> from fastcnn.datasets import mnist
    >>> (x_train, y_train), (x_test, y_test) = mnist.load_data()
    >>> x_train.shape, y_test[:4].tolist()
    ((60000, 28, 28), [7, 2, 1, 0])
    """
    return _load("train"), _load("t10k")


def _load(part: str) -> Pair:
    return idx.load_pair(_FOLDER / f"{part}-images-idx3-ubyte.gz", _FOLDER / f"{part}-labels-idx1-ubyte.gz")

# SPDX-License-Identifier: Apache-2.0
"""The binary files of CIFAR: one or two bytes of labels, then the red, green and blue pixels of an image.

A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. Called by ``cifar10`` and
``cifar100``.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastcnn.errors import FormatError

_PIXELS = 32 * 32 * 3


def read(
    path: Path, members: Sequence[str], labels: int, images: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images [N, 32, 32, 3] and labels [N, labels] of files of an archive, ``images`` of them in each."""
    size = images * (labels + _PIXELS)
    rows = np.empty((len(members), images, labels + _PIXELS), np.uint8)
    try:
        with tarfile.open(path, "r:gz") as archive:
            for row, name in zip(rows, members, strict=True):
                file = archive.extractfile(name)
                data = b"" if file is None else file.read(size + 1)
                if len(data) != size:
                    raise FormatError(path, 0, f"{name} holds {len(data)} bytes, wanted {size}")
                row[...] = np.frombuffer(data, np.uint8).reshape(row.shape)
    except (KeyError, tarfile.TarError, EOFError, zlib.error) as error:
        raise FormatError(path, 0, f"not the archive that was expected: {error}") from error
    flat = rows.reshape(-1, labels + _PIXELS)
    pixels = flat[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), flat[:, :labels].copy()

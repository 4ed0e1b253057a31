# SPDX-License-Identifier: Apache-2.0
"""Arrays of a ``.npz`` file, without pickle: objects are refused, and no code in a file ever runs."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcnn.errors import FormatError


def load(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a file, by their names.

    Raises
    ------
    FormatError
        It is no such file, is damaged, or holds objects.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from fastcnn.datasets import npz
    >>> path = pathlib.Path(tempfile.mkdtemp(), "data.npz")
    >>> np.savez(path, x_train=np.zeros((3, 2)), y_train=np.arange(3))
    >>> sorted(npz.load(path))
    ['x_train', 'y_train']
    """
    try:
        with open(path, "rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise FormatError(path, 0, "a single array, wanted a .npz file of several")
            return {name: file[name] for name in file.files}
    except FormatError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise FormatError(path, 0, f"not a .npz file of numbers: {error}") from error

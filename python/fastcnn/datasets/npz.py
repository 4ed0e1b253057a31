# SPDX-License-Identifier: Apache-2.0
"""Arrays of a ``.npz`` file, without pickle: objects are refused, and no code in a file ever runs."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcnn.datasets.idx import MAX_INFLATION
from fastcnn.errors import FormatError

_ENDING = ".npy"


def load(path: str | os.PathLike[str], max_bytes: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a file, by their names.

    Parameters
    ----------
    path
        The file, as `numpy.savez` and `numpy.savez_compressed` write it.
    max_bytes
        Of all arrays together; None: what this machine has of memory. A file that declares more is refused
        before anything is unpacked, and so is one that declares more than its own bytes can hold.

    Raises
    ------
    FormatError
        It is no such file, is damaged, holds objects, or declares too much.
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
            if stream.read(6) == np.lib.format.MAGIC_PREFIX:
                raise FormatError(path, 0, "a single array, wanted a .npz file of several")
            size = os.fstat(stream.fileno()).st_size
            with zipfile.ZipFile(stream) as archive:
                declared = sum(member.file_size for member in archive.infolist())
                limit, held = _memory() if max_bytes is None else max_bytes, size * MAX_INFLATION
                if declared > min(limit, held):
                    most = f"its {size} hold {held} at most" if held < limit else f"the limit is {limit}"
                    raise FormatError(path, None, f"it declares {declared} bytes of arrays, {most}")
                return {
                    member.filename.removesuffix(_ENDING): _read(archive, member)
                    for member in archive.infolist()
                }
    except FormatError:
        raise
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise FormatError(path, 0, f"not a .npz file of numbers: {error}") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array, if its header says as much as there is."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{member.filename} has version {version} of the format, wanted 1.0 or 2.0")
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, _, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds objects")
        wanted, left = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
        if min(shape, default=0) < 0 or wanted != left:
            raise ValueError(
                f"{member.filename} declares shape {shape} of {dtype}: {wanted} bytes, it has {left}"
            )
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        return array


def _memory() -> int:
    """Bytes that this machine has; where it does not say, no limit."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 1 << 62

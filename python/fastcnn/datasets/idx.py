# SPDX-License-Identifier: Apache-2.0
"""The IDX format of the MNIST family, plain or gzip-compressed.

Layout: two zero bytes, a type code, the rank, each dimension as a big-endian uint32, then the values in C
order, big-endian. A file is untrusted: every number in it is checked before anything is allocated, and no
more is decompressed than the header declares. Called by ``datasets.mnist`` and the command line.
"""

from __future__ import annotations

import math
import os
import struct
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from fastcnn.errors import FormatError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 8
_GZIP_MAGIC = b"\x1f\x8b"
MAX_INFLATION = 1032  # deflate spends at least 2 bits on a run of 258 bytes
_CHUNK = 1 << 20


def load(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read one IDX file.

    Parameters
    ----------
    path
        The file, plain or gzip-compressed (told apart by its first two bytes, not by its name).

    Returns
    -------
    numpy.ndarray
        A new array of the shape and type that the header declares (uint8, int8, int16, int32, float32 or
        float64, in the machine's byte order).

    Raises
    ------
    FormatError
        The file is truncated, has bytes left over, fails its gzip checksum or has a header that cannot be
        true.
    OSError
        The file cannot be opened or read.

    Notes
    -----
    The format is described with the MNIST database (Y. LeCun, C. Cortes, C. J. C. Burges).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn.datasets import idx
    >>> path = pathlib.Path(tempfile.mkdtemp(), "three-idx1-ubyte")
    >>> _ = path.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> idx.load(path)
    array([7, 8, 9], dtype=uint8)
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        return _load_gzip(file, path, size) if compressed else _parse(file, path, size)


def load_pair(
    images: str | os.PathLike[str], labels: str | os.PathLike[str]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read images and their labels: two IDX files of equal length, the second of rank 1.

    Raises
    ------
    FormatError
        One of the files is damaged, or the two do not belong together.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn.datasets import idx
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "x").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]))
    >>> _ = (folder / "y").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 3]))
    >>> idx.load_pair(folder / "x", folder / "y")
    (array([[5, 6]], dtype=uint8), array([3], dtype=uint8))
    """
    x, y = load(images), load(labels)
    if y.ndim != 1:
        raise FormatError(labels, 3, f"labels of rank {y.ndim}, wanted rank 1")
    if len(x) != len(y):
        raise FormatError(labels, 4, f"{len(y)} labels for the {len(x)} images of {os.fspath(images)}")
    return x, y


def _load_gzip(file: IO[bytes], path: str | os.PathLike[str], size: int) -> npt.NDArray[Any]:
    import gzip
    import zlib

    with gzip.GzipFile(fileobj=file) as stream:
        try:
            return _parse(cast("IO[bytes]", stream), path, size * MAX_INFLATION)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FormatError(path, stream.tell(), f"gzip stream: {error}") from error


def _parse(stream: IO[bytes], path: str | os.PathLike[str], limit: int) -> npt.NDArray[Any]:
    """Read an array from ``stream``, which holds ``limit`` bytes at most."""
    head = stream.read(4)
    if len(head) < 4:
        raise FormatError(path, len(head), "the file ends within the 4-byte IDX magic number")
    if head[:2] != b"\0\0":
        raise FormatError(path, 0, f"magic number 0x{head.hex()}, an IDX file begins with two zero bytes")
    code, rank = head[2], head[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{c:02x}" for c in _DTYPES)
        raise FormatError(path, 2, f"type code 0x{code:02x}, wanted one of {known}")
    if not 1 <= rank <= _MAX_RANK:
        raise FormatError(path, 3, f"rank {rank}, wanted 1 to {_MAX_RANK}")
    dims = stream.read(4 * rank)
    if len(dims) < 4 * rank:
        raise FormatError(path, 4 + len(dims), f"the file ends within its {rank} dimensions")
    shape = struct.unpack(f">{rank}I", dims)
    if 0 in shape:
        raise FormatError(path, 4 + 4 * shape.index(0), f"shape {shape} has a dimension of 0")

    start = 4 + 4 * rank
    dtype = np.dtype(_DTYPES[code])
    size = math.prod(shape) * dtype.itemsize
    if size > limit - start:
        raise FormatError(path, 4, f"shape {shape} wants {size} bytes, the file can hold {limit - start}")
    raw = np.empty(size, np.uint8)
    done = 0
    while done < size:
        got = cast(Any, stream).readinto(raw.data[done : done + _CHUNK])
        if not got:
            raise FormatError(path, start + done, f"the file ends after {done} of {size} bytes of data")
        done += got
    if stream.read(1):
        raise FormatError(path, start + size, f"bytes follow the {size} of shape {shape}")
    return raw.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)

# SPDX-License-Identifier: Apache-2.0
"""A file replaced in one step: temporary file in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import IO, TypeAlias

Path: TypeAlias = str | os.PathLike[str]


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``path`` when the block ends well, and vanishes otherwise.

    The new file has a name of its own in the same folder and is on the disk before it is renamed: a crash or
    a second writer leaves the old file or a complete new one, never a mixture.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        number = errno.EISDIR if os.path.isdir(target) else errno.EINVAL
        raise OSError(number, "not a regular file", os.fspath(path))
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".fastcnn-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            # The name that the caller knows, not that of the temporary file.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

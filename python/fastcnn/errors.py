# SPDX-License-Identifier: Apache-2.0
"""The exceptions of fastcnn.

Each inherits the builtin that fits, so ordinary ``except ValueError`` works. A message names the operator or
the layer, the argument, what came and what was wanted. If a call raises, nothing that the caller owns has
changed. The extension raises these same classes.
"""

from __future__ import annotations

import os


class ShapeError(ValueError):
    """An array's rank or size does not fit the operator or the layer."""


class ArgumentError(ValueError):
    """An argument lies outside its domain (a stride of 0, an unknown name, an overlapping ``out``)."""


class DTypeError(TypeError):
    """An array or an argument has a type that is not accepted; the message says which are."""


class DeviceError(RuntimeError):
    """The device asked for cannot be used; the message says what is missing."""


class DeviceLostError(DeviceError):
    """The GPU has failed while it was at work, and answers nothing in this process any more.

    What lay in its memory is lost, weights among it. The CPU goes on: load a saved model, compile it there.
    """


class OutOfMemoryError(MemoryError):
    """An allocation was refused; the message says how many bytes were wanted."""


class FormatError(ValueError):
    """A file is truncated, damaged or not of the format that was expected.

    Parameters
    ----------
    path
        The file.
    offset
        Byte position, in the decompressed stream, where the file stops making sense; None if it is not known.
    reason
        What was found there and what was wanted.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int | None, reason: str) -> None:
        where = "" if offset is None else f" at byte {offset}:"
        super().__init__(f"{os.fspath(path)}:{where} {reason}")
        self.path = os.fspath(path)
        self.offset = offset
        self.reason = reason

    def __reduce__(self) -> tuple[type[FormatError], tuple[str, int | None, str]]:
        return type(self), (self.path, self.offset, self.reason)

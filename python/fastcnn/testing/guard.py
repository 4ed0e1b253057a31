# SPDX-License-Identifier: Apache-2.0
"""Arrays whose first or last byte borders on a page that may not be touched.

A kernel that reads or writes one element too far is stopped by the hardware, at full speed and without a
sanitizer.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Side = Literal["begin", "end"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_PROT_NONE = 0


def guarded(values: ArrayLike, side: Side) -> NDArray[Any]:
    """Copy `values` into an array with an inaccessible page right after its end or before its begin."""
    source = np.ascontiguousarray(values)
    page = mmap.PAGESIZE
    room = max(1, math.ceil(source.nbytes / page)) * page
    memory = mmap.mmap(-1, room + 2 * page)
    _forbid(memory, 0)
    _forbid(memory, page + room)
    offset = page if side == "begin" else page + room - source.nbytes
    # The array keeps the mapping alive; both vanish together.
    array: NDArray[Any] = np.frombuffer(memory, source.dtype, source.size, offset).reshape(source.shape)
    array[...] = source
    return array


def _forbid(memory: mmap.mmap, offset: int) -> None:
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory, offset))
    if _libc.mprotect(address, mmap.PAGESIZE, _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")

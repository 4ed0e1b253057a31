# SPDX-License-Identifier: Apache-2.0
"""What fastcnn and its tests use of CuPy, for the emulated GPU, whose memory is the host's.

Found in place of CuPy where this folder stands on PYTHONPATH. New arrays are full of NaN (or of 255), so that
what a kernel leaves unwritten, or reads before it has written it, shows.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np
from numpy import dtype

__all__ = ["asarray", "asnumpy", "cuda", "dtype", "empty", "from_dlpack", "ndarray"]


class _Pointer:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class ndarray:
    """An array in the memory of the emulated GPU."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    shape = property(lambda self: self._array.shape)
    strides = property(lambda self: self._array.strides)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    data = property(lambda self: _Pointer(self._array.ctypes.data))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = dict(self._array.__array_interface__)
        return {
            "version": 3,
            "stream": 1,
            **{key: interface[key] for key in ("shape", "typestr", "data", "strides")},
        }

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self._array[index])

    def transpose(self, *axes: int) -> ndarray:
        return ndarray(self._array.transpose(*axes))

    def reshape(self, *shape: int) -> ndarray:
        return ndarray(self._array.reshape(*shape))

    def get(self) -> np.ndarray[Any, Any]:
        return self._array.copy()


class _Memory:
    """What NumPy sees of another's memory."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__array_interface__ = {**interface, "version": 3}
        self.owner = owner


def asarray(value: Any) -> ndarray:
    if isinstance(value, ndarray):
        return value
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is not None:
        kept = {key: interface[key] for key in ("shape", "typestr", "data") if key in interface}
        return ndarray(np.asarray(_Memory({**kept, "strides": interface.get("strides")}, value)))
    return ndarray(np.array(value, order="C"))


def from_dlpack(value: Any) -> ndarray:
    return asarray(value.on_device)


def asnumpy(array: ndarray) -> np.ndarray[Any, Any]:
    return array.get()


def empty(shape: Any, dtype: Any = np.float32) -> ndarray:
    array = np.empty(shape, dtype)
    array.view(np.uint8).fill(255) if array.ndim else array.fill(255)
    return ndarray(array)


class OutOfMemoryError(MemoryError):
    pass


cuda = types.SimpleNamespace(
    get_current_stream=lambda: _Pointer(0),
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=types.SimpleNamespace(memGetInfo=lambda: (0, 0)),
)

# SPDX-License-Identifier: Apache-2.0
"""What fastcnn and its tests use of CuPy, for the emulated GPU, whose memory is a part of the host's.

Found in place of CuPy where this folder stands on PYTHONPATH. New arrays are full of NaN (or of 255), so that
what a kernel leaves unwritten, or reads before it has written it, shows. ``emulated`` is for tests alone:
room, failures, and whether the host may touch the GPU's memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import time
import types
import weakref
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy import dtype

__all__ = ["asarray", "asnumpy", "cuda", "dtype", "empty", "from_dlpack", "ndarray"]


@functools.cache
def _library() -> Any:
    spec = find_spec("fastcnn")
    assert spec is not None
    assert spec.origin is not None
    library = ctypes.CDLL(str(Path(spec.origin).parent / "_cuda.so"))
    library.emulated_malloc.restype = ctypes.c_void_p
    library.emulated_malloc.argtypes = [ctypes.c_size_t]
    library.emulated_free.argtypes = [ctypes.c_void_p]
    library.emulated_set_bytes.argtypes = [ctypes.c_size_t]
    library.emulated_fail.argtypes = [ctypes.c_int64, ctypes.c_int]
    library.emulated_bytes.restype = library.emulated_free_bytes.restype = ctypes.c_size_t
    return library


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    _library().emulated_work(1)
    try:
        yield
    finally:
        _library().emulated_work(0)


class _Pointer:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class _Stream(_Pointer):
    def synchronize(self) -> None:
        pass


class _Event:
    """A moment; work of the default stream is done when it is queued."""

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass


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

    def view(self, dtype: Any) -> ndarray:
        return ndarray(self._array.view(dtype))

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **_: Any) -> Any:
        return self._array.__dlpack__()

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self._array[index])

    def transpose(self, *axes: int) -> ndarray:
        return ndarray(self._array.transpose(*axes))

    def reshape(self, *shape: int) -> ndarray:
        return ndarray(self._array.reshape(*shape))

    def get(self) -> np.ndarray[Any, Any]:
        with _at_work():
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
    host = np.asarray(value)
    array = empty(host.shape, host.dtype)
    with _at_work():
        array._array[...] = host
    return array


class _Host:
    """An export of emulated memory, which NumPy reads as the host's."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **_: Any) -> Any:
        return self.value.__dlpack__()


def from_dlpack(value: Any) -> ndarray:
    return ndarray(np.from_dlpack(_Host(value)))


def asnumpy(array: ndarray) -> np.ndarray[Any, Any]:
    return array.get()


def empty(shape: Any, dtype: Any = np.float32) -> ndarray:
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
    address = _library().emulated_malloc(size)
    if address is None:
        raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
    memory = (ctypes.c_char * size).from_address(address)
    weakref.finalize(memory, _library().emulated_free, address)
    return ndarray(np.ndarray(shape, dtype, memory))


class OutOfMemoryError(MemoryError):
    pass


class CUDARuntimeError(RuntimeError):
    pass


def _mem_info() -> tuple[int, int]:
    return _library().emulated_free_bytes(), _library().emulated_bytes()


def get_default_memory_pool() -> Any:
    return types.SimpleNamespace(free_bytes=lambda: 0)


cuda = types.SimpleNamespace(
    get_current_stream=lambda: _Stream(0),
    Event=_Event,
    get_elapsed_time=lambda first, last: 1e3 * (last.time - first.time),
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=types.SimpleNamespace(memGetInfo=_mem_info, CUDARuntimeError=CUDARuntimeError),
)


class emulated:
    """The emulated GPU itself."""

    @staticmethod
    def room(size: int | None) -> None:
        """How many bytes it has; None: as many as are needed."""
        _library().emulated_set_bytes(size or 0)

    @staticmethod
    def guard(on: bool) -> None:
        """Whether a touch of its memory by the host ends the process."""
        _library().emulated_guard(int(on))

    @staticmethod
    def fail(after: int, error: int) -> None:
        """Let the kernel after so many others fail, and all that follows."""
        _library().emulated_fail(after, error)

    @staticmethod
    def counts() -> dict[str, int]:
        """Kernels run, graphs replayed and captured, nodes of these that come after several others, and
        copies of pinned memory that were put on a stream while another had work.
        """
        names = ("kernels", "graphs", "captures", "forks", "ahead")
        out = (ctypes.c_int64 * len(names))()
        _library().emulated_counts(out)
        return dict(zip(names, out, strict=True))

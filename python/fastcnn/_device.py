# SPDX-License-Identifier: Apache-2.0
"""What the native module asks of CuPy: arrays, memory from its pool, the current stream.

Imported with the first array that lies in a GPU's memory, or the first model that is to. Nothing here touches
a GPU on import.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

from fastcnn.errors import DeviceError, OutOfMemoryError

_FOLDER = Path(__file__).parent


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            "a GPU needs CuPy, which cannot be imported; install fastcnn[cuda13] or fastcnn[cuda12]"
        ) from error


def kernels() -> str:
    """Path of the object with the GPU's kernels, which loads without a GPU."""
    path = _FOLDER / "_cuda.so"
    if not path.exists():
        raise DeviceError(
            "this build of fastcnn has no GPU kernels; build it with FASTCNN_CUDA=ON where nvcc is"
        )
    return str(path)


def library() -> str:
    """The same for those who use a GPU."""
    path = kernels()
    _cupy()
    return path


def as_cupy(value: Any) -> Any:
    """A CuPy array of the same memory; work that the producer has queued is waited for on the GPU."""
    cupy = _cupy()
    if isinstance(value, cupy.ndarray):
        return value
    return cupy.asarray(value) if hasattr(value, "__cuda_array_interface__") else cupy.from_dlpack(value)


def _allocate(needs: str, shape: tuple[int, ...], dtype: str) -> Any:
    cupy = _cupy()
    try:
        return cupy.empty(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        wanted = math.prod(shape) * cupy.dtype(dtype).itemsize
        free, total = cupy.cuda.runtime.memGetInfo()
        raise OutOfMemoryError(
            f"{needs} needs {wanted} bytes of the GPU's memory, where {free} of {total} are free"
        ) from error
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"{needs}: {error}") from error


def empty(op: str, what: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A new array, of which nothing is written."""
    return _allocate(f"{op}: {what} of shape {shape}", shape, dtype)


def memory(what: str, size: int) -> Any:
    """So many bytes that no work of the GPU still uses."""
    array = _allocate(what, (size,), "uint8")
    _cupy().cuda.get_current_stream().synchronize()  # the pool hands out again what its stream may still read
    return array


def free_bytes() -> int:
    """Of the GPU's memory, or held by CuPy's pool and unused."""
    cupy = _cupy()
    return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


def to_numpy(array: Any) -> Any:
    """A copy in the host's memory."""
    return _cupy().asnumpy(array)


def stream() -> int:
    """CuPy's current stream."""
    return int(_cupy().cuda.get_current_stream().ptr)

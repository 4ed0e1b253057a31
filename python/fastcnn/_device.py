# SPDX-License-Identifier: Apache-2.0
"""What the native module asks of CuPy: arrays, memory from its pool, the current stream.

Imported with the first array that lies in a GPU's memory. Nothing here touches a GPU on import.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fastcnn.errors import DeviceError, OutOfMemoryError

_FOLDER = Path(__file__).parent


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            "GPU arrays need CuPy, which cannot be imported; install fastcnn[cuda13] or fastcnn[cuda12]"
        ) from error


def library() -> str:
    """Path of the object with the GPU's kernels."""
    path = _FOLDER / "_cuda.so"
    if not path.exists():
        raise DeviceError(
            "this build of fastcnn has no GPU kernels; build it with FASTCNN_CUDA=ON where nvcc is"
        )
    _cupy()
    return str(path)


def as_cupy(value: Any) -> Any:
    """A CuPy array of the same memory; work that the producer has queued is waited for on the GPU."""
    cupy = _cupy()
    if isinstance(value, cupy.ndarray):
        return value
    return cupy.asarray(value) if hasattr(value, "__cuda_array_interface__") else cupy.from_dlpack(value)


def empty(op: str, what: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A new array, of which nothing is written."""
    cupy = _cupy()
    try:
        return cupy.empty(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        count = 1
        for size in shape:
            count *= size
        wanted = count * cupy.dtype(dtype).itemsize
        free, total = cupy.cuda.runtime.memGetInfo()
        raise OutOfMemoryError(
            f"{op}: {what} of shape {shape} needs {wanted} bytes of the GPU's memory, where {free} of "
            f"{total} are free"
        ) from error


def to_numpy(array: Any) -> Any:
    """A copy in the host's memory."""
    return _cupy().asnumpy(array)


def stream() -> int:
    """CuPy's current stream."""
    return int(_cupy().cuda.get_current_stream().ptr)

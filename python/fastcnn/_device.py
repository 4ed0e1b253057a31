# SPDX-License-Identifier: Apache-2.0
"""What the native module asks of CuPy: arrays, memory from its pool, the current stream.

Imported with the first array that lies in a GPU's memory, or the first model that is to. Nothing here touches
a GPU on import.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from pathlib import Path
from typing import Any

from fastcnn.errors import ArgumentError, DeviceError, DTypeError, OutOfMemoryError

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


_DTYPE = 20  # bytes into a DLTensor: the type's code, a byte; its bits, a byte; its lanes, two
_BFLOAT16, _UINT = 4, 1  # codes of types
_CAPSULES = {b"dltensor": 0, b"dltensor_versioned": 32}  # where they hold their DLTensor


def _dlpack_type(capsule: Any) -> Any:
    """Code, bits and lanes of what a capsule holds, as bytes that can be written."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetPointer.restype = ctypes.c_char_p, ctypes.c_void_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    name = api.PyCapsule_GetName(capsule)
    if name not in _CAPSULES:
        raise ArgumentError(f"a DLPack capsule named {name!r} came, wanted one that was not taken yet")
    address = api.PyCapsule_GetPointer(capsule, name) + _CAPSULES[name] + _DTYPE
    return (ctypes.c_uint8 * 4).from_address(address)


class _Retyped:
    """What another array exports, and whether it is bfloat16, which then goes as the 16 bits that it is."""

    bfloat16 = False

    def __init__(self, array: Any, bits: Any = None) -> None:
        self.array, self.bits = array, bits

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.array.__dlpack__(**options)
        kind = _dlpack_type(capsule)
        if self.bits is not None:
            kind[0] = _BFLOAT16
        elif bytes(kind) == bytes((_BFLOAT16, 16, 1, 0)):
            self.bfloat16, kind[0] = True, _UINT
        return capsule


class Bfloat16:
    """An array of bfloat16 on a GPU: ``bits``, an array of uint16 of CuPy's, are its numbers.

    ``torch.from_dlpack`` and every other reader of DLPack takes it without a copy.
    """

    dtype = "bfloat16"

    def __init__(self, bits: Any) -> None:
        self.bits = bits

    shape = property(lambda self: self.bits.shape)
    strides = property(lambda self: self.bits.strides)
    ndim = property(lambda self: self.bits.ndim)
    data = property(lambda self: self.bits.data)

    def __dlpack_device__(self) -> Any:
        return self.bits.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        return _Retyped(self.bits, self.bits).__dlpack__(**options)

    def __repr__(self) -> str:
        return f"<bfloat16 array of shape {self.shape} on a GPU>"


def as_cupy(value: Any, what: str) -> Any:
    """A CuPy array of the same memory; work that the producer has queued is waited for on the GPU.

    Of bfloat16, which is told by DLPack's type code or by the name of the array's dtype, a `Bfloat16`. The
    type string "<V2" of ``__cuda_array_interface__`` alone says no more than that there are two bytes.
    """
    cupy = _cupy()
    if isinstance(value, Bfloat16):
        return value
    named = str(getattr(value, "dtype", "")).rpartition(".")[2] == "bfloat16"
    if isinstance(value, cupy.ndarray):
        return Bfloat16(value.view("uint16")) if named else value
    interface = None if named else getattr(value, "__cuda_array_interface__", None)
    if interface is not None:
        if interface["typestr"] == "<V2":
            raise DTypeError(
                f"{what}: an array of {type(value).__name__} says that its numbers are two bytes (<V2), not "
                "which; pass one whose dtype is named bfloat16, or one that speaks DLPack"
            )
        try:
            return cupy.asarray(value)
        except cupy.cuda.runtime.CUDARuntimeError as error:  # CuPy asks on which GPU it is
            address = interface["data"][0]
            raise ArgumentError(f"{what}: address {address:#x} is in no GPU's memory ({error})") from error
    if hasattr(value, "__dlpack__"):
        exported = _Retyped(value)
        array = cupy.from_dlpack(exported)
        return Bfloat16(array) if exported.bfloat16 else array
    array = cupy.asarray(_Interface({**value.__cuda_array_interface__, "typestr": "<u2"}, value))
    return Bfloat16(array)


class _Interface:
    """The memory of another array, which it keeps."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__cuda_array_interface__, self.owner = interface, owner


def _allocate(needs: str, shape: tuple[int, ...], dtype: Any) -> Any:
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


def empty(op: str, what: str, shape: tuple[int, ...], dtype: Any) -> Any:
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


def cupy_parts() -> tuple[Any, Any, Any]:
    """Of CuPy: the type of its arrays, and the functions that make a new one and that tell the stream."""
    cupy = _cupy()
    return cupy.ndarray, cupy.empty, cupy.cuda.get_current_stream

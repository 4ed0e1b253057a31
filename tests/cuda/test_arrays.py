# SPDX-License-Identifier: Apache-2.0
"""Arrays in a GPU's memory: what is taken, what comes back, what is refused.

Needs a GPU, or the emulated one.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from device import cupy

import fastcnn
from fastcnn import _native, ops
from fastcnn.testing.compare import assert_same_bits


def on_gpu(name: str) -> Any:
    """The operator itself, which the other tests find sending NumPy arrays to the GPU."""
    return getattr(ops, name).__wrapped__


def test_every_step_has_a_row() -> None:
    without = {"to_lanes", "from_lanes"}  # the layout of small networks on a CPU
    steps = {row["step"] for row in _native.kernels()}
    assert steps - {row["step"] for row in _native.gpu_kernels()} == without
    assert {row["step"] for row in _native.gpu_kernels()} < steps


def test_the_result_is_beside_its_input(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 5)).astype(np.float32)
    y = on_gpu("tanh")(cupy.asarray(x))
    assert isinstance(y, cupy.ndarray)
    assert_same_bits(cupy.asnumpy(y), on_gpu("tanh")(x), "tanh")  # fused multiply-adds on both


def test_out_is_returned(rng: np.random.Generator) -> None:
    x, out = rng.standard_normal((3, 5)).astype(np.float32), cupy.empty((3, 5), np.float32)
    assert on_gpu("relu")(cupy.asarray(x), out=out) is out
    assert_same_bits(cupy.asnumpy(out), np.maximum(x, 0), "relu")


@pytest.mark.parametrize("view", [lambda a: a.transpose(1, 0), lambda a: a[1:, ::2], lambda a: a[::-1, ::-1]])
def test_view_equals_copy(view: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((7, 9)).astype(np.float32)
    y = on_gpu("softmax")(view(cupy.asarray(x)))
    assert_same_bits(cupy.asnumpy(y), ops.softmax(np.ascontiguousarray(view(x))), "softmax")


class Foreign:
    """An array of another library, which says where it lies."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__


def test_any_library_is_taken(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 6)).astype(np.float32)
    y = on_gpu("sigmoid")(Foreign(cupy.asarray(x)))
    assert isinstance(y, cupy.ndarray)
    assert_same_bits(cupy.asnumpy(y), ops.sigmoid(x), "sigmoid")


def test_a_capsule_that_was_taken_is_refused() -> None:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)

    class Spent:
        def __dlpack_device__(self) -> Any:
            return cupy.asarray(np.ones(3, np.float32)).__dlpack_device__()

        def __dlpack__(self, **_: Any) -> Any:
            return new(1, b"used_dltensor", None)

    with pytest.raises(fastcnn.ArgumentError, match="used_dltensor"):
        on_gpu("relu")(Spent())


def test_mixed_places_are_refused_by_name() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(fastcnn.DeviceError, match="add: x1 is in a GPU's memory and x2 is a NumPy array"):
        on_gpu("add")(cupy.asarray(x), x)
    with pytest.raises(fastcnn.DeviceError, match="relu: out is a NumPy array and x is in a GPU's memory"):
        on_gpu("relu")(cupy.asarray(x), out=np.empty_like(x))
    with pytest.raises(fastcnn.DeviceError, match="relu: out is in a GPU's memory and x is a NumPy array"):
        on_gpu("relu")(x, out=cupy.asarray(x))


def test_another_dtype_is_refused() -> None:
    with pytest.raises(fastcnn.DTypeError, match="relu: x has dtype float64"):
        on_gpu("relu")(cupy.asarray(np.ones(3)))


def test_overlap_is_refused() -> None:
    x = cupy.asarray(np.ones((4, 3), np.float32))
    with pytest.raises(fastcnn.ArgumentError, match="overlaps x"):
        on_gpu("relu")(x[:2], out=x[1:3])


def test_an_index_out_of_range_is_refused() -> None:
    x, index = np.ones((1, 1, 1, 1), np.float32), np.full((1, 1, 1, 1), 4, np.int32)
    with pytest.raises(fastcnn.ArgumentError, match="index holds 4"):
        on_gpu("max_unpool2d")(cupy.asarray(x), cupy.asarray(index), (1, 2, 2, 1))


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("wrong", [-(2**31), -1, 16, 2**31 - 1])
@pytest.mark.parametrize("at", [0, 1023, 1024, 4097, 5039])
def test_an_index_out_of_range_is_found(at: int, wrong: int, strided: bool) -> None:
    """By the threads of some blocks and by those that have less to look at."""
    index = np.arange(5040, dtype=np.int32).reshape(5, 2, 2, 252) % 16
    dy = cupy.asarray(np.ones(index.shape, np.float32))

    def bwd(out: Any = None) -> Any:
        wide = cupy.asarray(np.stack([index, index - 99], axis=-1) if strided else index)
        places = wide[..., 0] if strided else wide
        return on_gpu("max_pool2d_with_index_bwd")(dy, places, (5, 4, 4, 252), 2, out=out)

    dx = cupy.asnumpy(bwd())
    y, x, c = np.meshgrid(range(2), range(2), range(252), indexing="ij")
    n = np.zeros_like(index) + np.arange(5)[:, None, None, None]
    inside = (index // 8 == y) & (index % 4 // 2 == x)
    wanted = np.zeros((5, 16, 252), np.float32)
    np.add.at(wanted, (n, index, np.broadcast_to(c, index.shape)), inside)
    assert_same_bits(dx, wanted.reshape(dx.shape), "dx")
    index.reshape(-1)[at] = wrong
    out = cupy.asarray(np.full(dx.shape, 7, np.float32))
    with pytest.raises(fastcnn.ArgumentError, match=rf"index holds {wrong}, wanted numbers from 0 to 15"):
        bwd(out)
    assert (cupy.asnumpy(out) == 7).all()


def test_ten_runs_have_the_same_bits(rng: np.random.Generator) -> None:
    x, dy = (cupy.asarray(rng.standard_normal((2, 9, 9, 5)).astype(np.float32)) for _ in range(2))
    first = cupy.asnumpy(on_gpu("conv2d_wgrad")(x, dy, 3, padding="same"))
    for _ in range(9):
        assert_same_bits(
            cupy.asnumpy(on_gpu("conv2d_wgrad")(x, dy, 3, padding="same")), first, "conv2d_wgrad"
        )

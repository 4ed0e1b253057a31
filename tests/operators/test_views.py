# SPDX-License-Identifier: Apache-2.0
"""An input of any strides and alignment gives the bits of its contiguous copy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import SUITES, Call, conv_calls, gemm_call, pool_calls, rows_calls
from fastcnn.testing.compare import assert_same_bits

F32 = NDArray[np.float32]

CALLS: list[Call] = [call for suite in SUITES for call in suite.views]


def reversed_axes(a: F32) -> F32:
    """Stored in Fortran order."""
    return np.asfortranarray(a)


def negative_strides(a: F32) -> F32:
    return np.flip(np.flip(a).copy())


def every_other(a: F32) -> F32:
    """A slice of an array twice as large on every axis, whose gaps are NaN."""
    larger = np.full([2 * size for size in a.shape], np.nan, np.float32)
    view = larger[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def zero_stride(a: F32) -> F32:
    """The first entry of the first axis, over and over."""
    return np.broadcast_to(a[:1], a.shape)


def zero_stride_everywhere(a: F32) -> F32:
    return np.broadcast_to(a.ravel()[0], a.shape)


def shifted(by: int) -> Callable[[F32], F32]:
    """The same array `by` bytes further on."""

    def shift(a: F32) -> F32:
        memory = np.zeros(a.nbytes + 64 + by, np.uint8)
        begin = -memory.ctypes.data % 64 + by
        view = memory[begin : begin + a.nbytes].view(np.float32).reshape(a.shape)
        view[...] = a
        return view

    shift.__name__ = f"shifted_by_{by}"
    return shift


VIEWS = (
    reversed_axes,
    negative_strides,
    every_other,
    zero_stride,
    zero_stride_everywhere,
    *(shifted(by) for by in (1, 2, 3, 4)),
)


@pytest.mark.parametrize("view", VIEWS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_view_equals_copy(call: Call, view: Callable[[F32], F32], rng: np.random.Generator) -> None:
    views = {name: view(array) for name, array in call.reals(rng).items()}
    copies = {name: np.array(array, order="C") for name, array in views.items()}
    assert_same_bits(call.run(views), call.run(copies), str(call))


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_inputs_are_left_alone(call: Call, rng: np.random.Generator) -> None:
    arrays = call.reals(rng)
    kept = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    call.run(arrays)
    for name, array in arrays.items():
        assert_same_bits(array, kept[name], name)


ELEMENTWISE: list[tuple[Callable[..., F32], int]] = [
    *((f, 1) for f in (ops.relu, ops.gelu)),
    *((f, 2) for f in (ops.add, ops.multiply, ops.maximum, ops.tanh_bwd, ops.gelu_bwd)),
]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 16384 + 12, 50_001])
@pytest.mark.parametrize(("call", "inputs"), ELEMENTWISE, ids=lambda v: getattr(v, "__name__", ""))
def test_out_may_begin_anywhere_in_a_cache_line(
    call: Callable[..., F32], inputs: int, count: int, rng: np.random.Generator
) -> None:
    given = rng.standard_normal((inputs, count), np.float32)
    wanted = call(*given)
    for by in range(0, 64, 4):
        memory = np.full(count + 64, np.nan, np.float32)
        begin = (-memory.ctypes.data % 64 + by) // 4 + 16
        out = memory[begin : begin + count]
        assert call(*given, out=out) is out
        assert_same_bits(out, wanted, f"{by} bytes into a line")
        assert np.isnan(memory[:begin]).all()
        assert np.isnan(memory[begin + count :]).all()


@pytest.mark.parametrize("channels", [1, 5, 16, 40])
@pytest.mark.parametrize("window", [(2, 1), (3, 1), (5, 1), (7, 2)])
@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.average_pool2d], ids=lambda f: f.__name__)
def test_pooled_images_may_begin_anywhere_in_a_cache_line(
    pool: Callable[..., F32], window: tuple[int, int], channels: int, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((2, 11, 9, channels), np.float32)
    wanted = pool(x, *window, "same")
    for by in range(0, 64, 4):
        out = np.full_like(wanted, np.nan)
        assert_same_bits(pool(shifted(by)(x), *window, "same", out=out), wanted, f"{by} bytes into a line")


ONE = [
    *conv_calls(cases.ConvCase(1, 1, 1, 1, 1, r=1, s=1)),
    *pool_calls(cases.PoolCase(1, 1, 1, 1, pool_size=(1, 1))),
    gemm_call(cases.GemmCase(1, 1, 1)),
    *rows_calls(cases.RowsCase(1, 1)),
]


@pytest.mark.parametrize("call", ONE, ids=str)
def test_axes_of_one_element_may_have_any_stride(call: Call, rng: np.random.Generator) -> None:
    """NumPy leaves odd strides on such axes, and they mean nothing."""
    arrays = call.reals(rng)
    odd = {name: np.lib.stride_tricks.as_strided(a, strides=(12345,) * a.ndim) for name, a in arrays.items()}
    assert_same_bits(call.run(odd), call.run(arrays), str(call))

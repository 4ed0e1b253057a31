# SPDX-License-Identifier: Apache-2.0
"""Operators on arrays of bfloat16: sums are float32's, results are rounded once, ties to even.

The references are those of float32 on inputs that bfloat16 holds. Needs a GPU, real or emulated; each family
of matrix kernels has its own: FASTCNN_EMULATED_SM=75, 80, 90.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from device import capability, cupy

import fastcnn
from fastcnn import _device, _native, ops
from fastcnn.testing import cases
from fastcnn.testing.calls import SUITES, Call, conv_calls, gemm_call
from fastcnn.testing.compare import assert_exact, assert_same_bits, assert_within
from fastcnn.testing.fill import F32, bfloat16, reals

UNIT = 2.0**-8  # of the rounding to bfloat16
LEAST = 2.0**-133  # the least one above zero

# Of channels: float32 beside any storage.
OF_CHANNELS = {"bias", "gamma", "beta", "mean", "variance", "moving_mean", "moving_variance", "alpha"}


def on_gpu(name: str) -> Any:
    """The operator itself, which the other tests find sending arrays to the GPU."""
    return getattr(ops, name).__wrapped__


def stored(x: F32) -> _device.Bfloat16:
    """In the GPU's memory, where no bit is lost."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    assert not (bits & 0xFFFF).any()
    return _device.Bfloat16(cupy.asarray((bits >> 16).astype(np.uint16)))


def read(y: Any) -> F32:
    if isinstance(y, cupy.ndarray):
        return cupy.asnumpy(y)
    bits = cupy.asnumpy(y.bits).astype(np.uint32) << 16
    return bits.view(np.float32)


def there(name: str, value: Any) -> Any:
    if value.dtype != np.float32 or name in OF_CHANNELS:
        return cupy.asarray(value)
    return stored(value)


def run(call: Call, arrays: Any) -> F32:
    """The call on such arrays, into one of NaN."""
    placed = {name: there(name, value) for name, value in arrays.items()}
    arguments = {call.listed: list(placed.values())} if call.listed else placed
    if call.op == "prelu_alpha_bwd" or (call.part and call.part[0]):
        out: Any = cupy.asarray(np.full(call.out_shape, np.nan, np.float32))
    else:
        out = _device.Bfloat16(cupy.asarray(np.full(call.out_shape, 0xFFFF, np.uint16)))
    options = {
        name: cupy.asarray(value) if isinstance(value, np.ndarray) else value
        for name, value in call.options.items()
    }
    if call.part is None:
        y = on_gpu(call.op)(**arguments, **options, out=out)
        y = y[0] if isinstance(y, tuple) else y  # beside an index
    else:
        i, count = call.part
        outs = tuple(out if j == i else None for j in range(count))
        y = on_gpu(call.op)(**arguments, **options, out=outs)[i]
    assert y.data.ptr == out.data.ptr, "out= was not returned"
    return read(y)


def is_stored(call: Call) -> bool:
    return not (call.op == "prelu_alpha_bwd" or (call.part and call.part[0]))


def is_rounded_once(call: Call) -> bool:
    """What is computed in two steps is rounded twice, of which the bounds do not know."""
    fused = call.options.get("activation") not in (None, "relu")
    return hasattr(ops, call.op) and not (call.op.startswith("separable") or fused)


GEMM = (
    *(
        cases.GemmCase(m, n, k, transpose_a=a, transpose_b=b)
        for m, n, k in ((64, 64, 32), (129, 72, 56), (67, 131, 33), (5, 3, 16))
        for a in (False, True)
        for b in (False, True)
    ),
    cases.GemmCase(21, 24, 2104),  # sums that are cut
    cases.GemmCase(20, 21, 2100),
    cases.GemmCase(1400, 1504, 24),
)
CONV = (
    cases.ConvCase(2, 9, 8, 16, 32, padding="same"),
    cases.ConvCase(1, 9, 10, 20, 18, r=3, s=2, strides=(2, 3), padding=1),
    cases.ConvCase(2, 7, 6, 3, 24, r=5, s=5, strides=(2, 2), padding=2),
    cases.ConvCase(2, 6, 7, 48, 32, groups=2, dilation_rate=(2, 1), padding=2),
    cases.ConvCase(2, 5, 5, 65, 31, r=1, s=1, strides=(2, 2)),
    cases.ConvCase(2, 12, 13, 24, 40, padding="same"),
    cases.ConvCase(
        1, 21, 44, 3, 72, r=5, s=5, strides=(2, 2), padding=2
    ),  # one whose gradient has few columns
    cases.ConvCase(1, 9, 37, 1, 6, padding=1),
)
# Of compute capability 9.0: gemm with one operand to transpose and none, classes of pixels, channels that
# fill no row of a map, weight gradients that are cut.
MAPS = (
    *map(gemm_call, (cases.GemmCase(1000, 264, 40), cases.GemmCase(1027, 264, 104, transpose_b=True))),
    *conv_calls(cases.ConvCase(2, 33, 31, 40, 72, padding="same"), "relu"),
    *conv_calls(cases.ConvCase(4, 40, 37, 8, 136, r=3, s=2, strides=(2, 2), padding=1)),
)
CALLS = [
    *(call for suite in SUITES for call in suite.views if isinstance(call, Call) and is_rounded_once(call)),
    *map(gemm_call, GEMM),
    *(call for case in CONV for call in conv_calls(case, "relu")),
    *(MAPS if capability() == 90 else ()),
]


def rounded(call: Call, arrays: Any) -> dict[str, Any]:
    kept = {name for name, value in arrays.items() if value.dtype != np.float32 or name in OF_CHANNELS}
    return {name: value if name in kept else bfloat16(value) for name, value in arrays.items()}


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_sums_are_rounded_once(call: Call, rng: np.random.Generator) -> None:
    arrays = rounded(call, call.integers(rng))
    wanted = call.reference(arrays)
    if is_stored(call):
        wanted = bfloat16(wanted.astype(np.float32)).astype(np.float64)
    assert_exact(run(call, arrays), wanted, str(call))


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_within_the_bound_of_float32_and_one_rounding(call: Call, rng: np.random.Generator) -> None:
    arrays = rounded(call, call.reals(rng))
    wanted = call.reference(arrays)
    bound = call.bound(arrays, wanted)
    if is_stored(call):
        bound = bound + UNIT * (np.abs(wanted) + bound) + LEAST
    assert_within(run(call, arrays), wanted, bound, str(call))


def test_every_number_is_rounded_to_nearest_ties_to_even(rng: np.random.Generator) -> None:
    """Of 1 + i/256: halfway between two, and to either side of it; odd numbers of elements, odd addresses."""
    a = stored(np.repeat(np.float32([1, 1 + 2.0**-7, -1, 2.0**120, np.inf, np.nan]), 3))
    step = np.float32([2.0**-8, 2.0**-7, 2.0**-9])
    b = stored(np.tile(step, 6))
    with np.errstate(invalid="ignore"):
        wanted = bfloat16(read(a) + read(b))
    assert_same_bits(read(on_gpu("add")(a, b))[:-3], wanted[:-3], "add")
    assert np.isnan(read(on_gpu("add")(a, b))[-3:]).all()
    memory = stored(bfloat16(reals(rng, (64,))))
    for first in (0, 1):
        for size in (1, 2, 7, 30):
            x = _device.Bfloat16(memory.bits[first : first + size])
            assert_same_bits(read(on_gpu("relu")(x)), np.maximum(read(x), 0), "relu")


@pytest.mark.parametrize("view", [lambda a: a.transpose(1, 0), lambda a: a[1:, ::2], lambda a: a[::-1, ::-1]])
def test_view_equals_copy(view: Any, rng: np.random.Generator) -> None:
    x = stored(bfloat16(reals(rng, (7, 9))))
    y = on_gpu("softmax")(_device.Bfloat16(view(x.bits)))
    copy = stored(np.ascontiguousarray(view(read(x))))
    assert_same_bits(read(y), read(on_gpu("softmax")(copy)), "softmax")


def test_separable_convolutions_are_their_two_steps(rng: np.random.Generator) -> None:
    x, depthwise, pointwise = (
        stored(bfloat16(reals(rng, shape))) for shape in ((2, 7, 6, 5), (3, 3, 5, 2), (1, 1, 10, 8))
    )
    mid = on_gpu("depthwise_conv2d")(x, depthwise)
    y = on_gpu("separable_conv2d")(x, depthwise, pointwise, activation="tanh")
    assert_same_bits(read(y), read(on_gpu("conv2d")(mid, pointwise, activation="tanh")), "separable_conv2d")


def test_batch_norm_keeps_statistics_in_float32(rng: np.random.Generator) -> None:
    x = bfloat16(reals(rng, (40, 3)))
    y, mean, variance = on_gpu("batch_norm_train")(stored(x), momentum=0.0)
    assert_same_bits(read(mean), x.astype(np.float64).mean(axis=0).astype(np.float32), "mean")
    assert_same_bits(read(variance), x.astype(np.float64).var(axis=0).astype(np.float32), "variance")
    assert isinstance(y, _device.Bfloat16)


class Exported:
    """An array of another library that speaks DLPack alone."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)


class Described:
    """One that says where two bytes each lie."""

    def __init__(self, array: Any) -> None:
        self.__cuda_array_interface__ = {**array.bits.__cuda_array_interface__, "typestr": "<V2"}


def test_any_library_is_taken_that_says_what_it_holds(rng: np.random.Generator) -> None:
    x = stored(bfloat16(reals(rng, (4, 6))))
    wanted = np.maximum(read(x), 0)
    assert_same_bits(read(on_gpu("relu")(Exported(x))), wanted, "relu")
    assert_same_bits(read(on_gpu("relu")(Exported(on_gpu("relu")(x)))), wanted, "relu")
    with pytest.raises(fastcnn.DTypeError, match="two bytes"):
        on_gpu("relu")(Described(x))
    named = Described(x)
    named.dtype = "bfloat16"  # type: ignore[attr-defined]
    assert_same_bits(read(on_gpu("relu")(named)), wanted, "relu")
    with pytest.raises(fastcnn.DTypeError, match="relu: x has dtype uint16"):
        on_gpu("relu")(Exported(x.bits))


def test_what_does_not_fit_is_refused_by_name() -> None:
    x, y = stored(np.ones((2, 4, 4, 8), np.float32)), cupy.asarray(np.ones((2, 4, 4, 8), np.float32))
    with pytest.raises(fastcnn.DTypeError, match="x1 has dtype bfloat16 and x2 float32, wanted one dtype"):
        on_gpu("add")(x, y)
    with pytest.raises(fastcnn.DTypeError, match="relu: out has dtype float32, wanted bfloat16"):
        on_gpu("relu")(x, out=y)
    with pytest.raises(fastcnn.DTypeError, match="relu: out has dtype bfloat16, wanted float32"):
        on_gpu("relu")(y, out=x)
    gamma = stored(np.ones(8, np.float32))
    with pytest.raises(fastcnn.DTypeError, match=r"gamma has dtype bfloat16.*convert it to float32"):
        on_gpu("batch_norm")(x, gamma)
    with pytest.raises(fastcnn.ArgumentError, match="overlaps x"):
        on_gpu("relu")(_device.Bfloat16(x.bits[:1]), out=_device.Bfloat16(x.bits[:1]))


def test_every_run_has_the_same_bits(rng: np.random.Generator) -> None:
    a, b = stored(bfloat16(reals(rng, (20, 1104)))), stored(bfloat16(reals(rng, (1104, 72))))
    first = read(on_gpu("gemm")(a, b))
    for _ in range(3):
        assert_same_bits(read(on_gpu("gemm")(a, b)), first, "gemm")


def test_the_list_names_what_is_stored() -> None:
    rows = _native.gpu_kernels()
    for row in rows:
        plain = re.sub("(_to_float32|_to_bfloat16|_bfloat16)$", "", row["name"])
        assert {"step": row["step"], "name": plain} in rows
    steps = {row["step"] for row in rows if row["name"].endswith("_bfloat16")}
    assert {"conv2d_fprop", "conv2d_dgrad", "conv2d_wgrad", "gemm", "batch_norm_fwd"} < steps

# SPDX-License-Identifier: Apache-2.0
"""No argument of an operator, however wrong, ends the process or passes in silence.

Each row spoils one argument of a good call. The exception must be of the right class and name the operator
and the argument, and every array must be as it was.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import good_conv
import good_merging as merging
import good_norm
import good_pool
import numpy as np
import pytest

from fastcnn import ops
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError

CONVOLUTIONS = ("conv2d", "conv2d_dgrad", "conv2d_wgrad")
POOLS = tuple(f"{kind}_pool2d{way}" for kind in ("max", "average", "sum") for way in ("", "_bwd"))
ACTIVATIONS = ("relu", "sigmoid", "tanh", "softmax")
GRADIENTS = tuple(f"{name}_bwd" for name in ACTIVATIONS)

HUGE = 2**70
HOSTILE_SHAPE = (2**31, 2**31, 2**31, 2**31)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def endless(*shape: int) -> np.ndarray:
    """An array of any size on four bytes of memory."""
    return np.broadcast_to(np.float32(1), shape)


def good(op: str) -> dict[str, Any]:
    """Arguments that `op` accepts."""
    if op in good_conv.GOOD:
        return good_conv.good(op)
    if op in merging.GOOD:
        return merging.good(op)
    if op in good_norm.OPS:
        return good_norm.good(op)
    if op in good_pool.GOOD:
        return good_pool.good(op)
    x, kernel, dy = ones(2, 5, 6, 4), ones(3, 3, 4, 6), ones(2, 3, 4, 6)
    pooled = ones(2, 2, 3, 4)
    if op == "conv2d":
        return {"x": x, "kernel": kernel, "bias": ones(6)}
    if op == "conv2d_dgrad":
        return {"dy": dy, "kernel": kernel, "input_shape": x.shape}
    if op == "conv2d_wgrad":
        return {"x": x, "dy": dy, "kernel_size": (3, 3)}
    if op == "max_pool2d_bwd":
        return {"dy": pooled, "x": x, "pool_size": 2}
    if op in POOLS:
        first = {"dy": pooled, "input_shape": x.shape} if op.endswith("_bwd") else {"x": x}
        return {**first, "pool_size": 2}
    if op == "gemm":
        return {"a": ones(3, 5), "b": ones(5, 7), "bias": ones(7)}
    if op.startswith("prelu"):
        x = ones(3, 4, 5)
        first = {"dy": x, "x": x.copy()} if op.endswith("_bwd") else {"x": x}
        return {**first, **({"alpha_shape": (4, 5)} if op == "prelu_alpha_bwd" else {"alpha": ones(4, 5)})}
    rest = {"threshold": 0.5, "default_value": 0.0} if op in ("threshold", "threshold_bwd") else {}
    if not op.endswith("_bwd"):
        return {"x": ones(3, 5), **rest}
    saved = "x" if "x" in inspect.signature(getattr(ops, op)).parameters else "y"
    return {"dy": ones(3, 5), saved: ones(3, 5), **rest}


@dataclass(frozen=True)
class Bad:
    """`spoil` replaces arguments of the good call; the message must hold every one of `says`."""

    op: str
    spoil: dict[str, Any]
    error: type[Exception] | tuple[type[Exception], ...]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.op}-" + "-".join(f"{name}={short(value)}" for name, value in self.spoil.items())


def short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    # Without addresses: every process that shares the tests must give them the same names.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:30]


def bad_windows() -> Iterator[Bad]:
    for op in (*CONVOLUTIONS, *POOLS):
        for argument in ("strides", "dilation_rate" if op in CONVOLUTIONS else "pool_size"):
            for value in (0, -1, (1, 0), (0, 1), (-3, 1), HUGE, 2**31, 2**62, -HUGE):
                yield Bad(op, {argument: value}, ArgumentError, (argument,))
            for value in ((1, 2, 3), (), (1,)):
                yield Bad(op, {argument: value}, ArgumentError, (argument, str(len(value)), "2"))
            for value in (1.5, True, "2", (1, 1.5), (1, None), object(), np.float32(2), float("nan")):
                yield Bad(op, {argument: value}, DTypeError, (argument, "whole number"))
        for value in (-1, (-1, 0), ((0, 0), (0, -1)), ((-1, 0), (0, 0)), HUGE, 2**31):
            yield Bad(op, {"padding": value}, ArgumentError, ("padding",))
        yield Bad(op, {"padding": "full"}, ArgumentError, ("padding", "full", "valid", "same"))
        for value in ((1, 2, 3), ((1,), (2,)), ((1, 1), (1, 1, 1)), ()):
            yield Bad(op, {"padding": value}, ArgumentError, ("padding",))
        for value in (1.5, None, ((1, 2), 3), {}, b"same"):
            yield Bad(op, {"padding": value}, DTypeError, ("padding",))
        yield Bad(op, {"data_format": "NCWH"}, ArgumentError, ("data_format", "NCWH", "channels_last"))
        yield Bad(op, {"data_format": 3}, DTypeError, ("data_format",))
    for op in CONVOLUTIONS:
        for value in (0, -1, 3, HUGE, 2**40):
            yield Bad(op, {"groups": value}, ArgumentError, ("groups",))
        for value in (1.0, None, (1, 1), True):
            yield Bad(op, {"groups": value}, DTypeError, ("groups",))
        yield Bad(op, {"math": "quick"}, ArgumentError, ("math", "quick", "strict"))
        # The window with its dilation no longer fits.
        yield Bad(op, {"dilation_rate": (3, 1)}, ShapeError, ("7", "5"))
        yield Bad(op, {"dilation_rate": 2**30}, ShapeError, ("window",))
    for op in POOLS:
        # A window that sees nothing but padding has no maximum and no average.
        for value in (2, (0, 2), ((0, 0), (2, 0)), ((0, 5), (0, 0))):
            yield Bad(op, {"padding": value}, ArgumentError, ("padding", "pool_size"))
        yield Bad(op, {"pool_size": (6, 2)}, ShapeError, ("6", "5"))
        yield Bad(op, {"ceil_mode": "yes"}, DTypeError, ("ceil_mode",))
        yield Bad(op, {"ceil_mode": 1}, DTypeError, ("ceil_mode",))


def bad_arrays() -> Iterator[Bad]:
    for op in (*CONVOLUTIONS, *POOLS, "gemm", *ACTIVATIONS, *GRADIENTS):
        for argument, array in good(op).items():
            if not isinstance(array, np.ndarray):
                continue
            fix = (argument, "float64", "float32", "astype")
            yield Bad(op, {argument: array.astype(np.float64)}, DTypeError, fix)
            for dtype in ("float16", "int32", "uint8", "bool", "complex64", "object", ">f4", "U4", "M8[s]"):
                yield Bad(op, {argument: array.astype(dtype)}, DTypeError, (argument,))
            for value in (array.tolist(), "array", 1.0, object(), np.ma.masked_array(array)):
                yield Bad(op, {argument: value}, DTypeError, (argument,))
            if argument != "bias":
                yield Bad(op, {argument: None}, DTypeError, (argument,))
            yield Bad(op, {argument: np.float32(1)}, ShapeError, (argument, "rank"))
            for axis in range(array.ndim):
                empty = ones(*array.shape[:axis], 0, *array.shape[axis + 1 :])
                yield Bad(op, {argument: empty}, ShapeError, (argument, "0"))
            if op not in (*ACTIVATIONS, *GRADIENTS):
                yield Bad(op, {argument: array[None]}, ShapeError, (argument, "rank", str(array.ndim)))
                yield Bad(op, {argument: array[0]}, ShapeError, (argument, "rank", str(array.ndim)))


def bad_shapes() -> Iterator[Bad]:
    yield Bad("conv2d", {"kernel": ones(3, 3, 5, 6)}, ShapeError, ("kernel", "5", "4"))
    yield Bad("conv2d", {"groups": 2}, ShapeError, ("kernel", "4", "2"))
    yield Bad("conv2d", {"x": ones(2, 2, 2, 4)}, ShapeError, ("3", "2"))
    yield Bad("conv2d", {"bias": ones(5)}, ShapeError, ("bias", "5", "6"))
    yield Bad("conv2d", {"bias": ones(1)}, ShapeError, ("bias", "1", "6"))
    yield Bad("conv2d", {"activation": "glu"}, ArgumentError, ("activation", "glu", "relu", "softmax"))
    yield Bad("conv2d", {"activation": 1}, DTypeError, ("activation",))
    yield Bad("conv2d_dgrad", {"dy": ones(2, 3, 5, 6)}, ShapeError, ("dy", "[2, 3, 5, 6]", "[2, 3, 4, 6]"))
    yield Bad("conv2d_dgrad", {"dy": ones(1, 3, 4, 6)}, ShapeError, ("dy", "[1, 3, 4, 6]", "[2, 3, 4, 6]"))
    yield Bad("conv2d_dgrad", {"dy": ones(2, 3, 4, 5)}, ShapeError, ("dy", "[2, 3, 4, 5]", "[2, 3, 4, 6]"))
    yield Bad("conv2d_dgrad", {"kernel": ones(3, 3, 5, 6)}, ShapeError, ("kernel", "5", "4"))
    yield Bad("conv2d_wgrad", {"dy": ones(2, 3, 5, 6)}, ShapeError, ("dy", "[2, 3, 5, 6]", "[2, 3, 4, 6]"))
    yield Bad("conv2d_wgrad", {"dy": ones(3, 3, 4, 6)}, ShapeError, ("dy", "[3, 3, 4, 6]", "[2, 3, 4, 6]"))
    yield Bad("conv2d_wgrad", {"kernel_size": (6, 3)}, ShapeError, ("6", "5"))
    for value in (0, -1, (3, 0)):
        yield Bad("conv2d_wgrad", {"kernel_size": value}, ShapeError, ("kernel",))
    yield Bad("conv2d_wgrad", {"kernel_size": (3, 3, 3)}, ArgumentError, ("kernel_size", "3", "2"))
    yield Bad("conv2d_wgrad", {"kernel_size": 3.0}, DTypeError, ("kernel_size",))
    for op in ("conv2d_dgrad", "average_pool2d_bwd", "sum_pool2d_bwd"):
        for value in ((2, 0, 6, 4), (-2, 5, 6, 4), HOSTILE_SHAPE):
            yield Bad(op, {"input_shape": value}, ShapeError, (str(value[1]),))
        yield Bad(op, {"input_shape": (2, 5, 6, HUGE)}, ArgumentError, ("input_shape",))
        yield Bad(op, {"input_shape": (2, 5, 6)}, ArgumentError, ("input_shape", "3", "4"))
        for value in (None, 7, (2, 5, 6, 4.0), "2564"):
            yield Bad(op, {"input_shape": value}, DTypeError, ("input_shape",))
    for op in POOLS:
        if op.endswith("_bwd"):
            yield Bad(op, {"dy": ones(2, 2, 3, 5)}, ShapeError, ("dy", "[2, 2, 3, 5]", "[2, 2, 3, 4]"))
            yield Bad(op, {"dy": ones(2, 3, 3, 4)}, ShapeError, ("dy", "[2, 3, 3, 4]", "[2, 2, 3, 4]"))
            yield Bad(op, {"dy": ones(1, 2, 3, 4)}, ShapeError, ("dy", "[1, 2, 3, 4]", "[2, 2, 3, 4]"))
            yield Bad(op, {"ceil_mode": True}, ShapeError, ("dy", "[2, 2, 3, 4]", "[2, 3, 3, 4]"))
    yield Bad("gemm", {"b": ones(6, 7)}, ShapeError, ("[3, 5]", "[6, 7]"))
    yield Bad("gemm", {"transpose_a": True}, ShapeError, ("transposed", "3", "5"))
    yield Bad("gemm", {"transpose_b": True}, ShapeError, ("transposed", "5", "7"))
    yield Bad("gemm", {"transpose_a": "yes"}, DTypeError, ("transpose_a",))
    yield Bad("gemm", {"transpose_b": 1}, DTypeError, ("transpose_b",))
    yield Bad("gemm", {"bias": ones(3)}, ShapeError, ("bias", "3", "7"))
    yield Bad("gemm", {"activation": "general_relu"}, ArgumentError, ("activation", "general_relu", "relu6"))
    for op in GRADIENTS:
        yield Bad(op, {"dy": ones(3, 4)}, ShapeError, ("dy", "[3, 4]", "[3, 5]"))
        yield Bad(op, {"y": ones(5)}, ShapeError, ("y", "[5]"))


def bad_sizes() -> Iterator[Bad]:
    """Sizes whose product overflows, and sizes that no memory holds."""
    yield Bad("conv2d", {"x": endless(3 * 2**29, 2**30, 1, 1)}, ShapeError, ("x", "2**60"))
    yield Bad(
        "conv2d", {"x": endless(2**30, 5, 6, 4), "kernel": endless(1, 1, 4, 2**40)}, ShapeError, ("2**60",)
    )
    yield Bad("conv2d", {"padding": 2**31 - 1}, ShapeError, ("2**60",))
    yield Bad("conv2d_dgrad", {"padding": 2**31 - 1}, ShapeError, ("2**60",))
    yield Bad("conv2d_wgrad", {"padding": 2**31 - 1}, ShapeError, ("2**60",))
    yield Bad("conv2d", {"x": endless(2**45, 5, 6, 4)}, OutOfMemoryError, ("bytes",))
    yield Bad("max_pool2d", {"x": endless(3 * 2**29, 2**30, 1, 1)}, ShapeError, ("2**60",))
    yield Bad("max_pool2d", {"x": endless(2**45, 5, 6, 4)}, OutOfMemoryError, ("bytes",))
    # Tiny results of inputs that cannot be made contiguous.
    wide = {"a": endless(1, 2**50), "b": endless(2**50, 1), "bias": None}
    yield Bad("gemm", wide, OutOfMemoryError, ("bytes",))
    yield Bad("gemm", {"a": endless(2**31, 1), "b": endless(1, 2**31), "bias": None}, ShapeError, ("2**60",))
    yield Bad(
        "gemm", {"a": endless(2**24, 1), "b": endless(1, 2**24), "bias": None}, OutOfMemoryError, ("bytes",)
    )
    for op in ACTIVATIONS:
        yield Bad(op, {"x": endless(2**50)}, OutOfMemoryError, ("bytes",))
        yield Bad(op, {"x": endless(3 * 2**29, 2**30)}, ShapeError, ("2**60",))


ROWS = [*bad_windows(), *bad_arrays(), *bad_shapes(), *bad_sizes()]


def refuse(op: str, arguments: dict[str, Any], error: type[Exception] | tuple[type[Exception], ...]) -> str:
    """Make the call, which must raise `error` itself (or one of them) and change nothing; the message."""
    arrays = {n: a for n, a in arguments.items() if isinstance(a, np.ndarray) and a.nbytes < 2**20}
    before = {name: array.tobytes() for name, array in arrays.items()}
    with pytest.raises(error) as caught:
        getattr(ops, op)(**arguments)
    wanted = error if isinstance(error, tuple) else (error,)
    assert type(caught.value) in wanted, f"{type(caught.value).__name__} is not {error}: {caught.value}"
    for name, array in arrays.items():
        assert array.tobytes() == before[name], f"{name} has changed"
    return str(caught.value)


def assert_refused(row: Bad, good_ones: dict[str, Any]) -> None:
    """The row spoils the good arguments, and the message says what it must."""
    message = refuse(row.op, {**good_ones, **row.spoil}, row.error)
    assert message.startswith(f"{row.op}: ")
    missing = [text for text in row.says if text not in message]
    assert not missing, f"{missing} not in: {message}"
    assert len(message) <= 400


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_refused(row: Bad) -> None:
    assert_refused(row, good(row.op))


@pytest.mark.parametrize("op", ops.__all__)
def test_good_arguments_are_good(op: str) -> None:
    """Otherwise the rows above would prove nothing."""
    result = getattr(ops, op)(**good(op))
    for array in result if isinstance(result, tuple) else (result,):
        assert array is None or np.isfinite(array).all()


def result_of(op: str) -> np.ndarray:
    return getattr(ops, op)(**good(op))


# A list of arrays, what takes or gives indices, and what returns several arrays have tests of their own.
ELSEWHERE = ("concatenate", *good_pool.INDEX, *good_norm.SEVERAL)


@pytest.mark.parametrize("op", [op for op in ops.__all__ if op not in ELSEWHERE])
class TestOut:
    def test_wrong_shape(self, op: str) -> None:
        shape = result_of(op).shape
        for wrong in ((*shape[:-1], shape[-1] + 1), shape[1:], (*shape, 1), (1, *shape)):
            out = np.full(wrong, 7.0, np.float32)
            message = refuse(op, {**good(op), "out": out}, ShapeError)
            assert "out" in message
            assert str(list(shape)) in message

    def test_transposed_shape(self, op: str) -> None:
        out = np.full(result_of(op).shape[::-1], 7.0, np.float32)
        refuse(op, {**good(op), "out": out}, ShapeError)

    @pytest.mark.parametrize("dtype", ["float64", "int32", "float16", ">f4", "object"])
    def test_wrong_dtype(self, op: str, dtype: str) -> None:
        message = refuse(op, {**good(op), "out": np.ones(result_of(op).shape, dtype)}, DTypeError)
        assert "out" in message
        assert "float32" in message or "byte order" in message or "real dtype" in message

    def test_not_an_array(self, op: str) -> None:
        for value in ([], "out", 1.0, object(), memoryview(result_of(op))):
            assert "out" in refuse(op, {**good(op), "out": value}, DTypeError)

    def test_read_only(self, op: str) -> None:
        out = np.full(result_of(op).shape, 7.0, np.float32)
        out.flags.writeable = False
        assert "read-only" in refuse(op, {**good(op), "out": out}, ArgumentError)

    def test_not_contiguous(self, op: str) -> None:
        shape = result_of(op).shape
        strided = np.full((*shape[:-1], 2 * shape[-1]), 7.0, np.float32)[..., ::2]
        for out in (strided, np.asfortranarray(np.full(shape, 7.0, np.float32))):
            assert "contiguous" in refuse(op, {**good(op), "out": out}, ArgumentError)

    def test_misaligned(self, op: str) -> None:
        wanted = result_of(op)
        memory = np.full(wanted.nbytes + 1, 7, np.uint8)
        out = memory[1:].view(np.float32).reshape(wanted.shape)
        assert "align" in refuse(op, {**good(op), "out": out}, ArgumentError)

    def test_broadcast(self, op: str) -> None:
        out = np.lib.stride_tricks.as_strided(
            np.ones(1, np.float32), result_of(op).shape, (0,) * result_of(op).ndim
        )
        assert "out" in refuse(op, {**good(op), "out": out}, ArgumentError)

    def test_overlap(self, op: str) -> None:
        """Whole or by one element, with each input in turn."""
        wanted = result_of(op)
        arguments = good(op)
        for name, array in arguments.items():
            if not isinstance(array, np.ndarray):
                continue
            memory = np.ones(array.size + wanted.size, np.float32)
            for begin in (0, array.size - 1):
                spoiled = {**arguments, name: memory[: array.size].reshape(array.shape)}
                out = memory[begin : begin + wanted.size].reshape(wanted.shape)
                message = refuse(op, {**spoiled, "out": out}, ArgumentError)
                assert "overlap" in message
                assert name in message

    def test_neighbours_are_fine(self, op: str) -> None:
        """Memory that touches an input without sharing a byte is no overlap."""
        wanted = result_of(op)
        arguments = good(op)
        name, array = next((n, a) for n, a in arguments.items() if isinstance(a, np.ndarray))
        memory = np.ones(array.size + wanted.size, np.float32)
        out = memory[array.size :].reshape(wanted.shape)
        y = getattr(ops, op)(**{**arguments, name: memory[: array.size].reshape(array.shape)}, out=out)
        assert y is out
        assert np.array_equal(y, wanted)


def test_an_error_leaves_the_operator_usable() -> None:
    wanted = result_of("conv2d")
    for row in ROWS[:40]:
        refuse(row.op, {**good(row.op), **row.spoil}, row.error)
        assert np.array_equal(result_of("conv2d"), wanted)


def test_unknown_arguments_and_missing_ones() -> None:
    with pytest.raises(TypeError, match="stride"):
        ops.conv2d(**good("conv2d"), stride=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="kernel"):
        ops.conv2d(ones(1, 3, 3, 1))  # type: ignore[call-arg]

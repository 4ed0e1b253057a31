# SPDX-License-Identifier: Apache-2.0
"""No argument of a pool, however wrong, passes in silence: as test_bad_input.py, of the other pools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from good_pool import ADAPTIVE, GLOBAL, GOOD, IMAGES, INDEX, LP, PLACED, SLIDING, axes_of, good, ones
from test_bad_input import HUGE, Bad, assert_refused, endless, refuse

from fastcnn import ops
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError

MAX = tuple(op for op in SLIDING if op.startswith("max"))


def bad_windows() -> Iterator[Bad]:
    for op in (*SLIDING, *LP, *PLACED):
        axes = axes_of(op)
        arguments = ["strides", "pool_size"] + ["dilation_rate"] * (op in MAX)
        for argument in arguments:
            for value in (0, -1, HUGE, 2**31, 2**62, -HUGE, (0,) * axes, (1,) * (axes - 1) + (-2,)):
                yield Bad(op, {argument: value}, ArgumentError, (argument,))
            for value in ((1,) * (axes + 1), ()):
                yield Bad(op, {argument: value}, ArgumentError, (argument, str(len(value)), str(axes)))
            for value in (1.5, True, "2", (1.5,) * axes, object(), float("nan")):
                yield Bad(op, {argument: value}, DTypeError, (argument, "whole number"))
        for value in (-1, (-1,) * axes, ((0, -1),) * axes, HUGE, 2**31, 2, ((0, 2),) * axes):
            yield Bad(op, {"padding": value}, ArgumentError, ("padding",))
        yield Bad(op, {"padding": "full"}, ArgumentError, ("padding", "full", "valid", "same"))
        for value in (1.5, None, {}, b"same"):
            yield Bad(op, {"padding": value}, DTypeError, ("padding",))
        yield Bad(op, {"ceil_mode": 1}, DTypeError, ("ceil_mode",))
        yield Bad(op, {"pool_size": 7}, ShapeError, ("7",))
    for op in (*MAX, *PLACED, "max_pool2d", "max_pool2d_bwd"):
        yield Bad(op, {"dilation_rate": 6}, ShapeError, ("window", "7"))
        yield Bad(op, {"dilation_rate": 2**31 - 1}, ShapeError, ("window",))
        # Both taps of a window lie in the padding.
        apart = tuple(size + 1 for size in IMAGES[axes_of(op)][1:-1])
        spread = {"pool_size": 2, "padding": 1, "dilation_rate": apart, "strides": 1}
        yield Bad(op, spread, ArgumentError, ("dilation_rate", "beside"))
    for op in SLIDING:
        if op.startswith("average"):
            yield Bad(op, {"count_include_pad": 1}, DTypeError, ("count_include_pad",))
    for op in ("average_pool2d", "average_pool2d_bwd"):
        yield Bad(op, {"count_include_pad": "no"}, DTypeError, ("count_include_pad",))


def bad_options() -> Iterator[Bad]:
    for op in LP:
        for value in (0.0, 0.999, -1.0, float("nan"), float("inf"), 1e7, -HUGE):
            yield Bad(op, {"p": value}, ArgumentError, ("p is",))
        for value in ("2", None, 1j, True, (2,)):
            yield Bad(op, {"p": value}, DTypeError, ("p is", "real number"))
    for op in ADAPTIVE:
        for value in (0, -1, (2, 0), (-1, 2), HUGE, 2**31):
            yield Bad(op, {"output_size": value}, ArgumentError, ("output_size",))
        for value in ((1, 2, 3), (1,), ()):
            yield Bad(op, {"output_size": value}, ArgumentError, ("output_size", str(len(value)), "2"))
        for value in (1.5, None, "2", (1.5, 2), True):
            yield Bad(op, {"output_size": value}, DTypeError, ("output_size",))
    for op in GLOBAL:
        yield Bad(op, {"keepdims": 1}, DTypeError, ("keepdims",))
        yield Bad(op, {"keepdims": None}, DTypeError, ("keepdims",))
    for op in (*SLIDING, *GLOBAL, *ADAPTIVE, *LP):
        yield Bad(op, {"data_format": "NCWH"}, ArgumentError, ("data_format", "NCWH"))
        yield Bad(op, {"data_format": 3}, DTypeError, ("data_format",))


def bad_arrays() -> Iterator[Bad]:
    for op in (*SLIDING, *GLOBAL, *ADAPTIVE, *LP, *INDEX):
        for argument, array in good(op).items():
            if not isinstance(array, np.ndarray) or argument == "index":
                continue
            yield Bad(op, {argument: array.astype(np.float64)}, DTypeError, (argument, "float64", "astype"))
            for value in (array.tolist(), None, 1.0, np.ma.masked_array(array), array.astype(">f4")):
                yield Bad(op, {argument: value}, DTypeError, (argument,))
            for axis in range(array.ndim):
                empty = ones(*array.shape[:axis], 0, *array.shape[axis + 1 :])
                yield Bad(op, {argument: empty}, ShapeError, (argument, "0"))
            yield Bad(op, {argument: ones(2, 3)[0]}, ShapeError, (argument, "rank"))
            yield Bad(op, {argument: ones(1, 1, 1, 1, 1, 1)}, ShapeError, (argument,))
        if "input_shape" in good(op):
            shape = good(op)["input_shape"]
            yield Bad(op, {"input_shape": (0, *shape[1:])}, ShapeError, ("0",))
            yield Bad(op, {"input_shape": (*shape[:-1], -3)}, ShapeError, ("-3",))
            yield Bad(op, {"input_shape": (2**31,) * len(shape)}, ShapeError, ("2147483648",))
            yield Bad(op, {"input_shape": (*shape[:-1], HUGE)}, ArgumentError, ("input_shape",))
            yield Bad(op, {"input_shape": (2, 3)}, ArgumentError, ("input_shape", "2"))
            for value in (None, 7, "2564", (*shape[:-1], 1.0)):
                yield Bad(op, {"input_shape": value}, DTypeError, ("input_shape",))
        if "dy" in good(op) and "unpool" not in op:
            dy = good(op)["dy"]
            for axis in range(dy.ndim):
                longer = ones(*dy.shape[:axis], dy.shape[axis] + 1, *dy.shape[axis + 1 :])
                yield Bad(
                    op, {"dy": longer}, ShapeError, ("dy", str(list(longer.shape)), str(list(dy.shape)))
                )


def bad_sizes() -> Iterator[Bad]:
    for axes in (1, 3):
        huge = (2**45, *IMAGES[axes][1:])
        yield Bad(f"max_pool{axes}d", {"x": endless(*huge)}, OutOfMemoryError, ("bytes",))
    yield Bad("max_pool1d", {"x": endless(3 * 2**29, 2**30, 1)}, ShapeError, ("2**60",))
    yield Bad("max_pool1d", {"x": endless(1, 2**31, 1)}, ShapeError, ("2**31",))
    yield Bad("global_sum_pool", {"x": endless(2**45, 5, 6, 4)}, OutOfMemoryError, ("bytes",))
    # One window over more pixels than a kernel counts.
    yield Bad("adaptive_max_pool", {"output_size": 2**30}, ShapeError, ("2**60",))
    yield Bad("adaptive_max_pool", {"output_size": (2**24, 2**20)}, OutOfMemoryError, ("bytes",))


ROWS = [*bad_windows(), *bad_options(), *bad_arrays(), *bad_sizes()]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_refused(row: Bad) -> None:
    arguments = good(row.op) if row.op in GOOD else {"x": ones(2, 5, 6, 4), "pool_size": 2}
    if row.op not in GOOD and row.op.endswith("_bwd"):
        shape = {"x": ones(2, 5, 6, 4)} if row.op.startswith("max") else {"input_shape": (2, 5, 6, 4)}
        arguments = {"dy": ones(2, 2, 3, 4), **shape, "pool_size": 2}
    assert_refused(row, arguments)


@pytest.mark.parametrize("op", INDEX)
def test_out(op: str) -> None:
    """What TestOut asks of the others."""
    arguments = good(op)
    wanted = getattr(ops, op)(**arguments)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    for out in (ones(*wanted.shape, 1), ones(*wanted.shape[1:]), ones(*wanted.shape[:-1], 5)):
        refuse(op, {**arguments, "out": out}, ShapeError)
    refuse(op, {**arguments, "out": wanted.astype(np.float64)}, DTypeError)
    frozen = wanted.copy()
    frozen.flags.writeable = False
    refuse(op, {**arguments, "out": frozen}, ArgumentError)
    refuse(op, {**arguments, "out": np.asfortranarray(wanted)}, ArgumentError)
    for name, array in arguments.items():
        if not isinstance(array, np.ndarray):
            continue
        memory = np.ones(array.size + wanted.size, np.float32)
        if array.dtype == np.int32:
            memory[:] = 0.0
        given = memory[: array.size].view(array.dtype).reshape(array.shape)
        out = memory[array.size - 1 : array.size - 1 + wanted.size].reshape(wanted.shape)
        message = refuse(op, {**arguments, name: given, "out": out}, ArgumentError)
        assert "overlap" in message
        assert name in message

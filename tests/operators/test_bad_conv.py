# SPDX-License-Identifier: Apache-2.0
"""No argument of a convolution, however wrong, ends the process or passes in silence; see test_bad_input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from good_conv import GOOD, good
from test_bad_input import HUGE, Bad, assert_refused, endless, ones, refuse

from fastcnn import ops
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError
from fastcnn.testing.case import ConvNdCase


def rank_of(op: str) -> int:
    case: Any = GOOD[op].case
    return len(case.size)


def bad_windows() -> Iterator[Bad]:
    for op in GOOD:
        rank = rank_of(op)
        arguments = ["strides", "dilation_rate"]
        if "kernel_size" in GOOD[op].options:
            yield Bad(op, {"kernel_size": 2.5}, DTypeError, ("kernel_size",))
            yield Bad(op, {"kernel_size": (2,) * (rank + 1)}, ArgumentError, ("kernel_size",))
            for value in (0, -1, HUGE, 2**31, 2**62):
                yield Bad(op, {"kernel_size": value}, (ArgumentError, ShapeError), ("kernel",))
        for argument in arguments:
            for value in (0, -1, HUGE, 2**31, 2**62, (1,) * (rank - 1) + (0,), (1,) * (rank - 1) + (-3,)):
                yield Bad(op, {argument: value}, ArgumentError, (argument,))
            for value in ((), (1,) * (rank + 1)):
                yield Bad(op, {argument: value}, ArgumentError, (argument, str(len(value)), str(rank)))
            for value in (1.5, True, "2", object(), np.float32(2), float("nan"), (None,) * rank):
                yield Bad(op, {argument: value}, DTypeError, (argument, "whole number"))
        for value in (-1, (-1,) * rank, ((0, -1),) * rank, HUGE, 2**31):
            yield Bad(op, {"padding": value}, ArgumentError, ("padding",))
        for value in ((), (1,) * (rank + 1), ((1,),) * rank, ((1, 1, 1),) * rank):
            yield Bad(op, {"padding": value}, ArgumentError, ("padding",))
        for value in (1.5, None, {}, b"same"):
            yield Bad(op, {"padding": value}, DTypeError, ("padding",))
        yield Bad(op, {"padding": "full"}, ArgumentError, ("padding", "full", "valid", "same"))
        if not op.startswith("conv1d") or "transpose" in op:
            yield Bad(op, {"padding": "causal"}, ArgumentError, ("padding", "causal", "valid", "same"))
        yield Bad(op, {"data_format": "NCWH"}, ArgumentError, ("data_format", "NCWH", "channels_last"))
        yield Bad(op, {"data_format": 3}, DTypeError, ("data_format",))
        yield Bad(op, {"math": "quick"}, ArgumentError, ("math", "quick", "strict"))
        if rank > 1 or "transpose" not in op:  # a long sequence is not too long yet
            yield Bad(op, {"dilation_rate": 2**30}, ShapeError, ())


def bad_options() -> Iterator[Bad]:
    for op in GOOD:
        case: Any = GOOD[op].case
        if "groups" in case.options:
            for value in (0, -1, 3, HUGE, 2**40):
                # Three groups divide the filters of a transposed convolution, and not its channels.
                yield Bad(op, {"groups": value}, ArgumentError, ("groups",))
            for value in (1.0, None, (1, 1), True):
                yield Bad(op, {"groups": value}, DTypeError, ("groups",))
        if case.transposed:
            for value in (-1, 1, 7, HUGE, 2**31, (1, 1, 1, 1)):
                yield Bad(op, {"output_padding": value}, ArgumentError, ("output_padding",))
            for value in (1.5, "same", object()):
                yield Bad(op, {"output_padding": value}, DTypeError, ("output_padding",))
            yield Bad(op, {"padding": 9}, ShapeError, ("output", "padding"))
        if "activation" in GOOD[op].options:
            yield Bad(op, {"activation": "gelu-ish"}, ArgumentError, ("activation", "gelu-ish", "relu"))
            yield Bad(op, {"activation": 1}, DTypeError, ("activation",))


def bad_arrays() -> Iterator[Bad]:
    for op, call in GOOD.items():
        arguments = good(op)
        for name, shape in call.shapes.items():
            array = arguments[name]
            yield Bad(op, {name: array.astype(np.float64)}, DTypeError, (name, "float64", "float32"))
            for value in (array.tolist(), "array", 1.0, object()):
                yield Bad(op, {name: value}, DTypeError, (name,))
            yield Bad(op, {name: array[None]}, ShapeError, (name, "rank"))
            for axis in range(len(shape)):
                empty = ones(*shape[:axis], 0, *shape[axis + 1 :])
                yield Bad(op, {name: empty}, ShapeError, (name, "0"))
            longer = ones(*shape[:-1], shape[-1] + 1)
            if not op.endswith("wgrad"):  # those learn the sizes of the kernel from both
                yield Bad(op, {name: longer}, (ShapeError, ArgumentError), ())
            if name == "dy":
                yield Bad(op, {name: ones(shape[0] + 1, *shape[1:])}, ShapeError, ("dy", str(list(shape))))
                yield Bad(op, {name: ones(shape[0], shape[1] + 1, *shape[2:])}, ShapeError, ("dy",))
        if "input_shape" in arguments:
            rank = rank_of(op)
            shape = arguments["input_shape"]
            for value in ((*shape[:-1], 0), (-2, *shape[1:]), (2**31,) * (rank + 2)):
                yield Bad(op, {"input_shape": value}, (ShapeError, ArgumentError), ())
            yield Bad(op, {"input_shape": (*shape[:-1], HUGE)}, ArgumentError, ("input_shape",))
            yield Bad(op, {"input_shape": shape[:-1]}, ArgumentError, ("input_shape", str(rank + 2)))
            for value in (None, 7, "2564", (*shape[:-1], 4.0)):
                yield Bad(op, {"input_shape": value}, DTypeError, ("input_shape",))


def bad_sizes() -> Iterator[Bad]:
    """Sizes whose product overflows, and sizes that no memory holds."""
    for op, call in GOOD.items():
        case: Any = call.case
        forward = op == case.op
        if forward:
            rank = rank_of(op)
            one = (1,) * (rank - 1)
            yield Bad(op, {"x": endless(3 * 2**29, 2**28, *one, 4)}, ShapeError, ("x", "2**60"))
            yield Bad(op, {"x": endless(2**45, *case.size, 4)}, OutOfMemoryError, ("bytes",))
        if not case.transposed and rank_of(op) > 1:
            yield Bad(op, {"padding": 2**31 - 1}, ShapeError, ("2**60",))


ROWS = [*bad_windows(), *bad_options(), *bad_arrays(), *bad_sizes()]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_refused(row: Bad) -> None:
    assert_refused(row, good(row.op))


def test_pointwise_kernel_of_more_than_one_tap() -> None:
    for op in ("separable_conv1d", "separable_conv2d"):
        arguments = good(op)
        kernel = arguments["pointwise_kernel"]
        arguments["pointwise_kernel"] = ones(2, *kernel.shape[1:])
        assert "pointwise_kernel" in refuse(op, arguments, ShapeError)


def test_an_output_of_nothing() -> None:
    """Keras's rule for "same" with output_padding can leave no pixel."""
    x, kernel = ones(1, 1, 1, 1), ones(2, 2, 1, 1)
    message = refuse("conv2d_transpose", {"x": x, "kernel": kernel, "padding": "same", "output_padding": 0},
                     ShapeError)  # fmt: skip
    assert "at least 1" in message


def test_large_volumes_are_refused_and_not_tried() -> None:
    """The unfolded copy is proven to fit before it is asked for."""
    case = ConvNdCase("conv3d", 1, (2**19, 2**19, 2**19), 1, 1, (1, 1, 1))
    with pytest.raises((ShapeError, OutOfMemoryError)):
        ops.conv3d(endless(*case.x_shape), ones(*case.kernel_shape))

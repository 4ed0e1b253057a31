# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments of the operators that merge arrays and move elements: as in test_bad_input.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from good_merging import GOOD, good
from test_bad_input import HOSTILE_SHAPE, HUGE, Bad, assert_refused, endless, ones, refuse

from fastcnn import ops
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError

MERGES = ("add", "subtract", "multiply", "maximum", "minimum", "average")
OF_SHAPE = ("add_bwd", "average_bwd", "subtract_bwd", "multiply_bwd")
SPATIAL = ("zero_padding", "cropping", "upsampling")
NO_NUMBERS: tuple[Any, ...] = (1.5, True, "2", None, object(), np.float32(2))


def bad_arrays() -> Iterator[Bad]:
    for op in GOOD:
        for argument, array in good(op).items():
            if not isinstance(array, np.ndarray):
                continue
            fix = (argument, "float64", "float32", "astype")
            yield Bad(op, {argument: array.astype(np.float64)}, DTypeError, fix)
            for dtype in ("float16", "int32", "bool", "complex64", "object", ">f4", "U4"):
                yield Bad(op, {argument: array.astype(dtype)}, DTypeError, (argument,))
            for value in (array.tolist(), "array", 1.0, None, np.ma.masked_array(array)):
                yield Bad(op, {argument: value}, DTypeError, (argument,))
            yield Bad(op, {argument: np.float32(1)}, ShapeError, (argument, "rank"))
            for axis in range(array.ndim):
                empty = ones(*array.shape[:axis], 0, *array.shape[axis + 1 :])
                yield Bad(op, {argument: empty}, ShapeError, (argument, "0"))


def bad_merges() -> Iterator[Bad]:
    for op in MERGES:
        yield Bad(op, {"x2": ones(2, 2, 5)}, ShapeError, ("x1", "[2, 3, 5]", "x2", "[2, 2, 5]"))
        yield Bad(op, {"x2": ones(3)}, ShapeError, ("x1", "x2", "[3]"))
        yield Bad(op, {"x1": endless(2**31, 1), "x2": endless(1, 2**31)}, ShapeError, ("2**60",))
        yield Bad(op, {"x1": endless(2**24, 1), "x2": endless(1, 2**24)}, OutOfMemoryError, ("bytes",))
    for op in OF_SHAPE:
        for value in ((2, 2, 5), (4, 2, 3, 5), (7,)):
            yield Bad(op, {"input_shape": value}, ShapeError, (str(list(value)), "[2, 3, 5]"))
        for value in ((2, 0, 5), (-1, 1, 5), HOSTILE_SHAPE):
            yield Bad(op, {"input_shape": value}, ShapeError, ("input_shape",))
        for value in ((), (1,) * 9, (2, 1, HUGE)):
            yield Bad(op, {"input_shape": value}, ArgumentError, ("input_shape",))
        for value in (7, None, "215", (2, 1, 5.0)):
            yield Bad(op, {"input_shape": value}, DTypeError, ("input_shape",))
    for op in ("subtract_bwd", "maximum_bwd", "minimum_bwd"):
        for value in (-1, 2, HUGE):
            yield Bad(op, {"index": value}, ArgumentError, ("index",))
        for value in NO_NUMBERS:
            yield Bad(op, {"index": value}, DTypeError, ("index", "whole number"))
    for op in ("maximum_bwd", "minimum_bwd"):
        yield Bad(op, {"dy": ones(2, 1, 5)}, ShapeError, ("dy", "[2, 1, 5]", "[2, 3, 5]"))
        yield Bad(op, {"x2": ones(2, 2, 5)}, ShapeError, ("x1", "x2"))
    yield Bad("multiply_bwd", {"other": ones(2, 2, 5)}, ShapeError, ("dy", "[2, 3, 5]", "[2, 2, 5]"))


def bad_lists() -> Iterator[Bad]:
    yield Bad("concatenate", {"inputs": []}, ArgumentError, ("inputs", "empty"))
    for value in (ones(2, 3), None, "x", 3):
        yield Bad("concatenate", {"inputs": value}, DTypeError, ("inputs",))
    yield Bad("concatenate", {"inputs": [ones(2, 3), [1.0]]}, DTypeError, ("inputs",))
    yield Bad("concatenate", {"inputs": [ones(2, 3), np.ones((2, 3))]}, DTypeError, ("inputs", "float64"))
    yield Bad("concatenate", {"inputs": [ones(2, 3), ones(3, 3)]}, ShapeError, ("[3, 3]", "[2, 3]"))
    yield Bad("concatenate", {"inputs": [ones(2, 3), ones(2, 3, 1)]}, ShapeError, ("[2, 3, 1]", "[2, 3]"))
    yield Bad("concatenate", {"inputs": [ones(2, 3), ones(2, 0)]}, ShapeError, ("[2, 0]",))
    many = [endless(1, 2**59)] * 3
    yield Bad("concatenate", {"inputs": many}, ShapeError, ("2**60",))
    yield Bad("concatenate", {"inputs": [endless(1, 2**50)]}, OutOfMemoryError, ("bytes",))
    for op in ("concatenate", "concatenate_bwd"):
        for value in (0, 3, -3, -4, HUGE):
            yield Bad(op, {"axis": value}, ArgumentError, ("axis",))
        for value in NO_NUMBERS:
            yield Bad(op, {"axis": value}, DTypeError, ("axis", "whole number"))
    for value in ((5, 5), (9,) * 2, (5, 3), (10, -1), (9, 0), (2**63 - 1, 2**63 - 1)):
        yield Bad("concatenate_bwd", {"sizes": value}, ArgumentError, ("sizes",))
    for value in (9, None, "54", (5, 4.0)):
        yield Bad("concatenate_bwd", {"sizes": value}, DTypeError, ("sizes",))
    for value in (-1, 2, HUGE):
        yield Bad("concatenate_bwd", {"index": value}, ArgumentError, ("index",))
    for op in ("permute", "permute_bwd"):
        for value in ((1, 2, 2), (0, 1, 2), (1, 2, 4), (1, 2), (), (1, 2, 3, 4), (1, 2, -(2**62))):
            yield Bad(op, {"dims": value}, ArgumentError, ("dims",))
        for value in (3, None, "312", (1, 2, 3.0)):
            yield Bad(op, {"dims": value}, DTypeError, ("dims",))


def bad_spatial() -> Iterator[Bad]:
    amounts = {"zero_padding": "padding", "cropping": "cropping", "upsampling": "size"}
    for name, argument in amounts.items():
        for op, x in ((name, "x"), (f"{name}_bwd", "dy")):
            for shape in ((3, 4), (2,), (2,) * 6):
                yield Bad(op, {x: ones(*shape)}, ShapeError, (x, str(list(shape)), "rank"))
            for value in (-1, (1, -1), HUGE, (1, 2, 3), ()):
                yield Bad(op, {argument: value}, ArgumentError, (argument,))
            for value in (1.5, None, "2", True, (1, 1.5), {}):
                yield Bad(op, {argument: value}, DTypeError, (argument,))
            yield Bad(op, {"data_format": "NCWH"}, ArgumentError, ("data_format", "channels_last"))
            yield Bad(op, {"data_format": 3}, DTypeError, ("data_format",))
    for op in ("zero_padding", "cropping_bwd"):
        argument = amounts[op.removesuffix("_bwd")]
        yield Bad(op, {argument: 2**31}, ArgumentError, (argument,))
        yield Bad(op, {argument: 2**31 - 1}, ShapeError, ("2**60",))
        yield Bad(op, {argument: ((1, 0), (2, -1))}, ArgumentError, (argument,))
        yield Bad(op, {argument: ((1, 0), (2, 1, 1))}, ArgumentError, (argument,))
    for op in ("zero_padding_bwd", "cropping"):
        argument = amounts[op.removesuffix("_bwd")]
        for value in (2, (0, 3), ((4, 0), (0, 0)), 2**31 - 1):
            yield Bad(op, {argument: value}, ShapeError, ("cropping takes",))
    for value in (0, (2, 0), 2**31):
        yield Bad("upsampling", {"size": value}, ArgumentError, ("size",))
    yield Bad("upsampling", {"size": 2**31 - 1}, ShapeError, ("2**60",))
    for value in (0, 3, (2, 4), (8, 2)):
        yield Bad("upsampling_bwd", {"size": value}, ArgumentError, ("size", "divisor"))
    for op, x in (("upsampling", "x"), ("upsampling_bwd", "dy")):
        yield Bad(op, {"interpolation": "cubic"}, ArgumentError, ("interpolation", "cubic", "nearest"))
        yield Bad(op, {"interpolation": 3}, DTypeError, ("interpolation",))
        yield Bad(op, {x: ones(2, 4, 3)}, ArgumentError, ("bilinear", "3"))
    for value in (0, -1, 2**31, HUGE):
        yield Bad("repeat_vector", {"n": value}, ArgumentError, ("n",))
    for value in NO_NUMBERS:
        yield Bad("repeat_vector", {"n": value}, DTypeError, ("n", "whole number"))
    yield Bad("repeat_vector", {"x": ones(2, 3, 4)}, ShapeError, ("x", "rank 2"))
    yield Bad("repeat_vector", {"x": endless(2**40, 2**19)}, ShapeError, ("2**60",))
    yield Bad("repeat_vector_bwd", {"dy": ones(2, 3)}, ShapeError, ("dy", "rank 3"))


ROWS = [*bad_arrays(), *bad_merges(), *bad_lists(), *bad_spatial()]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_refused(row: Bad) -> None:
    assert_refused(row, good(row.op))


def test_concatenate_checks_out_against_each_input() -> None:
    memory = np.ones(60, np.float32)
    first, second = memory[:12].reshape(3, 4), memory[12:24].reshape(3, 4)
    fine = memory[24:48].reshape(3, 8)
    assert ops.concatenate([first, second], out=fine) is fine
    for begin in (0, 11, 23):
        message = refuse(
            "concatenate",
            {"inputs": [first, second], "out": memory[begin : begin + 24].reshape(3, 8)},
            ArgumentError,
        )
        assert "overlap" in message
    for wrong, error in ((np.ones((3, 7), np.float32), ShapeError), (np.ones((3, 8)), DTypeError)):
        assert "out" in refuse("concatenate", {"inputs": [first, second], "out": wrong}, error)

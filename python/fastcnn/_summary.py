# SPDX-License-Identifier: Apache-2.0
"""The table of `summary`: Keras's, with the arithmetic and the memory traffic of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One layer. None where the input's shape is not known yet."""

    name: str
    kind: str
    output_shape: tuple[int, ...] | None  # without the batch
    parameters: int | None
    flops: float | None  # forward, one sample, multiply and add counted as two
    bytes: int | None  # activations read and written, one sample, float32
    fixed: int | None = None  # parameters that are not trained


HEADINGS = ("Layer (type)", "Output Shape", "Param #", "FLOPs", "Bytes")


def render(model_name: str, rows: Sequence[Row]) -> str:
    """The whole text."""
    cells = [HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    table = [
        _rule("┏━┳┓", widths),
        _line("┃", cells[0], widths),
        _rule("┡━╇┩", widths),
        f"\n{_rule('├─┼┤', widths)}\n".join(_line("│", line, widths) for line in cells[1:]),
        _rule("└─┴┘", widths),
    ]
    return "\n".join([f'Model: "{model_name}"', *filter(None, table), *_totals(rows)])


def _cells(row: Row) -> tuple[str, ...]:
    label = f"{row.name} ({row.kind})"
    if row.output_shape is None:
        return label, "?", "0 (unbuilt)", "?", "?"
    shape = f"({', '.join(['None', *map(str, row.output_shape)])})"
    return label, shape, f"{row.parameters:,}", f"{row.flops:,.0f}", f"{row.bytes:,}"


def _rule(characters: str, widths: Sequence[int]) -> str:
    left, fill, cross, right = tuple(characters)
    return left + cross.join(fill * (width + 2) for width in widths) + right


def _line(edge: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"{edge} {f' {edge} '.join(aligned)} {edge}"


def _totals(rows: Sequence[Row]) -> list[str]:
    parameters = sum(row.parameters or 0 for row in rows)
    fixed = sum(row.fixed or 0 for row in rows)
    counts = {"Total": parameters, "Trainable": parameters - fixed, "Non-trainable": fixed}
    lines = [f" {kind} params: {count:,} ({_readable(4 * count)})" for kind, count in counts.items()]
    if rows and rows[0].flops is not None:
        flops, traffic = sum(row.flops or 0 for row in rows), sum(row.bytes or 0 for row in rows)
        lines.append(
            f" Forward pass of one sample: {flops:,.0f} FLOPs, {_readable(traffic)} of activations moved"
        )
    return lines


def _readable(count: float) -> str:
    units = ["B", "KB", "MB", "GB", "TB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.2f} {units[0]}"

# SPDX-License-Identifier: Apache-2.0
"""The table of `summary`: Keras's, with the arithmetic and the memory traffic of each layer."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from fastcnn._arguments import listed
from fastcnn.errors import ArgumentError


class Row(NamedTuple):
    """One layer. None where the input's shape is not known yet."""

    name: str
    kind: str
    output_shape: tuple[int, ...] | None  # without the batch
    parameters: int | None
    flops: float | None  # forward, one sample, multiply and add counted as two
    bytes: int | None  # activations read and written, one sample, float32
    fixed: int | None = None  # parameters that are not trained
    depth: int = 0  # of models in models
    trainable: bool = True
    connected: str | None = None  # whose outputs it reads; None: those of the row above


_LEAST = 5  # characters of a column that is cut
HEADINGS = ("Layer (type)", "Output Shape", "Param #", "FLOPs", "Bytes")


def render(
    model_name: str,
    rows: Sequence[Row],
    shown: Sequence[Row],
    line_length: int | None = None,
    show_trainable: bool = False,
) -> str:
    """The whole text: a table of the rows that are shown, and the totals of all."""
    connects = any(row.connected is not None for row in rows)
    headings = (
        *HEADINGS,
        *(("Connected to",) if connects else ()),
        *(("Trainable",) if show_trainable else ()),
    )
    cells = [headings, *(_cells(row, connects, show_trainable) for row in shown)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headings))]
    if line_length is not None:
        _fit(widths, line_length)
        cells = [tuple(_cut(cell, width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    left = (0, 1, len(HEADINGS)) if connects else (0, 1)  # columns of words
    table = [
        _rule("┏━┳┓", widths),
        _line("┃", cells[0], widths, left),
        _rule("┡━╇┩", widths),
        f"\n{_rule('├─┼┤', widths)}\n".join(_line("│", line, widths, left) for line in cells[1:]),
        _rule("└─┴┘", widths),
    ]
    return "\n".join([f'Model: "{model_name}"', *filter(None, table), *_totals(rows)])


def between(rows: Sequence[Row], names: Any, where: str) -> Sequence[Row]:
    """From the first row whose name begins like one name to the last whose name begins like another."""
    wanted = listed(names, f"{where}: layer_range", "two names")
    if len(wanted) != 2 or not all(isinstance(each, str) for each in wanted):
        raise ArgumentError(f"{where}: layer_range: {names!r} came, wanted the names of two layers")
    places = [i for i, row in enumerate(rows) if not row.depth]
    ends = [[place for place in places if rows[place].name.startswith(name)] for name in wanted]
    for name, found in zip(wanted, ends, strict=True):
        if not found:
            raise ArgumentError(f"{where}: layer_range: no layer has a name that begins with {name!r}")
    first, last = sorted((ends[0][0], ends[1][-1]))
    while last + 1 < len(rows) and rows[last + 1].depth:
        last += 1
    return rows[first : last + 1]


def _fit(widths: list[int], line_length: int) -> None:
    """Make the first two columns wider or narrower until a line has this length, as far as they can."""
    spare = line_length - sum(widths) - 3 * len(widths) - 1
    first = spare - spare // 3 if spare > 0 else max(len(HEADINGS[0]) - widths[0], spare)
    widths[0] += first
    widths[1] += max(_LEAST - widths[1], spare - first)


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def _cells(row: Row, connects: bool, show_trainable: bool) -> tuple[str, ...]:
    label = f"{'  ' * row.depth}{'└ ' if row.depth else ''}{row.name} ({row.kind})"
    trains = ("Y" if row.trainable else "N",) if show_trainable else ()
    if show_trainable and row.parameters == 0:
        trains = ("-",)
    reads = (row.connected or "-",) if connects else ()
    if row.output_shape is None:
        return (label, "?", "0 (unbuilt)", "?", "?", *reads, *trains)
    shape = f"({', '.join(['None', *map(str, row.output_shape)])})"
    return (label, shape, f"{row.parameters:,}", f"{row.flops:,.0f}", f"{row.bytes:,}", *reads, *trains)


def _rule(characters: str, widths: Sequence[int]) -> str:
    left, fill, cross, right = tuple(characters)
    return left + cross.join(fill * (width + 2) for width in widths) + right


def _line(edge: str, cells: Sequence[str], widths: Sequence[int], left: Container[int]) -> str:
    aligned = [
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"{edge} {f' {edge} '.join(aligned)} {edge}"


def _totals(all_rows: Sequence[Row]) -> list[str]:
    rows = [row for row in all_rows if not row.depth]  # what is inside of a model counts there
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

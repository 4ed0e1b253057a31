# SPDX-License-Identifier: Apache-2.0
"""A drawing of a model as SVG, written here: no other program is needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastcnn._arguments import choose
from fastcnn.errors import DTypeError
from fastcnn.layers.base import Activated

_CHARACTER, _LINE, _MARGIN = 7.2, 18.0, 12.0  # of 12-pixel type
_GAP_ALONG, _GAP_ACROSS = 36.0, 28.0  # between boxes


class _Box(NamedTuple):
    lines: tuple[str, ...]
    reads: tuple[int, ...]  # boxes

    @property
    def width(self) -> float:
        return 2 * _MARGIN + _CHARACTER * max(map(len, self.lines))

    @property
    def height(self) -> float:
        return _MARGIN + _LINE * len(self.lines)


def plot_model(
    model: Any,
    to_file: str | os.PathLike[str] = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> None:
    """Draw the layers of a model and what they read, into an SVG file.

    Parameters
    ----------
    model
        A model whose input's shape is known.
    to_file
        The file.
    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable
        What boxes hold beside the kind of the layer.
    rankdir
        "TB": from top to bottom; "LR": from left to right.
    expand_nested, dpi, splines
        Without effect: a model within the model is one box, and SVG has no pixels.

    Raises
    ------
    ArgumentError
        The shape is not known, or ``rankdir`` is neither.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn import Sequential, layers, utils
    >>> model = Sequential([layers.Dense(2, activation="relu", input_shape=(3,))])
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.svg")
    >>> utils.plot_model(model, path, show_shapes=True)
    >>> "(None, 2)" in path.read_text()
    True
    """
    from fastcnn._graph.symbolic import ordered
    from fastcnn.models.base import BaseModel

    if not isinstance(model, BaseModel):
        raise DTypeError(f"plot_model: model: {type(model).__name__} came, wanted a Sequential or a Model")
    across = choose(rankdir, {"TB": False, "LR": True}, "plot_model: rankdir")
    shown = (show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    boxes: list[_Box] = []
    made: dict[object, int] = {}  # the box of each call
    for tensor in ordered(model.outputs, model.inputs):
        if tensor.call not in made:
            made[tensor.call] = len(boxes)
            reads = tuple(dict.fromkeys(made[each.call] for each in tensor.inputs))
            boxes.append(_Box(_text(tensor, *shown), reads))
    with open(to_file, "w", encoding="utf-8") as file:
        file.write(_svg(boxes, across))


def _text(
    tensor: Any, shapes: bool, dtype: bool, names: bool, activations: bool, trainable: bool
) -> tuple[str, ...]:
    layer = tensor.layer
    kind = type(layer).__name__
    lines = [f"{layer.name} ({kind})" if names else kind]
    if activations and isinstance(layer, Activated):
        lines.append(f"activation: {layer.get_config()['activation']}")
    if shapes:
        reads = ", ".join(str(each.shape) for each in tensor.inputs)
        lines.append(f"{reads} → {tensor.shape}" if reads else str(tensor.shape))
    if dtype:
        lines.append(f"dtype: {tensor.dtype}")
    if trainable:
        lines.append("trains" if layer.trainable else "does not train")
    return tuple(lines)


def _svg(boxes: Sequence[_Box], across: bool) -> str:
    """Boxes in ranks, each further than what it reads; within a rank near the middle of what they read."""
    ranks: list[int] = []
    for box in boxes:
        ranks.append(1 + max((ranks[each] for each in box.reads), default=-1))
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for number, rank in enumerate(ranks):
        rows[rank].append(number)
    place: dict[int, tuple[float, float]] = {}  # the corner of each
    along = _MARGIN
    for row in rows:
        middles = {number: _middle(boxes, number, place, across) for number in row}
        row.sort(key=lambda number: middles[number])
        sizes = [boxes[number].height if across else boxes[number].width for number in row]
        at = -(sum(sizes) + _GAP_ACROSS * (len(row) - 1)) / 2
        for number, size in zip(row, sizes, strict=True):
            place[number] = (along, at) if across else (at, along)
            at += size + _GAP_ACROSS
        along += max(boxes[number].width if across else boxes[number].height for number in row) + _GAP_ALONG
    left = min(x for x, _ in place.values()) - _MARGIN
    top = min(y for _, y in place.values()) - _MARGIN
    right = max(place[i][0] + box.width for i, box in enumerate(boxes)) + _MARGIN
    bottom = max(place[i][1] + box.height for i, box in enumerate(boxes)) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.1f} {top:.1f} {right - left:.1f} '
        f'{bottom - top:.1f}" width="{right - left:.0f}" height="{bottom - top:.0f}" '
        'font-family="monospace" font-size="12">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0 0 7 3 0 6z"/></marker></defs>',
    ]
    for number, box in enumerate(boxes):
        parts += [_arrow(boxes[each], place[each], box, place[number], across) for each in box.reads]
    parts += [_drawn(box, *place[number]) for number, box in enumerate(boxes)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _middle(boxes: Sequence[_Box], number: int, place: dict[int, tuple[float, float]], across: bool) -> float:
    read = boxes[number].reads
    centers = [
        place[each][1] + boxes[each].height / 2 if across else place[each][0] + boxes[each].width / 2
        for each in read
    ]
    return sum(centers) / len(centers) if centers else float(number)


def _arrow(
    start: _Box, source: tuple[float, float], end: _Box, target: tuple[float, float], across: bool
) -> str:
    if across:
        x1, y1 = source[0] + start.width, source[1] + start.height / 2
        x2, y2 = target[0], target[1] + end.height / 2
        bend = f"C{(x1 + x2) / 2:.1f} {y1:.1f} {(x1 + x2) / 2:.1f} {y2:.1f}"
    else:
        x1, y1 = source[0] + start.width / 2, source[1] + start.height
        x2, y2 = target[0] + end.width / 2, target[1]
        bend = f"C{x1:.1f} {(y1 + y2) / 2:.1f} {x2:.1f} {(y1 + y2) / 2:.1f}"
    path = f"M{x1:.1f} {y1:.1f} {bend} {x2:.1f} {y2:.1f}"
    return f'<path d="{path}" fill="none" stroke="black" marker-end="url(#tip)"/>'


def _drawn(box: _Box, x: float, y: float) -> str:
    from html import escape  # only now: a slow import

    middle = x + box.width / 2
    lines = "".join(
        f'<text x="{middle:.1f}" y="{y + _LINE * (i + 1):.1f}" text-anchor="middle">{escape(line)}</text>'
        for i, line in enumerate(box.lines)
    )
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="4"'
    return f'<rect {frame} fill="#eef3f8" stroke="#456"/>{lines}'

# SPDX-License-Identifier: Apache-2.0
"""Where a sliding window stands: padding and output size of convolutions and pools.

One axis of size ``n``, window ``k``, stride ``s``, dilation ``d``: the window spans ``e = d (k - 1) + 1``
pixels and output ``p`` covers the inputs ``p s - before + d r`` for ``r`` in ``range(k)``.
"""

from __future__ import annotations

from typing import NamedTuple

Padding = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


class Pads(NamedTuple):
    """Rows and columns of padding on the four sides."""

    top: int
    bottom: int
    left: int
    right: int


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """``2`` and ``(2, 2)`` both mean 2 rows and 2 columns."""
    return (value, value) if isinstance(value, int) else value


def resolve_padding(
    padding: Padding,
    size: tuple[int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Pads:
    """Turn any spelling of `padding` into four numbers.

    "same" gives ``ceil(size / stride)`` outputs; an odd total puts the larger half after (SAME_UPPER, as in
    Keras).
    """
    if padding == "valid":
        return Pads(0, 0, 0, 0)
    if padding == "same":
        (top, bottom), (left, right) = (
            _same(size[axis], window[axis], strides[axis], dilation[axis]) for axis in (0, 1)
        )
        return Pads(top, bottom, left, right)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or numbers, got {padding!r}")
    rows, columns = (padding, padding) if isinstance(padding, int) else padding
    return Pads(*pair(rows), *pair(columns))


def output_size(
    size: int,
    window: int,
    stride: int,
    before: int,
    after: int,
    *,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Count the positions of a window of `window` taps along an axis of `size` elements.

    With `ceil_mode` a last window may hang over the end, if it begins inside the input or the padding before
    it.
    """
    room = size + before + after - (dilation * (window - 1) + 1)
    if room < 0:
        raise ValueError(f"a window of {window} taps does not fit into {size + before + after} elements")
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + before:
        count -= 1
    return count


def resolve_axis(
    padding: str | int | tuple[int, int], size: int, window: int, stride: int, dilation: int = 1
) -> tuple[int, int]:
    """Elements of padding before and after one axis."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return _same(size, window, stride, dilation)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or numbers, got {padding!r}")
    return pair(padding)


def _same(size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    count = -(-size // stride)
    total = max((count - 1) * stride + dilation * (window - 1) + 1 - size, 0)
    return total // 2, total - total // 2

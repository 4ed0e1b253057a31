# SPDX-License-Identifier: Apache-2.0
"""Philox4x32-10 (Salmon et al., SC 2011) and the dropout masks drawn from it.

A random number is a function of (key, counter) alone, so a mask does not depend on layout, threads or device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]
Words = NDArray[np.uint64]

_MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)


def philox4x32(counter: ArrayLike, key: tuple[int, int]) -> Words:
    """Four 32-bit words for each counter of four 32-bit words; [...,4] to [...,4]."""
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, np.uint64), -1, 0)
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * np.uint64(_MULTIPLIER[0]), c2 * np.uint64(_MULTIPLIER[1])
        c0, c1, c2, c3 = (
            (second >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            second & _MASK,
            (first >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            first & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


@dataclass(frozen=True)
class DropoutDraw:
    """What a mask depends on: the seed of the run, the optimizer step, which dropout of the network."""

    seed: int
    step: int = 0
    op: int = 0


def dropout_mask(count: int, rate: float, draw: DropoutDraw) -> NDArray[np.bool_]:
    """True where an element stays.

    Element i takes word ``i % 4`` of the block with counter ``(i / 4, op, step low, step high)`` and the seed
    as key; it stays if the upper 24 bits are at least ``rate 2^24``.
    """
    blocks = -(-count // 4)
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 1:] = draw.op, draw.step & 0xFFFFFFFF, draw.step >> 32
    words = philox4x32(counter, (draw.seed & 0xFFFFFFFF, draw.seed >> 32)).reshape(-1)[:count]
    threshold = np.uint64(np.ceil(np.float64(np.float32(rate)) * 2**24))
    keep: NDArray[np.bool_] = (words >> np.uint64(8)) >= threshold
    return keep


def dropout(x: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """``x / (1 - rate)`` where the mask keeps an element, else 0."""
    values = np.asarray(x, np.float64)
    keep = dropout_mask(values.size, rate, draw).reshape(values.shape)
    return np.where(keep, values / (1.0 - rate), 0.0)


def dropout_bwd(dy: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """The same map: it is linear, with the same mask."""
    return dropout(dy, rate, draw)

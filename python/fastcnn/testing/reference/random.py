# SPDX-License-Identifier: Apache-2.0
"""Philox4x32-10 (Salmon et al., SC 2011), the dropout masks and the normal deviates drawn from it.

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


def drawn_words(count: int, draw: DropoutDraw) -> Words:
    """One word for each element."""
    blocks = -(-count // 4)
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 1:] = draw.op, draw.step & 0xFFFFFFFF, draw.step >> 32
    return philox4x32(counter, (draw.seed & 0xFFFFFFFF, draw.seed >> 32)).reshape(-1)[:count]


def dropout_mask(count: int, rate: float, draw: DropoutDraw) -> NDArray[np.bool_]:
    """True where an element stays.

    Element i takes word ``i % 4`` of the block with counter ``(i / 4, op, step low, step high)`` and the seed
    as key; it stays if the upper 24 bits are at least ``rate 2^24``.
    """
    words = drawn_words(count, draw)
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


def spatial_dropout(x: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """Whole channels dropped: one element of the mask for each sample and channel; x [N, ..., C]."""
    values = np.asarray(x, np.float64)
    samples, channels = values.shape[0], values.shape[-1]
    keep = dropout_mask(samples * channels, rate, draw)
    keep = keep.reshape(samples, *(1,) * (values.ndim - 2), channels)
    return np.where(keep, values / (1.0 - rate), 0.0)


def spatial_dropout_bwd(dy: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """The same map."""
    return spatial_dropout(dy, rate, draw)


def normal_deviates(count: int, draw: DropoutDraw) -> Real:
    """Box and Muller's, two from each pair of words a, b.

    ``sqrt(-2 log u) cos(2 pi v)`` and ``sqrt(-2 log u) sin(2 pi v)`` with ``u = (a + 1) / 2^24`` and
    ``v = b / 2^24``, of the upper 24 bits of the words.
    """
    words = (drawn_words(count + count % 2, draw) >> np.uint64(8)).astype(np.float64).reshape(-1, 2)
    radius = np.sqrt(-2.0 * np.log((words[:, 0] + 1.0) / 2.0**24))
    angle = 2.0 * np.pi * words[:, 1] / 2.0**24
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    deviates: Real = pairs.reshape(-1)[:count]
    return deviates


def gaussian_noise(x: ArrayLike, stddev: float, draw: DropoutDraw) -> Real:
    """``x + stddev z`` with a normal deviate for each element."""
    values = np.asarray(x, np.float64)
    y: Real = values + stddev * normal_deviates(values.size, draw).reshape(values.shape)
    return y


def gaussian_noise_bwd(dy: ArrayLike) -> Real:
    """``dy``."""
    return np.asarray(dy, np.float64)


def gaussian_dropout(x: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """``x (1 + sqrt(rate / (1 - rate)) z)`` with a normal deviate for each element."""
    values = np.asarray(x, np.float64)
    scale = np.sqrt(rate / (1.0 - rate))
    y: Real = values * (1.0 + scale * normal_deviates(values.size, draw).reshape(values.shape))
    return y


def gaussian_dropout_bwd(dy: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """The same map: it is linear, with the same factors."""
    return gaussian_dropout(dy, rate, draw)


# What SELU tends to on the left: its scale times its alpha.
_SATURATED = -1.0507009873554804934 * 1.6732632423543772848


def _alpha_scale(rate: float) -> float:
    return float(1.0 / np.sqrt((1.0 - rate) * (1.0 + rate * _SATURATED**2)))


def alpha_dropout(x: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """``a (x or s where dropped) + b``, a and b such that mean 0 and variance 1 are kept."""
    values = np.asarray(x, np.float64)
    a = _alpha_scale(rate)
    keep = dropout_mask(values.size, rate, draw).reshape(values.shape)
    y: Real = a * np.where(keep, values, _SATURATED) - a * _SATURATED * rate
    return y


def alpha_dropout_bwd(dy: ArrayLike, rate: float, draw: DropoutDraw) -> Real:
    """``a dy`` where an element was kept, else 0."""
    values = np.asarray(dy, np.float64)
    keep = dropout_mask(values.size, rate, draw).reshape(values.shape)
    return np.where(keep, _alpha_scale(rate) * values, 0.0)

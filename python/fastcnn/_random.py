# SPDX-License-Identifier: Apache-2.0
"""Host-side random numbers: seeds, initial weights, permutations. Counter-based: a position is a number.

One global sequence of seeds, set by `utils.set_random_seed`, gives each model its own when it is made; all
else follows from that seed and a count. Dropout draws natively from the same seed. ``numpy.random`` is a slow
import, so nothing here touches it before a number is wanted.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    Generator: TypeAlias = np.random.Generator

_WEIGHTS, _ORDER = 1, 2  # in the counter's last word, so that the streams never meet

_lock = threading.Lock()
_seeds: Generator | None = None


def set_seed(seed: int) -> None:
    """Start the global sequence of seeds anew."""
    global _seeds
    with _lock:
        _seeds = np.random.default_rng(seed)


def next_seed() -> int:
    """The next seed, 63 bits."""
    global _seeds
    with _lock:
        if _seeds is None:
            _seeds = np.random.default_rng()
        return int(_seeds.integers(2**63))


def seeded(seed: int) -> Generator:
    """The numbers of an initializer that has a seed of its own."""
    return np.random.default_rng(seed)


def weights(seed: int, index: int) -> Generator:
    """The numbers from which parameter ``index`` of a model is drawn."""
    return _stream(_WEIGHTS, seed, index)


def order(seed: int, index: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Permutation ``index`` of a model's samples."""
    return _stream(_ORDER, seed, index).permutation(count).astype(np.int64, copy=False)


def _stream(purpose: int, seed: int, index: int) -> Generator:
    counter = np.array([0, 0, 0, purpose], np.uint64)
    key = np.array([seed % 2**64, index], np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))

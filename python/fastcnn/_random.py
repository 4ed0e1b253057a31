# SPDX-License-Identifier: Apache-2.0
"""Host-side random numbers: seeds, initial weights, permutations. Counter-based: a position is a number.

One global sequence of seeds, set by `utils.set_random_seed`, gives each model its own when it is made; all
else follows from that seed and a count. Dropout draws natively from the same seed.
"""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np

Generator: TypeAlias = np.random.Generator

_WEIGHTS, _ORDER = 1, 2  # in the counter's last word, so that the streams never meet

_lock = threading.Lock()
_seeds = np.random.default_rng()


def set_seed(seed: int) -> None:
    """Start the global sequence of seeds anew."""
    global _seeds
    with _lock:
        _seeds = np.random.default_rng(seed)


def next_seed() -> int:
    """The next seed, 63 bits."""
    with _lock:
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
    words = {word: np.array(values, np.uint64) for word, values in
             {"counter": (0, 0, 0, purpose), "key": (seed, index)}.items()}  # fmt: skip
    return np.random.Generator(np.random.Philox(**words))

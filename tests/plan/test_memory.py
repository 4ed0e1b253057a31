# SPDX-License-Identifier: Apache-2.0
"""The memory planner: tensors alive together never overlap, and the arena is small."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import _native

Tensor = tuple[int, int, int]


def aligned(size: int) -> int:
    return (size + 63) // 64 * 64


def live_bytes(tensors: list[Tensor]) -> int:
    """The most that is alive at one step: no plan is smaller."""
    steps = range(max(last for _, last, _ in tensors) + 1)
    return max(sum(aligned(size) for first, last, size in tensors if first <= s <= last) for s in steps)


@pytest.mark.parametrize("seed", range(50))
def test_random_lifetimes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tensors: list[Tensor] = []
    for _ in range(int(rng.integers(1, 60))):
        first = int(rng.integers(0, 40))
        size = int(rng.integers(0, 5000)) if rng.random() < 0.9 else 0
        tensors.append((first, first + int(rng.integers(0, 12)), size))
    offsets, peak = _native.plan_memory(tensors)
    assert len(offsets) == len(tensors)
    assert all(offset % 64 == 0 for offset in offsets)
    for i, (first, last, size) in enumerate(tensors):
        assert offsets[i] + size <= peak
        for j, (other_first, other_last, other_size) in enumerate(tensors[:i]):
            alive_together = first <= other_last and other_first <= last
            apart = offsets[i] + size <= offsets[j] or offsets[j] + other_size <= offsets[i]
            assert apart or not alive_together or not size or not other_size, (i, j)
    assert live_bytes(tensors) <= peak <= sum(aligned(size) for *_, size in tensors)


def test_a_chain_takes_two_places() -> None:
    """Each tensor is read by the next step alone, so all share the room of two."""
    tensors = [(i, i + 1, 1000) for i in range(20)]
    assert _native.plan_memory(tensors)[1] == 2 * aligned(1000)


def test_the_tightest_gap_is_taken() -> None:
    """Of two gaps that open later, the smaller one is filled."""
    tensors = [(0, 9, 512), (0, 4, 448), (0, 9, 384), (0, 4, 256), (0, 9, 192), (5, 9, 100)]
    offsets, peak = _native.plan_memory(tensors)
    assert offsets[5] == offsets[3]
    assert peak == 512 + 448 + 384 + 256 + 192


def test_nothing() -> None:
    assert _native.plan_memory([]) == ([], 0)


def test_more_than_any_machine_has() -> None:
    with pytest.raises(MemoryError, match="no machine has"):
        _native.plan_memory([(0, 0, 2**61), (0, 0, 2**61), (0, 0, 2**61)])

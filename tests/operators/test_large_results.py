# SPDX-License-Identifier: Apache-2.0
"""The memory of a large result serves the next once nobody holds it, and what is kept has a bound."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fastcnn import ops

F32 = NDArray[np.float32]
MIB = 1 << 20


def address(a: F32) -> int:
    return int(a.__array_interface__["data"][0])


@pytest.fixture
def x() -> F32:
    return np.arange(-2 * MIB, MIB, dtype=np.float32).reshape(3, 1024, 1024)


def test_memory_of_a_dead_result_is_taken_again(x: F32) -> None:
    y = ops.relu(x)
    first = address(y)
    del y
    again = ops.relu(-x)
    assert address(again) == first
    np.testing.assert_array_equal(again, np.maximum(-x, 0))


def test_memory_in_use_is_left_alone(x: F32) -> None:
    y = ops.relu(x)
    part = y[1:, ::2]
    wanted = part.copy()
    del y
    others = [ops.add(x, x) for _ in range(3)]
    for other in others:
        assert not np.shares_memory(other, part)
        np.testing.assert_array_equal(other, x + x)
    np.testing.assert_array_equal(part, wanted)


def test_another_size_is_another_block(x: F32) -> None:
    y = ops.relu(x)
    del y
    smaller, larger = ops.relu(x[:, :900]), ops.relu(np.repeat(x, 2, axis=1))
    np.testing.assert_array_equal(smaller, np.maximum(x[:, :900], 0))
    np.testing.assert_array_equal(larger[:, ::2], np.maximum(x, 0))


@pytest.mark.parametrize("count", [4096, 4099, MIB // 4, MIB, 3 * MIB])
def test_results_begin_with_a_cache_line(count: int) -> None:
    x = np.arange(-1, count - 1, dtype=np.float32)
    results = [ops.relu(x) for _ in range(4)]
    for y in results:
        assert address(y) % 64 == 0
        assert y.flags.c_contiguous
        assert y.flags.writeable
        np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_results_begin_apart_from_their_inputs_in_a_page() -> None:
    count = MIB // 16
    memory = np.ones(2 * count + 4096, np.float32)
    for first in range(0, 1024, 60):
        for second in range(0, 1024, 204):
            x1 = memory[first : first + count]
            x2 = memory[2048 + count + second :][:count]
            y = ops.add(x1, x2)
            assert address(y) % 64 == 0
            for x in (x1, x2):
                assert 256 <= (address(y) - address(x)) % 4096 <= 4096 - 64


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what is resident")
def test_what_is_kept_has_a_bound() -> None:
    x = np.ones((32, MIB // 4), np.float32)
    before = resident()
    results = [ops.relu(x) for _ in range(12)]
    assert resident() - before > 350 * MIB
    del results
    assert resident() - before < (256 + 32) * MIB


OFFERED = """
    from pathlib import Path
    import numpy as np
    from fastcnn import ops

    def offered():
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("LazyFree"))

    x = np.ones((32, 1 << 18), np.float32)
    results = [ops.relu(x) for _ in range(8)]
    del results
    after = offered()
    assert 0 < after <= (256 - 64) << 20, after  # less, if the system was short of memory
    for _ in range(10):
        ops.relu(x)
    assert offered() <= after, (offered(), after)
    results = [ops.relu(x) for _ in range(8)]  # what is offered is as good as what is not
    for y in results:
        np.testing.assert_array_equal(y, x)
    assert offered() == 0, offered()
"""


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="the system does not say what is offered"
)
def test_all_but_the_latest_are_offered_to_the_system() -> None:
    """In a process of its own, where nothing else is kept or offered."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OFFERED)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr

# SPDX-License-Identifier: Apache-2.0
"""No kernel touches a byte before or after its arrays: their neighbours are pages that may not be touched.

A kernel that does ends the process, and with it the test run.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fastcnn.testing.calls import SUITES, Call
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import poisoned
from fastcnn.testing.guard import Side, guarded

CALLS: list[Call] = [call for suite in SUITES for call in suite.every]


@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_nothing_outside_is_touched(call: Call, side: Side, rng: np.random.Generator) -> None:
    arrays = call.reals(rng)
    fenced = {name: guarded(array, side) for name, array in arrays.items()}
    y = call.run(fenced, guarded(poisoned(call.out_shape), side))
    assert_same_bits(y, call.run(arrays), str(call))


def test_the_fence_holds() -> None:
    """A read one element past the array ends a process."""

    program = """
import ctypes, sys
import numpy as np
from fastcnn.testing.guard import guarded
a = guarded(np.zeros(5, np.float32), sys.argv[1])
ctypes.string_at(a.ctypes.data, a.nbytes)
print("inside", flush=True)
ctypes.string_at(a.ctypes.data + (a.nbytes if sys.argv[1] == "end" else -1), 1)
"""
    for side in ("begin", "end"):
        run = subprocess.run(
            [sys.executable, "-c", program, side], capture_output=True, text=True, timeout=60
        )
        assert run.stdout == "inside\n", run.stderr
        assert run.returncode < 0, f"at its {side} the fence let a read through"

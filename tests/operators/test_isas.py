# SPDX-License-Identifier: Apache-2.0
"""The kernel tests once more in every other instruction set that this processor has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn
from fastcnn import _native

TESTS = Path(__file__).parents[1]


def kernels_of(isa: str) -> str:
    """Those for products of bfloat16 share AVX-512's kernels; their products have tests of their own."""
    return "avx512" if isa.endswith("_bf16") else isa


OTHERS = [isa for isa in fastcnn.isas() if kernels_of(isa) == isa != kernels_of(_native.isa())]


def run_in(isa: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FASTCNN_ISA": isa}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("isa", OTHERS)
def test_kernels(isa: str) -> None:
    names = (
        "kernels",
        "plan/test_lanes.py",
        "plan/test_augmented.py",
        "operators/test_views.py",
        "operators/test_guard_pages.py",
        "operators/test_threads.py",
    )
    files = [str(TESTS / name) for name in names]
    options = ("-q", "--tb=short", "-p", "no:cacheprovider", "-k", "not lenet")
    run = run_in(isa, "-m", "pytest", *options, *files)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    # The right kernels have been tested.
    assert run_in(isa, "-c", "from fastcnn import _native; print(_native.isa())").stdout.strip() == isa


def test_baseline_is_always_there() -> None:
    assert fastcnn.isas(), "no instruction set at all"
    assert _native.isa() in fastcnn.isas()
    assert len(set(fastcnn.isas())) == len(fastcnn.isas())


def test_unknown_isa_is_refused_by_name() -> None:
    program = "import numpy; from fastcnn import ops; ops.relu(numpy.ones(3, numpy.float32))"
    run = run_in("sse9", "-c", program)
    assert run.returncode == 1, "an unknown FASTCNN_ISA went through"
    assert "FASTCNN_ISA" in run.stderr
    assert "sse9" in run.stderr
    assert all(isa in run.stderr for isa in fastcnn.isas()), "the message does not say what is wanted"

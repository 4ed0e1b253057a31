# SPDX-License-Identifier: Apache-2.0
"""The index arithmetic of the GPU's matrix products and convolutions, compiled for the host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("walk", "400 shapes\n"),  # every pair of a pixel and a tap is met once
        ("strip", "right\n"),
        ("pixels", "400 shapes\n"),
    ],
)
def test_program(name: str, said: str, tmp_path: Path) -> None:
    program = tmp_path / name
    source = ROOT / "tests" / "cuda" / f"{name}.cpp"
    flags = (
        "-std=c++17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'csrc'}",
        f"-I{ROOT / 'tests/emulation/cuda'}",
    )
    subprocess.run([os.environ.get("CXX", "c++"), *flags, str(source), "-o", str(program)], check=True)
    run = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout == said

# SPDX-License-Identifier: Apache-2.0
"""What decides where a GPU's kernels read and write and when they run, compiled for the host: the index
arithmetic of matrix products and convolutions, and what of a batch goes side by side."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"branches": ("branches", "memory")}  # of csrc/plan


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("walk", "400 shapes\n"),  # every pair of a pixel and a tap is met once
        ("strip", "right\n"),
        ("pixels", "400 shapes\n"),
        ("branches", "right\n"),
    ],
)
def test_program(name: str, said: str, tmp_path: Path) -> None:
    program = tmp_path / name
    sources = [ROOT / "tests" / "cuda" / f"{name}.cpp"]
    sources += [ROOT / "csrc" / "plan" / f"{part}.cpp" for part in PARTS.get(name, ())]
    flags = (
        "-std=c++17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'csrc'}",
        f"-I{ROOT / 'tests/emulation/cuda'}",
    )
    subprocess.run([os.environ.get("CXX", "c++"), *flags, *map(str, sources), "-o", str(program)], check=True)
    run = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout == said

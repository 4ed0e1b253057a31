# SPDX-License-Identifier: Apache-2.0
"""The index arithmetic of the GPU's convolutions, compiled for the host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_pair_of_pixel_and_tap_is_met_once(tmp_path: Path) -> None:
    program = tmp_path / "walk"
    source = ROOT / "tests" / "cuda" / "walk.cpp"
    flags = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}")
    subprocess.run([os.environ.get("CXX", "c++"), *flags, str(source), "-o", str(program)], check=True)
    run = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout == "400 shapes\n"

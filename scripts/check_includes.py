# SPDX-License-Identifier: Apache-2.0
"""Checks that the `#include` lines of csrc/, OpenMP and inline assembly follow csrc/README.md.

Usage: check_includes.py [csrc]. Prints each include that crosses a layer and exits with 1 if there is one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple


class Layer(NamedTuple):
    """Files named like `files` may include local files named like `local`, system headers like `system`."""

    files: str
    local: str
    system: str


# Regular expressions over whole names. The first row that fits a file counts, so the narrow rows come first.
C_HEADERS = r"(stddef|stdint|string)\.h"
NO_PYTHON = r"(?!pybind11/|Python\.h).*"
PLAIN_DATA = r"base/(shape|philox|optimizer_run|affine_map)\.h|base/formulas/.*"
LAYERS = (
    Layer(r"cpu/kernels/vec\.h", PLAIN_DATA, rf"{C_HEADERS}|immintrin\.h|arm_neon\.h"),
    Layer(r"cpu/kernels/.*", rf"cpu/kernels\.h|cpu/kernels/.*|{PLAIN_DATA}", C_HEADERS),
    Layer(r"base/.*", r"base/.*", NO_PYTHON),
    Layer(r"backend\.h", r"base/.*", NO_PYTHON),
    Layer(r"cpu/.*", r"backend\.h|base/.*|cpu/(?!kernels/vec\.h).*", NO_PYTHON),
    Layer(r"cuda/.*", r"backend\.h|base/.*|cuda/.*", NO_PYTHON),
    Layer(r"plan/.*", r"backend\.h|base/.*|plan/.*|cpu/cpu\.h", NO_PYTHON),
    Layer(r"python/.*", r"backend\.h|base/.*|plan/.*|cpu/cpu\.h|python/.*", r".*"),
)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
ASSEMBLY = re.compile(r"\basm\s*(volatile\s*)?\(")
OPENMP = re.compile(r"<omp\.h>|#\s*pragma\s+omp\b|\b_OPENMP\b|\bomp_[a-z_]+\s*\(")


def violations(csrc: Path) -> list[str]:
    """One line for each include, mention of OpenMP or assembly that the layering forbids."""
    csrc = csrc.resolve()
    found: list[str] = []
    for path in sorted(csrc.rglob("*")):
        if path.suffix not in {".h", ".cpp", ".inc", ".cu"}:
            continue
        name = path.relative_to(csrc).as_posix()
        layer = next((layer for layer in LAYERS if re.fullmatch(layer.files, name)), None)
        if layer is None:
            found.append(f"{name}: belongs to no layer")
            continue
        text = path.read_text()
        if OPENMP.search(text) and not name.startswith("base/parallel."):
            found.append(f"{name}: only base/parallel.* mentions OpenMP")
        if ASSEMBLY.search(text) and name.startswith("cuda/") and not name.startswith("cuda/ptx/"):
            found.append(f"{name}: inline assembly of GPUs stands in cuda/ptx/ alone")
        for kind, target in INCLUDE.findall(text):
            if kind == '"':
                target = resolve(csrc, path, target)
            if not re.fullmatch(layer.local if kind == '"' else layer.system, target):
                found.append(f"{name}: may not include {target}")
    return found


def resolve(csrc: Path, path: Path, target: str) -> str:
    """The included file's name below csrc/: looked for beside the includer, then in csrc/ itself."""
    for folder in (path.parent, csrc):
        candidate = (folder / target).resolve()
        if candidate.is_file() and candidate.is_relative_to(csrc):
            return candidate.relative_to(csrc).as_posix()
    return target


def main() -> int:
    """Print the violations in the folder named on the command line."""
    found = violations(Path(sys.argv[1] if len(sys.argv) > 1 else "csrc"))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

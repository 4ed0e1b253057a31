# SPDX-License-Identifier: Apache-2.0
"""Checks that every source file opens with the licence line, and reports files that have grown long.

Usage: check_sources.py [root]. Exits with 1 for a missing licence line or a file beyond the hard limit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("csrc", "python", "tests", "benchmarks", "examples", "scripts", "cmake")
SUFFIXES = {".py", ".pyi", ".cpp", ".h", ".inc", ".cmake", ".sh"}
LICENCE = "SPDX-License-Identifier: Apache-2.0"
LONG, TOO_LONG = 400, 600


def sources(root: Path) -> Iterator[Path]:
    """The project's own source files."""
    for folder in FOLDERS:
        yield from sorted(p for p in (root / folder).rglob("*") if p.suffix in SUFFIXES and p.is_file())


def main() -> int:
    """Print what is wrong, and what is merely long, below the folder named on the command line."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    failed = False
    for path in sources(root):
        lines = path.read_text().splitlines()
        name = path.relative_to(root)
        if not any(LICENCE in line for line in lines[:2]):  # the second line, after a #!
            print(f"{name}: line 1 is not '{LICENCE}'")
            failed = True
        if len(lines) > TOO_LONG:
            print(f"{name}: {len(lines)} lines, the limit is {TOO_LONG}: split it")
            failed = True
        elif len(lines) > LONG:
            print(f"{name}: {len(lines)} lines, think of a split (report only)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

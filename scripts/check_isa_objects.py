# SPDX-License-Identifier: Apache-2.0
"""Checks that an object compiled for one instruction set shares nothing with the objects of another.

The linker merges weak symbols (inline functions, templates) of equal name and keeps any one of them: were it
the AVX-512 copy, older processors would die in code that never asked for AVX-512. So each object of
cpu/kernels/<field>.cpp exports `fastcnn::cpu::<isa>::<field>_kernels` and nothing else, and holds no weak
symbol and no static constructor.

Usage: check_isa_objects.py <build directory>. Prints each fault and exits with 1 if there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# The compiler's own: a reference for the personality routine, and thunks for position-independent calls.
COMPILERS_OWN = re.compile(r"DW\.ref\.__gxx_personality_v0|__x86\.get_pc_thunk\.\w+|__clang_call_terminate")


def isa_objects(build: Path) -> list[tuple[str, Path]]:
    """(isa, object file) of every object that CMake's table of instruction sets produced below `build`."""
    pattern = re.compile(r"fastcnn_isa_([a-z0-9_]+)\.dir$")
    folders = [
        (match[1], folder) for folder in build.rglob("*.dir") if (match := pattern.search(folder.name))
    ]
    return [(isa, path) for isa, folder in sorted(folders) for path in sorted(folder.rglob("*.o"))]


def faults(isa: str, path: Path) -> list[str]:
    """What is wrong with one object file."""
    field = path.name.split(".")[0]
    exported = f"fastcnn::cpu::{isa}::{field}_kernels"
    found: list[str] = []
    seen: list[str] = []
    for line in run("nm", "--demangle", str(path)).splitlines():
        kind, symbol = line[17:].split(" ", 1)
        if COMPILERS_OWN.fullmatch(symbol):
            continue
        if kind in "WwVvu":
            found.append(f"weak symbol {symbol}")
        elif kind.isupper() and kind != "U":
            seen.append(symbol)
    if seen != [exported]:
        found.append(f"exports {', '.join(seen) or 'nothing'}; wanted {exported}")
    if re.search(r"\s\.(init_array|ctors)\b", run("objdump", "--section-headers", str(path))):
        found.append("a static constructor (.init_array)")
    return [f"{isa}/{field}: {fault}" for fault in found]


def run(*command: str) -> str:
    """The standard output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Print the faults of all objects in the build directory named on the command line."""
    objects = isa_objects(Path(sys.argv[1]))
    if not objects:
        print(f"{sys.argv[1]}: no object of an instruction set; build first")
        return 1
    found = [fault for isa, path in objects for fault in faults(isa, path)]
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

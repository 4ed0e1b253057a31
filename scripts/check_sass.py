# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler made of the GPU kernels: registers, spills, local memory, instructions.

Usage: check_sass.py <fastcnn/_cuda.so or an object>. Prints, for each architecture and kind of kernel, the
most registers and the most bytes of local memory, and exits with 1 if one is beyond its budget or lacks the
instructions that it is written for. Needs NVIDIA's cuobjdump and nvdisasm (the group cuda of pyproject.toml);
where there are none it says so and checks nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# Registers and bytes of every thread, by what the kernel's name holds; the first that fits counts. Steps that
# walk strided arrays divide 64-bit numbers, for which the compiler calls a function: what lives across the
# call is what they keep in local memory.
BUDGETS = (
    ("product_sm90", 168, 0),
    ("product_sm80", 255, 0),
    ("product", 168, 0),
    ("narrow_fprop", 96, 0),
    ("direct(_wgrad)?", 128, 0),
    ("few_channels_dgrad", 85, 0),
    ("norm_sums", 128, 0),
    ("each_team", 128, 96),
    ("each_place", 96, 48),
    ("each_measured", 96, 48),
    ("each", 128, 96),
    ("update_all", 128, 0),
    ("", 64, 0),
)

# What every kernel of a kind must hold: on which architectures, and with which precision (csrc/base/shape.h)
# among the arguments of its template.
INSTRUCTIONS = (
    ("product_sm80", r"sm_(?!75)", "PrecisionE[01]E", ("HMMA.1688.F32.TF32",)),
    ("product_sm80", r"sm_(?!75)", "PrecisionE2E", ("HMMA.16816.F32.BF16",)),
    ("product_sm80", r"sm_(?!75)", "", ("LDGSTS.E.BYPASS.LTC128B.128",)),
    ("product_sm80", r"sm_(?!75)", "^(?!.*Bfloat16)", ("LDGSTS.E ",)),
    ("product_sm80", r"sm_(?!75)", "Bfloat16", ("LDSM.16.M",)),
    ("product_sm90", "sm_90a", "PrecisionE[01]E|PanelSums.*Lb1E", ("HGMMA.64x", "x8.F32.TF32")),
    ("product_sm90", "sm_90a", "PrecisionE2E|PanelSums.*Lb0E", ("HGMMA.64x", "x16.F32.BF16")),
    ("product_sm90", "sm_90a", "PrecisionE0E", ("LDSM.16.M",)),
    ("product_sm90", "sm_90a", "", ("UTMALDG.4D.IM2COL", "UTMALDG.3D", "USETMAXREG")),
)

ARCHITECTURE = re.compile(r"^arch = (sm_\w+)")
FUNCTION = re.compile(r"^\s*Function ?:? (\S+?):?$")
USAGE = re.compile(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)")


class Usage(NamedTuple):
    """What one kernel takes."""

    architecture: str
    kernel: str
    registers: int
    local: int  # bytes of stack and of local memory


def usages(listing: str) -> list[Usage]:
    """The kernels in what `cuobjdump -res-usage` prints."""
    found: list[Usage] = []
    architecture = kernel = ""
    for line in listing.splitlines():
        if match := ARCHITECTURE.match(line):
            architecture = match[1]
        elif match := FUNCTION.match(line):
            kernel = match[1]
        if (match := USAGE.search(line)) and kernel:
            found.append(Usage(architecture, kernel, int(match[1]), int(match[2]) + int(match[3])))
    return found


def instructions(listing: str) -> dict[tuple[str, str], str]:
    """The code of each kernel in what `cuobjdump -sass` prints, by architecture and name."""
    found: dict[tuple[str, str], list[str]] = {}
    architecture = kernel = ""
    for line in listing.splitlines():
        if match := ARCHITECTURE.match(line):
            architecture = match[1]
        elif match := FUNCTION.match(line):
            kernel = match[1]
        elif kernel:
            found.setdefault((architecture, kernel), []).append(line)
    return {key: "\n".join(lines) for key, lines in found.items()}


def kind_of(kernel: str) -> tuple[str, int, int]:
    """The row of BUDGETS that a mangled name falls under."""
    return next(row for row in BUDGETS if re.search(rf"\d{row[0]}(?![a-z_])", kernel) or not row[0])


def find_cuobjdump() -> str | None:
    """On PATH, beside nvcc, or in this virtual environment."""
    nvcc = shutil.which("nvcc")
    beside = [Path(os.path.realpath(nvcc)).parent / "cuobjdump"] if nvcc else []
    installed = Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin/cuobjdump")
    there = [str(path) for path in (*beside, *installed) if path.exists()]
    return shutil.which("cuobjdump") or (there[0] if there else None)


def lacking(tool: str, path: str) -> list[str]:
    """A line for each kernel without an instruction that its kind must hold."""
    environment = {**os.environ, "PATH": f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([tool, "-sass", path], capture_output=True, text=True, check=True, env=environment)
    lines = []
    for (architecture, kernel), code in instructions(done.stdout).items():
        for kind, where, which, wanted in INSTRUCTIONS:
            if kind == kind_of(kernel)[0] and re.match(where, architecture) and re.search(which, kernel):
                lines += [
                    f"{architecture} {kernel}: no {each.strip()}" for each in wanted if each not in code
                ]
    return lines


def main() -> int:
    """Print the most that each kind of kernel takes."""
    tool = find_cuobjdump()
    if tool is None:
        print("skipped: no cuobjdump on PATH")
        return 0
    done = subprocess.run([tool, "-res-usage", sys.argv[1]], capture_output=True, text=True, check=True)
    found = usages(done.stdout + done.stderr)
    if not found:
        print(f"{sys.argv[1]}: no kernels")
        return 1
    failed = False
    for architecture in sorted({usage.architecture for usage in found}):
        for row in BUDGETS:
            of_kind = [u for u in found if u.architecture == architecture and kind_of(u.kernel) == row]
            if not of_kind:
                continue
            registers, local = max(u.registers for u in of_kind), max(u.local for u in of_kind)
            print(
                f"{architecture} {row[0] or 'other'}: {len(of_kind)} kernels, {registers} registers "
                f"(budget {row[1]}), {local} bytes of local memory (budget {row[2]})"
            )
            failed |= registers > row[1] or local > row[2]
    without = lacking(tool, sys.argv[1])
    print("\n".join(without) or "every kernel holds the instructions that it is written for")
    failed |= bool(without)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

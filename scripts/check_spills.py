# SPDX-License-Identifier: Apache-2.0
"""Checks that the hot loops of the AVX-512 kernels keep their accumulators in registers.

A hot loop is an innermost loop with at least four fused multiply-adds, of floats or of pairs of bfloat16. A
micro-kernel that needs one register too many still gives right answers, at half the speed; here it shows as a
vector that goes to the stack or comes from it inside the loop. (An address that does so costs next to
nothing, and is not counted.)

Usage: check_spills.py <build directory>. Prints one line for each kernel file and exits with 1 if one is
beyond its budget.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from check_isa_objects import isa_objects, run

# Accesses allowed. Other files are only reported: a polynomial that reloads a constant loses little.
# Those of depthwise (GCC 12) are at the borders of rows, in pairs of channels: row_outputs<2, ..., false>.
BUDGET = {"tile": 0, "bfloat16": 0, "lanes": 0, "depthwise": 22, "depthwise_wgrad": 2}

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
STACK = re.compile(r"(?=.*%[xyz]mm)(.*\(%rsp[,)]|.*-0x[0-9a-f]+\(%rbp\))")
HOT_FMAS = 4

Instruction = tuple[int, str, str]  # address, mnemonic, operands


def functions(disassembly: str) -> dict[str, list[Instruction]]:
    """The instructions of each function."""
    found: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in disassembly.splitlines():
        if match := FUNCTION.match(line):
            body = found.setdefault(match[1], [])
        elif match := INSTRUCTION.match(line):
            body.append((int(match[1], 16), match[2], match[3]))
    return found


def innermost_loops(body: list[Instruction]) -> list[list[Instruction]]:
    """Those from the target of a backward jump up to the jump, where no other loop lies between."""
    first = body[0][0] if body else 0
    spans = set()
    for address, mnemonic, operands in body:
        target = re.match(r"[0-9a-f]+", operands)
        if mnemonic.startswith("j") and target and first <= int(target[0], 16) <= address:
            spans.add((int(target[0], 16), address))
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[i for i in body if begin <= i[0] <= end] for begin, end in sorted(inner)]


def stack_accesses(disassembly: str) -> tuple[int, dict[str, int]]:
    """(number of hot loops, accesses to the stack in hot loops by function)."""
    hot = 0
    accesses: dict[str, int] = {}
    for name, body in functions(disassembly).items():
        for loop in innermost_loops(body):
            if sum(mnemonic.startswith(("vfmadd", "vdpbf16ps")) for _, mnemonic, _ in loop) < HOT_FMAS:
                continue
            hot += 1
            count = sum(bool(STACK.match(operands)) for _, _, operands in loop)
            if count:
                accesses[name] = accesses.get(name, 0) + count
    return hot, accesses


def main() -> int:
    """Print hot loops and stack accesses of every AVX-512 object in the build directory."""
    objects = [path for isa, path in isa_objects(Path(sys.argv[1])) if isa.startswith("avx512")]
    failed = False
    for path in objects:
        field = path.name.split(".")[0]
        listing = run("objdump", "--disassemble", "--demangle", "--no-show-raw-insn", str(path))
        hot, accesses = stack_accesses(listing)
        total = sum(accesses.values())
        print(f"{field}: {hot} hot loops, {total} stack accesses (budget {BUDGET.get(field, 'none')})")
        for name, count in accesses.items():
            print(f"  {count:4d} {name}")
        failed |= total > BUDGET.get(field, total)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

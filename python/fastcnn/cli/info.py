# SPDX-License-Identifier: Apache-2.0
"""``fastcnn info``: what this installation runs on, and why with so many threads."""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import fastcnn
from fastcnn import _native
from fastcnn.cli import options as opt
from fastcnn.cli.report import json_text

_CPUS = Path("/sys/devices/system/cpu")
_LIMITS = {
    "omp_num_threads": "OMP_NUM_THREADS",
    "omp_thread_limit": "OMP_THREAD_LIMIT",
    "affinity": "affinity",
    "cgroup_quota": "the cgroup's quota",
}


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser = opt.add_parser(
        commands,
        "info",
        "show instruction sets, cores, threads and kernels",
        "Show the version, the instruction set in use, the processor, its caches and what limits threads.",
        "fastcnn info\nFASTCNN_ISA=baseline fastcnn info --kernels",
    )
    parser.add_argument(
        "--kernels", action="store_true", help="list the kernels, in the order of their choice"
    )
    opt.add_common(parser)
    parser.set_defaults(run=run)


def version() -> str:
    """Of the package."""
    return fastcnn.__version__


def host() -> dict[str, Any]:
    """What computation here depends on.

    The threads are as many as the least of the limits, a part of a core counting as one. ``threads_from``
    names all limits that are as low.
    """
    sources = _native.thread_sources()
    limit = os.environ.get("OMP_THREAD_LIMIT", "").strip()
    sources["omp_thread_limit"] = int(limit) if limit.isascii() and limit.isdigit() else 0
    limits = {name: sources[name] or None for name in _LIMITS}
    threads = sources["threads"]
    binding = [name for name, limit in limits.items() if limit and math.ceil(limit) == threads]
    return {
        "isa": _native.isa(),
        "isas": list(_native.isas()),
        "bfloat16": _native.bfloat16(),
        "cores": os.cpu_count(),
        "physical_cores": _physical_cores(),
        **limits,
        "threads": threads,
        "threads_from": binding or ["set_num_threads"],
    }


def processor() -> str:
    """Its name, as the system has it."""
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, "") or platform.processor() or platform.machine()


def caches() -> dict[str, int]:
    """Bytes of each cache that the first core uses: L1d, L1i, L2, L3."""
    found = {}
    for folder in sorted((_CPUS / "cpu0/cache").glob("index*")):
        level, kind, size = (_read(folder / name).strip() for name in ("level", "type", "size"))
        factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1:], 0)
        if level and factor and size[:-1].isdigit():
            found[f"L{level}{ {'Data': 'd', 'Instruction': 'i'}.get(kind, '') }"] = int(size[:-1]) * factor
    return found


def cuda() -> dict[str, Any]:
    """Whether the CUDA backend was built, and the GPUs that the driver shows."""
    shown = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    gpus = [line.partition(":")[2].strip() for each in shown for line in _read(each).splitlines()[:1]]
    return {"built": importlib.util.find_spec("fastcnn._cuda") is not None, "gpus": gpus}


def run(options: argparse.Namespace) -> int:
    """Ask, print."""
    kernels = _native.kernels()
    facts = {
        "version": version(),
        **host(),
        "processor": processor(),
        "caches": caches(),
        "cuda": cuda(),
        "kernels": kernels if options.kernels else len(kernels),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(json_text(facts) if options.json else _text(facts))
    return 0


def _text(facts: dict[str, Any]) -> str:
    wanted = os.environ.get("FASTCNN_ISA")
    forced = f" (FASTCNN_ISA={wanted})" if wanted else ""
    kernels, physical, quota = facts["kernels"], facts["physical_cores"], facts["cgroup_quota"]
    rows = {
        "instruction set": f"{facts['isa']}{forced}, of {', '.join(facts['isas'])}",
        "bfloat16": "yes" if facts["bfloat16"] else "no: it needs AMX or AVX512-BF16",
        "processor": facts["processor"] or "unknown",
        "caches": ", ".join(f"{name} {_size(size)}" for name, size in facts["caches"].items()) or "unknown",
        "cores": f"{facts['cores']}" + (f", {physical} of them physical" if physical else ""),
        "affinity": facts["affinity"],
        "cgroup quota": "none" if quota is None else f"{quota:g} cores",
        "OMP_NUM_THREADS": _asked(facts["omp_num_threads"]),
        "OMP_THREAD_LIMIT": facts["omp_thread_limit"] or "not set",
        "threads": f"{facts['threads']}, from {_reason(facts)}",
        "GPU": ", ".join(facts["cuda"]["gpus"]) or "none found",
        "CUDA": "built" if facts["cuda"]["built"] else "not built",
        "kernels": len(kernels) if isinstance(kernels, list) else f"{kernels} (--kernels lists them)",
        "python, numpy": f"{facts['python']}, {facts['numpy']}",
    }
    lines = [f"fastcnn {facts['version']}", *(f"  {name:<17} {value}" for name, value in rows.items())]
    if isinstance(kernels, list):
        lines += [f"    {row['step']:<20} {row['name']}" for row in kernels]
    return "\n".join(lines)


def _asked(threads: int | None) -> str:
    text = os.environ.get("OMP_NUM_THREADS")
    if text is None:
        return "not set"
    return f"{text!r}, left aside: no number from 1 on" if threads is None else text


def _reason(facts: dict[str, Any]) -> str:
    return " and ".join(_LIMITS.get(name, name) for name in facts["threads_from"])


def _physical_cores() -> int | None:
    """As many as there are different sets of siblings."""
    siblings = {_read(each) for each in _CPUS.glob("cpu[0-9]*/topology/thread_siblings_list")}
    return len(siblings - {""}) or None


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

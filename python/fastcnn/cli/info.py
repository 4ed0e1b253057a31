# SPDX-License-Identifier: Apache-2.0
"""``fastcnn info``: what this installation runs on, and why with so many threads."""

from __future__ import annotations

import argparse
import math
import os
import platform
from typing import Any

import numpy as np

import fastcnn
from fastcnn import _native
from fastcnn.cli import options as opt
from fastcnn.cli.report import json_text


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "info",
        help="show instruction sets, cores, threads and kernels",
        description="Show the version, the instruction set in use, the cores and what limits the threads.",
    )
    parser.add_argument(
        "--kernels", action="store_true", help="list the kernels, in the order of their choice"
    )
    opt.add_json(parser)
    parser.set_defaults(run=run)


def version() -> str:
    """Of the package."""
    return fastcnn.__version__


def host() -> dict[str, Any]:
    """What computation here depends on."""
    sources = _native.thread_sources()
    limits = {name: sources[name] or None for name in ("omp_num_threads", "affinity", "cgroup_quota")}
    threads = sources["threads"]
    binding = [name for name, limit in limits.items() if limit and math.ceil(limit) == threads]
    return {
        "isa": _native.isa(),
        "isas": list(_native.isas()),
        "cores": os.cpu_count(),
        **limits,
        "threads": threads,
        "threads_from": binding[0] if binding else "set_num_threads",
    }


def run(options: argparse.Namespace) -> int:
    """Ask, print."""
    kernels = _native.kernels()
    facts = {
        "version": version(),
        **host(),
        "kernels": kernels if options.kernels else len(kernels),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(json_text(facts) if options.json else _text(facts))
    return 0


def _text(facts: dict[str, Any]) -> str:
    wanted = os.environ.get("FASTCNN_ISA")
    forced = f" (FASTCNN_ISA={wanted})" if wanted else ""
    kernels = facts["kernels"]
    rows = {
        "instruction set": f"{facts['isa']}{forced}, of {', '.join(facts['isas'])}",
        "cores": facts["cores"],
        "affinity": facts["affinity"],
        "cgroup quota": "none" if facts["cgroup_quota"] is None else f"{facts['cgroup_quota']:g} cores",
        "OMP_NUM_THREADS": facts["omp_num_threads"] or "not set",
        "threads": f"{facts['threads']}, from {facts['threads_from'].replace('_', ' ')}",
        "kernels": len(kernels) if isinstance(kernels, list) else f"{kernels} (--kernels lists them)",
        "python, numpy": f"{facts['python']}, {facts['numpy']}",
    }
    lines = [f"fastcnn {facts['version']}", *(f"  {name:<16} {value}" for name, value in rows.items())]
    if isinstance(kernels, list):
        lines += [f"    {row['step']:<20} {row['name']}" for row in kernels]
    return "\n".join(lines)

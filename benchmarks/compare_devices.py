# SPDX-License-Identifier: Apache-2.0
"""fastcnn's kernels and training steps on the CPU and on the GPU, side by side: `compare_devices.py --help`.

Each answer's largest error against float64 stands beside its time, of training the largest difference of the
first losses. Calls on the GPU are timed by events of its stream, on inputs that lie there, each time
elsewhere; an epoch by the clock. Where there is no GPU, or an emulated one, its times are not measured.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import layers
import pool
import train
from harness import report
from harness.session import Contender, Pace, Result, Row, Session, available
from harness.tasks import GemmTask, PoolTask, Task, TrainTask

from fastcnn.testing.cases import CONV_SUITE
from fastcnn.testing.timing import Roofs

CPU, GPU = Contender("fastcnn", "call"), Contender("fastcnn-cuda", "call")
CUBES = (128, 512, 1024, 2048, 4096)
NETWORKS = ("lenet5", "mnist_cnn", "resnet20", "resnet18", "resnet50", "mobilenet_v2")
QUICK = {"lenet2 fprop", "64x64x64 NN", "lenet_max2x2 fwd", "lenet5 batch 32 sgd"}
NOT_MEASURED = "not measured"


def tasks(quick: bool) -> Iterator[Task]:
    yield from (layers.task(case, direction) for case in CONV_SUITE for direction in layers.PASSES)
    yield from (GemmTask(size, size, size) for size in (64, *CUBES))
    for name, sizes in pool.CASES.items():
        yield from (PoolTask(name, *sizes, direction) for direction in ("fwd", "bwd"))
    for name in NETWORKS:
        batches, images = train.EPOCHS[name]
        for batch in batches:
            yield TrainTask(name, batch, "sgd", 2 * batch if quick else images)


def settings(task: Task) -> list[Contender]:
    if isinstance(task, TrainTask):
        return [replace(each, setting="fit") for each in (CPU, GPU)]
    return [CPU, GPU]


def of(row: Row, library: str) -> Result | None:
    return next((result for result in row.results if result.contender.library == library), None)


def roof(task: Task, result: Result | None, roofs: Roofs) -> str:
    """The least time that the roofs allow over the time taken."""
    if result is None or not roofs.gflops or not (task.flops or task.bytes):
        return ""
    least = max(task.flops / (1e9 * roofs.gflops), task.bytes / (1e9 * roofs.gbytes))
    return f"{100 * least / result.summary.median:.0f} %"


def cells(row: Row, cpu: Roofs, gpu: Roofs | None) -> list[str]:
    here, there = of(row, CPU.library), of(row, GPU.library)
    timed = there is not None and gpu is not None and gpu.gflops > 0
    assert here is not None
    return [
        row.task.label,
        f"{1e6 * here.summary.median:.4g}",
        f"{1e6 * there.summary.median:.4g}" if timed and there is not None else NOT_MEASURED,
        f"{here.summary.median / there.summary.median:.3g}" if timed and there is not None else "",
        roof(row.task, here, cpu),
        roof(row.task, there, gpu) if timed and gpu is not None else "",
        f"{here.error:.0e}",
        "" if there is None else f"{there.error:.0e}",
    ]


HEADER = ["row", "CPU us", "GPU us", "CPU / GPU", "CPU roof", "GPU roof", "CPU error", "GPU error"]


def parsed(arguments: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--filter", default="", metavar="REGEX", help="only rows whose label matches")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.05, help="how long a turn lasts")
    p.add_argument("--threads", type=int, default=2, help="of the CPU")
    p.add_argument("--quick", action="store_true", help="a smoke run of a few rows")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    p.add_argument("--out", type=Path, metavar="FILE", help="write the table there")
    return p.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    chosen = [task for task in tasks(options.quick) if re.search(options.filter, task.label)]
    if options.quick:
        chosen = [task for task in chosen if task.label in QUICK]
    pace = Pace(2, 0.001) if options.quick else Pace(options.rounds, options.seconds)
    libraries = [each for each in (CPU.library, GPU.library) if available(each)]
    rows: list[Row] = []
    with Session(libraries, options.threads, pace) as session:
        cpu = session.roofs_of(CPU.library)
        gpu = session.roofs_of(GPU.library) if GPU.library in libraries else None
        versions = session.versions()
        for number, task in enumerate(chosen, 1):
            rows.append(session.measure(task, settings(task)))
            print(f"[{number}/{len(chosen)}] {task.label}", file=sys.stderr, flush=True)
    about = report.circumstances(options.threads, versions)
    lines = [
        "## devices",
        "",
        f"{about.machine}, threads: {about.threads}, {about.date}, commit {about.commit}.",
        f"Roofs of the CPU: {cpu.gflops:.0f} GFLOP/s, {cpu.gbytes:.0f} GB/s; of the GPU: "
        + (
            NOT_MEASURED
            if gpu is None or not gpu.gflops
            else f"{gpu.gflops:.0f} GFLOP/s, {gpu.gbytes:.0f} GB/s"
        )
        + ".",
        "",
        *report.aligned([HEADER, *(cells(row, cpu, gpu) for row in rows)]),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(figures(rows, cpu, gpu), indent=1))
    return 0


def figures(rows: list[Row], cpu: Roofs, gpu: Roofs | None) -> dict[str, Any]:
    return {
        "title": "devices",
        "roofs": {"cpu": asdict(cpu), "gpu": None if gpu is None else asdict(gpu)},
        "rows": [
            {"label": row.task.label, "results": [asdict(result) for result in row.results]} for row in rows
        ],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""What a second thread gains, for the rows of the other programs: `python benchmarks/threads.py --help`.

Each thread count has a process of its own; they take turns. A row is to reach 0.95 of one thread's speed, and
1.7 where one thread takes at least two milliseconds.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys

import gemm
import infer
import layers
import pool
import train
from harness.session import Worker
from harness.tasks import GemmTask, InferTask, PoolTask, Task, TrainTask

from fastcnn.testing.cases import CONV_SUITE

LARGE_SECONDS, LARGE, LEAST = 2e-3, 1.7, 0.95
TASKS: list[Task] = [
    *(layers.task(case, direction) for case in CONV_SUITE for direction in layers.PASSES),
    *(GemmTask(size, size, size) for size in gemm.CUBES),
    *gemm.SKINNY,
    *(PoolTask(name, *sizes, way) for name, sizes in pool.CASES.items() for way in ("fwd", "bwd")),
    *(
        TrainTask(network, batch, "sgd", images)
        for network, (batches, images) in train.EPOCHS.items()
        for batch in batches
    ),
    *(InferTask(network, batch) for network in infer.NETWORKS for batch in infer.BATCHES),
]


def setting_of(task: Task) -> str:
    return "fit" if isinstance(task, TrainTask) else "call"


def measure(workers: dict[int, Worker], task: Task, rounds: int, seconds: float) -> dict[int, float]:
    """Seconds of a call by the number of threads: the median over all rounds."""
    samples: dict[int, list[float]] = {threads: [] for threads in workers}
    for worker in workers.values():
        worker.ask("prepare", task, setting_of(task))
    for turn in range(rounds):
        for threads in sorted(workers, reverse=bool(turn % 2)):
            samples[threads] += workers[threads].ask("time", setting_of(task), seconds)
    for worker in workers.values():
        worker.ask("release")
    return {threads: statistics.median(times) for threads, times in samples.items()}


def main(arguments: list[str]) -> int:
    formatter = argparse.ArgumentDefaultsHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("--filter", default="", metavar="REGEX", help="only rows whose label matches")
    p.add_argument("--rounds", type=int, default=4, help="how often the two take turns")
    p.add_argument("--seconds", type=float, default=0.05, help="how long a turn lasts")
    p.add_argument("--check", action="store_true", help="exit with 1 if a row stays below what is wanted")
    options = p.parse_args(arguments)
    workers = {threads: Worker("fastcnn", threads, "perf_counter") for threads in (1, 2)}
    print("| row | one thread us | two threads us | gain | wanted |\n| --- | --- | --- | --- | --- |")
    below = 0
    for task in TASKS:
        if not re.search(options.filter, task.label):
            continue
        seconds = measure(workers, task, options.rounds, options.seconds)
        gain, wanted = seconds[1] / seconds[2], LARGE if seconds[1] >= LARGE_SECONDS else LEAST
        below += gain < wanted
        print(
            f"| {task.label} | {1e6 * seconds[1]:.4g} | {1e6 * seconds[2]:.4g} | {gain:.2f} | {wanted} |",
            flush=True,
        )
    for worker in workers.values():
        worker.close()
    return 1 if options.check and below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

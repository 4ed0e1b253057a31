# SPDX-License-Identifier: Apache-2.0
"""What a second thread gains, for the rows of the other programs: `python benchmarks/threads.py --help`.

A row is to reach 0.95 of one thread's speed, and 1.7 where one thread takes at least two milliseconds. What
memory bounds cannot gain more than copying does: what both roofs gain stands first.

With `--busy` the training steps on two threads, alone and with another process on one of their cores, beside
which they may take 2.2 times as long.

With `--beside FOLDER` the training steps on two threads, and those of another build, which stands in FOLDER.
One with `-DCMAKE_CXX_FLAGS=-DFASTCNN_TASKS=2` splits all sums by thread: what the same bits for any number of
threads cost beside it is to stay within 5 % of a step.

What is compared has a process each; they take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import gemm
import infer
import layers
import pool
import train
from harness.session import Worker
from harness.tasks import GemmTask, InferTask, PoolTask, Task, TrainTask

from fastcnn.testing.cases import CONV_SUITE

LARGE_SECONDS, LARGE, LEAST = 2e-3, 1.7, 0.95
MOST_BESIDE_A_PROCESS, MOST_FOR_THE_SAME_BITS = 2.2, 1.05
STEPS: list[Task] = [
    TrainTask(network, batch, "sgd", images)
    for network, (batches, images) in train.EPOCHS.items()
    for batch in batches
]
TASKS: list[Task] = [
    *(layers.task(case, direction) for case in CONV_SUITE for direction in layers.PASSES),
    *(GemmTask(size, size, size) for size in gemm.CUBES),
    *gemm.SKINNY,
    *(PoolTask(name, *sizes, way) for name, sizes in pool.CASES.items() for way in ("fwd", "bwd")),
    *STEPS,
    *(InferTask(network, batch) for network in infer.NETWORKS for batch in infer.BATCHES),
]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    title: str
    worker: Worker
    meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True)
class Comparison:
    tasks: list[Task]
    first: Side
    second: Side
    ratio: str
    value: Callable[[float, float], float]  # of the seconds of both
    wanted: Callable[[float], float]  # of the seconds of the first
    at_least: bool  # or at most


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGCONT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGSTOP)


@contextlib.contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that computes without end on one core, stopped at first."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        process.send_signal(signal.SIGSTOP)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def comparison(options: argparse.Namespace) -> Iterator[Comparison]:
    with contextlib.ExitStack() as stack:

        def worker(threads: int, site: str = "") -> Worker:
            made = Worker("fastcnn", threads, "perf_counter", site)
            stack.callback(made.close)
            return made

        def slowdown(first: float, second: float) -> float:
            return second / first

        two = worker(2)
        if options.busy:
            process = stack.enter_context(busy_process())
            beside = Side("beside a process", two, lambda: running(process))
            most = MOST_BESIDE_A_PROCESS
            yield Comparison(STEPS, Side("alone", two), beside, "slower", slowdown, lambda _: most, False)
        elif options.beside:
            other = Side(options.beside, worker(2, options.beside))
            most = MOST_FOR_THE_SAME_BITS
            yield Comparison(STEPS, other, Side("this", two), "slower", slowdown, lambda _: most, False)
        else:
            yield Comparison(
                TASKS,
                Side("one thread", worker(1)),
                Side("two threads", two),
                "gain",
                lambda first, second: first / second,
                lambda first: LARGE if first >= LARGE_SECONDS else LEAST,
                True,
            )


def steps_of(task: Task) -> int:
    """A call of a training task is an epoch; its time is reported by the step."""
    return max(1, task.images // task.batch) if isinstance(task, TrainTask) else 1


def setting_of(task: Task) -> str:
    return "fit" if isinstance(task, TrainTask) else "call"


def measure(sides: Sequence[Side], task: Task, rounds: int, seconds: float) -> list[float]:
    """Seconds of a call or of a training step of each side: the median over all rounds."""
    setting = setting_of(task)
    samples: list[list[float]] = [[] for _ in sides]
    workers = list(dict.fromkeys(side.worker for side in sides))
    for worker in workers:
        worker.ask("prepare", task, setting)
    for turn in range(rounds):
        for i in range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides))):
            with sides[i].meanwhile():
                samples[i] += sides[i].worker.ask("time", setting, seconds)
    for worker in workers:
        worker.ask("release")
    return [statistics.median(times) / steps_of(task) for times in samples]


def main(arguments: list[str]) -> int:
    p = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--busy", action="store_true", help="beside another process")
    p.add_argument("--beside", default="", metavar="FOLDER", help="beside the fastcnn of another build")
    p.add_argument("--filter", default="", metavar="REGEX", help="only rows whose label matches")
    p.add_argument("--rounds", type=int, default=4, help="how often the two take turns (4)")
    p.add_argument("--seconds", type=float, default=0.05, help="how long a turn lasts (0.05)")
    p.add_argument("--check", action="store_true", help="exit with 1 if a row misses what is wanted")
    options = p.parse_args(arguments)
    missed = 0
    with comparison(options) as c:
        if c.at_least:
            roofs = zip(*(side.worker.ask("roofs")[:2] for side in (c.first, c.second)), strict=True)
            gains = [second / first for first, second in roofs]
            print(f"{c.second.title} over {c.first.title}: multiply-add {gains[0]:.2f}, copy {gains[1]:.2f}")
        print(f"| row | {c.first.title} us | {c.second.title} us | {c.ratio} | wanted |")
        print("| --- | --- | --- | --- | --- |")
        for task in c.tasks:
            if not re.search(options.filter, task.label):
                continue
            first, second = measure((c.first, c.second), task, options.rounds, options.seconds)
            value, wanted = c.value(first, second), c.wanted(first)
            missed += value < wanted if c.at_least else value > wanted
            print(
                f"| {task.label} | {1e6 * first:.4g} | {1e6 * second:.4g} | {value:.2f} | {wanted} |",
                flush=True,
            )
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""The command line and the course of each benchmark program: roofs, rows, the lowest again, roofs, report."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import report
from .report import Measure, Report
from .session import Contender, Pace, Row, Session, available
from .tasks import Task

DEVICES = ("cpu", "cuda")  # of programs whose rows a GPU has too
_RETIMED = 5  # rows of the lowest ratios, measured again before they are judged


@dataclass(frozen=True)
class Suite:
    """What a program times."""

    title: str
    measure: Measure
    tasks: Sequence[Task]
    quick: Sequence[str]  # labels that a smoke run times
    contenders: Callable[[Any], Sequence[Contender]]
    floor: Callable[[Any], float]  # least ratio wanted, 0 for none
    notes: Mapping[str, str] = field(
        default_factory=dict
    )  # by expressions of labels: why a row is what it is


def parser(description: str, pace: Pace, devices: Sequence[str] = ("cpu",)) -> argparse.ArgumentParser:
    """The options all programs share; `pace` gives the defaults of --rounds and --seconds."""
    formatter = argparse.ArgumentDefaultsHelpFormatter
    p = argparse.ArgumentParser(description=description, formatter_class=formatter)
    p.add_argument("--filter", default="", metavar="REGEX", help="only rows whose label matches")
    p.add_argument("--rounds", type=int, default=pace.rounds, help="how often the contenders take turns")
    p.add_argument("--seconds", type=float, default=pace.seconds, help="how long a turn lasts")
    p.add_argument("--threads", type=int, default=2, help="of every library")
    p.add_argument("--device", choices=devices, default="cpu", help="of fastcnn and of PyTorch")
    p.add_argument("--cpu-time", action="store_true", help="the process's CPU time, for a busy machine")
    p.add_argument("--no-peers", action="store_true", help="fastcnn alone")
    p.add_argument("--eager", action="store_true", help="no compiled peer: minutes less")
    p.add_argument("--no-fastcnn", action="store_true", help="the peers alone")
    p.add_argument("--no-retime", action="store_true", help="do not time the lowest ratios again")
    p.add_argument("--quick", action="store_true", help="a smoke run of a few seconds: few rows, no peers")
    p.add_argument("--check", action="store_true", help="exit with 1 if a row stays below its floor")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    p.add_argument("--out", type=Path, metavar="FILE", help="put the table into this machine's result file")
    return p


def add_precision(p: argparse.ArgumentParser, peers: str) -> None:
    """The option --precision; `peers` says what PyTorch does of its own with it."""
    p.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help=f"of products; {peers}, fastcnn's tensors stay float32 on a CPU",
    )


def titled(name: str, **settings: str) -> str:
    """The title of a suite with settings that are not the usual ones."""
    usual = ("default", "float32")
    return ", ".join([name, *(f"{key}={value}" for key, value in settings.items() if value not in usual)])


def run(suite: Suite, options: argparse.Namespace) -> int:
    """Time the suite as the options say, print the table, and return the exit status."""
    if options.device == "cuda":
        suite = on_gpu(suite)
    if options.eager:
        suite = not_compiled(suite)
    tasks = [task for task in suite.tasks if re.search(options.filter, task.label)]
    pace = Pace(options.rounds, options.seconds, "process_time" if options.cpu_time else "perf_counter")
    if options.cpu_time and options.threads != 1:
        print("--cpu-time counts all threads together: give --threads 1 with it", file=sys.stderr)
        return 2
    if options.quick:
        tasks = [task for task in tasks if task.label in suite.quick]
        pace = replace(pace, rounds=2, seconds=min(options.seconds, 0.005))
    if not tasks:
        print(f"no row matches {options.filter!r}", file=sys.stderr)
        return 2
    libraries = _libraries(suite, tasks, options)
    with Session(libraries, options.threads, pace) as session:
        result = Report(
            title=suite.title,
            measure=suite.measure,
            circumstances=report.circumstances(options.threads, session.versions()),
            pace=pace,
            before=session.roofs(),
            after=session.roofs(),
            notes=suite.notes,
            floors={task.label: suite.floor(task) for task in tasks if suite.floor(task)},
        )
        for number, task in enumerate(tasks, 1):
            result.rows.append(session.measure(task, suite.contenders(task)))
            _progress(f"{number}/{len(tasks)}", result.rows[-1])
        if not options.no_retime:
            _retime(result.rows, suite, session)
        result.after = session.roofs()
    print(result.markdown())
    if options.json:
        options.json.write_text(result.json())
    if options.out:
        result.write_section(options.out)
    return 1 if options.check and result.below_floor() else 0


def on_gpu(suite: Suite) -> Suite:
    """The suite with the settings of a GPU: of PyTorch channels-last, eager, captured and compiled."""

    def contenders(task: Task) -> list[Contender]:
        found: list[Contender] = []
        for each in suite.contenders(task):
            if each.library == "fastcnn":
                found.append(replace(each, library="fastcnn-cuda"))
        nhwc = any("nhwc" in each.setting for each in suite.contenders(task))
        settings = [f"{mode} nhwc" if nhwc else mode for mode in ("eager", "graph", "compile")]
        return found + [Contender("torch-cuda", setting) for setting in settings]

    return replace(suite, title=f"{suite.title} on the GPU", contenders=contenders)


def not_compiled(suite: Suite) -> Suite:
    """The suite without the settings that PyTorch compiles."""

    def contenders(task: Task) -> list[Contender]:
        return [each for each in suite.contenders(task) if not each.setting.startswith("compile")]

    return replace(suite, contenders=contenders)


def _libraries(suite: Suite, tasks: Sequence[Task], options: argparse.Namespace) -> list[str]:
    names = list(dict.fromkeys(contender.library for task in tasks for contender in suite.contenders(task)))
    if options.no_peers or options.quick:
        names = [name for name in names if name.startswith("fastcnn")]
    if options.no_fastcnn:
        names = [name for name in names if not name.startswith("fastcnn")]
    for name in names:
        if not available(name):
            print(f"{name} is not installed or not for this processor: left out", file=sys.stderr)
    return [name for name in names if available(name)]


def _retime(rows: list[Row], suite: Suite, session: Session) -> None:
    """Measure the rows of the lowest ratios again; the second figure stands, the first is kept beside it."""
    ratios = {i: row.ratio for i, row in enumerate(rows) if row.ratio is not None}
    for i in sorted(ratios, key=ratios.__getitem__)[:_RETIMED]:
        task = rows[i].task
        rows[i] = session.measure(task, suite.contenders(task))
        rows[i].first_ratio = ratios[i]
        _progress("again", rows[i])


def _progress(where: str, row: Row) -> None:
    shown = row.ours or row.peer
    time = f"{1e6 * shown.summary.median:.4g} us" if shown else "nothing timed"
    ratio = "" if row.ratio is None else f", ratio {row.ratio:.2f}"
    print(f"[{where}] {row.task.label}: {time}{ratio}", file=sys.stderr, flush=True)

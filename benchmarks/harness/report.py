# SPDX-License-Identifier: Apache-2.0
"""A run as a Markdown table, as a section of a machine's result file, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastcnn.testing.timing import Roofs

from .session import Pace, Result, Row
from .tasks import Task

_DRIFT = 0.03  # of the multiply-add peak, between the start and the end of a run on a quiet machine


@dataclass(frozen=True)
class Measure:
    """What a suite counts: a unit, and how much of it one call of a task does."""

    unit: str
    amount: Callable[[Any], float]  # of a task of the suite's kind

    def rate(self, task: Task, seconds: float) -> float:
        return self.amount(task) / seconds


@dataclass(frozen=True)
class Circumstances:
    """Where, when and with what a run was made."""

    commit: str
    machine: str
    date: str
    load: float  # processes that wanted to run, one-minute average, before the run
    threads: int
    versions: Mapping[str, str]


@dataclass
class Report:
    """The rows of one program, between two measurements of the machine's roofs."""

    title: str
    measure: Measure
    circumstances: Circumstances
    pace: Pace
    before: Roofs
    after: Roofs
    rows: list[Row] = field(default_factory=list)
    floors: Mapping[str, float] = field(default_factory=dict)  # of rows by label
    notes: Mapping[str, str] = field(default_factory=dict)  # by expressions of labels

    def below_floor(self) -> list[Row]:
        return [row for row in self.rows if row.ratio is not None and row.ratio < self._floor(row)]

    def _floor(self, row: Row) -> float:
        return self.floors.get(row.task.label, 0.0)

    def roof_fraction(self, row: Row, result: Result) -> float | None:
        """The least time the roofs allow over the time it took; None where nothing is counted."""
        task = row.task
        gflops = max(self.before.gflops, self.after.gflops)
        gbytes = max(self.before.gbytes, self.after.gbytes)
        if not (gflops and gbytes):
            return None
        least = max(task.flops / (1e9 * gflops), task.bytes / (1e9 * gbytes))
        return least / result.summary.median if least else None

    def markdown(self) -> str:
        table = aligned([self._header(), *map(self._cells, self.rows)])
        lines = [f"## {self.title}", "", *self._preamble(), "", *table]
        below = [f"{row.task.label} ({self._floor(row):g}x)" for row in self.below_floor()]
        if below:
            lines += ["", "Below the floor: " + ", ".join(below) + "."]
        notes = [
            note
            for label, note in self.notes.items()
            if any(re.fullmatch(label, row.task.label) for row in self.rows)
        ]
        lines += ["", *(f"* {note}" for note in notes)] if notes else []
        return "\n".join(lines) + "\n"

    def _preamble(self) -> list[str]:
        c, before, after = self.circumstances, self.before, self.after
        clock = "CPU time" if self.pace.clock == "process_time" else "wall time"
        lines = [
            f"{c.machine}, threads: {c.threads}, {c.date}, commit {c.commit}, load before {c.load:.1f}; "
            f"{', '.join(dict.fromkeys(c.versions.values()))}.",
            f"Roofs before / after ({before.source}): multiply-add {before.gflops:.0f} / {after.gflops:.0f} "
            f"GFLOP/s, copy {before.gbytes:.0f} / {after.gbytes:.0f} GB/s. {self.pace.rounds} rounds of "
            f"{self.pace.seconds * 1e3:g} ms each; microseconds ({clock}) are median [minimum, p10-p90].",
        ]
        if abs(before.gflops - after.gflops) > _DRIFT * max(before.gflops, after.gflops):
            lines.append("The machine was not quiet: its multiply-add peak moved. Mistrust the times.")
        return lines

    def _header(self) -> list[str]:
        unit = self.measure.unit
        beside = next((result for row in self.rows for result in row.results if _beside(result)), None)
        ours = ["fastcnn us", unit, "roof", f"by {beside.contender.setting}" if beside else ""]
        return ["row", *ours, "best peer", "peer us", f"peer {unit}", "ratio", "error"]

    def _cells(self, row: Row) -> list[str]:
        ours, peer = row.ours, row.peer
        fraction = None if ours is None else self.roof_fraction(row, ours)
        beside = next(filter(_beside, row.results), None)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        if row.first_ratio is not None:
            ratio += f" (first {row.first_ratio:.2f})"
        return [
            row.task.label,
            _times(ours),
            self._rate(row, ours),
            "" if fraction is None else f"{100 * fraction:.0f} %",
            self._rate(row, beside),
            "" if peer is None else str(peer.contender),
            _times(peer),
            self._rate(row, peer),
            ratio,
            f"{ours.error if ours else peer.error if peer else 0:.0e}",
        ]

    def _rate(self, row: Row, result: Result | None) -> str:
        return "" if result is None else f"{self.measure.rate(row.task, result.summary.median):.4g}"

    def json(self) -> str:
        return json.dumps(
            {
                "title": self.title,
                "unit": self.measure.unit,
                "circumstances": asdict(self.circumstances),
                "pace": asdict(self.pace),
                "roofs": {"before": asdict(self.before), "after": asdict(self.after)},
                "rows": [self._row_data(row) for row in self.rows],
            },
            indent=1,
        )

    def _row_data(self, row: Row) -> dict[str, Any]:
        return {
            "label": row.task.label,
            "task": asdict(row.task),
            "ratio": row.ratio,
            "first_ratio": row.first_ratio,
            "floor": self.floors.get(row.task.label),
            "results": [
                {
                    **asdict(result),
                    "rate": self.measure.rate(row.task, result.summary.median),
                    "roof": self.roof_fraction(row, result),
                }
                for result in row.results
            ],
        }

    def write_section(self, path: Path) -> None:
        """Put the table into a machine's file in place of the section of the same title."""
        head, *sections = (path.read_text() if path.exists() else f"# {self.circumstances.machine}\n").split(
            "\n## "
        )
        kept = {section.splitlines()[0]: "## " + section.strip() for section in sections}
        kept[self.title] = self.markdown().strip()
        path.write_text("\n\n".join([head.strip(), *kept.values()]) + "\n")


def _beside(result: Result) -> bool:
    """Whether it is a way of calling fastcnn that is shown beside the judged one."""
    return result.contender.ours and not result.contender.judged


def _times(result: Result | None) -> str:
    if result is None:
        return ""
    s = result.summary
    return "{:.4g} [{:.4g}, {:.4g}-{:.4g}]".format(*(1e6 * t for t in (s.median, s.minimum, s.p10, s.p90)))


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns also line up as plain text; empty columns are left out."""
    kept = [column for column in zip(*table, strict=True) if any(column[1:]) or len(column) == 1]
    columns = [[column[0], "", *column[1:]] for column in kept]
    for column in columns:
        width = max(map(len, column))
        column[:] = [cell.ljust(width) for cell in column]
        column[1] = "-" * width
    return ["| " + " | ".join(cells) + " |" for cells in zip(*columns, strict=True)]


def circumstances(threads: int, versions: Mapping[str, str]) -> Circumstances:
    """Of a run that starts now."""
    return Circumstances(
        commit=_commit(),
        machine=f"{_processor()}, {len(os.sched_getaffinity(0))} CPUs",
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        load=os.getloadavg()[0],
        threads=threads,
        versions=versions,
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"

# SPDX-License-Identifier: Apache-2.0
"""The benchmark programs run, check their answers and write figures; the timing beneath them is right."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fastcnn import _native
from fastcnn.testing import timing

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / program), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize("program", ["layers", "gemm", "pool", "train", "infer", "operators"])
def test_quick_run_writes_table_and_figures(program: str, tmp_path: Path) -> None:
    figures, table = tmp_path / "figures.json", tmp_path / "machine.md"
    result = run(f"{program}.py", "--quick", "--json", str(figures), "--out", str(table))
    assert result.returncode == 0, result.stderr
    data = json.loads(figures.read_text())
    assert data["title"] == program
    assert data["roofs"]["before"]["source"] == "probe"
    for row in data["rows"]:
        assert row["label"] in result.stdout
        for contender in row["results"]:
            summary = contender["summary"]
            assert 0 < summary["minimum"] <= summary["p10"] <= summary["median"] <= summary["p90"]
            assert contender["error"] < 1e-4
    assert table.read_text().count(f"## {program}\n") == 1


@pytest.mark.skipif(not _native.bfloat16(), reason="this processor has no products of bfloat16")
@pytest.mark.parametrize(
    ("program", "row"), [("train", "dense batch 32 adam"), ("infer", "mobilenet_v2 batch 1")]
)
def test_quick_run_in_bfloat16(program: str, row: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    result = run(
        f"{program}.py", "--quick", "--precision", "bfloat16", "--filter", row, "--json", str(figures)
    )
    assert result.returncode == 0, result.stderr
    data = json.loads(figures.read_text())
    assert data["title"] == f"{program}, precision=bfloat16"
    assert [(each["label"], each["task"]["precision"]) for each in data["rows"]] == [(row, "bfloat16")]


def test_quick_run_of_calls(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    result = run("calls.py", "--quick", "--json", str(figures))
    assert result.returncode == 0, result.stderr
    found = json.loads(figures.read_text())["microseconds"]
    assert set(found) == {"kernels", "predict_on_batch", "predict"}
    for name, value in found.items():
        assert f"{name:18}{value:8.1f}" in result.stdout


def test_both_devices_side_by_side(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    result = run("compare_devices.py", "--quick", "--json", str(figures))
    assert result.returncode == 0, result.stderr
    data = json.loads(figures.read_text())
    if data["roofs"]["gpu"] is None:
        assert "of the GPU: not measured" in result.stdout
    for row in data["rows"]:
        assert row["label"] in result.stdout
        for each in row["results"]:
            assert each["summary"]["median"] > 0
            assert each["error"] < 1e-4


def test_a_machines_file_holds_one_section_a_program(tmp_path: Path) -> None:
    table = tmp_path / "machine.md"
    for program in ("gemm.py", "pool.py", "gemm.py"):
        result = run(program, "--quick", "--seconds", "0.001", "--out", str(table))
        assert result.returncode == 0, result.stderr
    text = table.read_text()
    assert text.startswith("# ")
    assert [text.count(f"## {title}\n") for title in ("gemm", "pool")] == [1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--filter", "no such row"], "no row matches"),
        (["--passes", "sideways"], "wanted some of fprop, dgrad, wgrad"),
        (["--cpu-time"], "--threads 1"),
    ],
)
def test_wrong_options_are_refused(options: list[str], said: str) -> None:
    result = run("layers.py", *options)
    assert result.returncode == 2
    assert said in result.stderr


def test_summary_orders_times() -> None:
    summary = timing.summarize([float(i) for i in range(100, -1, -1)])
    assert (summary.minimum, summary.p10, summary.median, summary.p90) == (0.0, 10.0, 50.0, 90.0)
    assert summary.samples == 101
    with pytest.raises(ValueError, match="no times"):
        timing.summarize([])


def test_time_calls_counts_calls_and_takes_the_least_number() -> None:
    calls: list[None] = []
    samples = timing.time_calls(lambda: calls.append(None), seconds=0.0, calls=5, least=4)
    assert len(samples) == 4
    assert len(calls) == 20


def test_a_short_call_is_repeated_in_a_sample_and_a_long_one_is_not() -> None:
    assert timing.calls_per_sample(lambda: None) > 1
    assert timing.calls_per_sample(lambda: sum(range(100_000))) == 1


def test_time_calls_reads_the_clock_it_is_given() -> None:
    ticks = itertools.count()
    samples = timing.time_calls(lambda: None, seconds=0.0, least=2, clock=lambda: float(next(ticks)))
    assert samples == [1.0, 1.0]


@pytest.mark.parametrize("module", [None, "native"])
def test_roofs_are_measured_with_and_without_the_probes(module: str | None) -> None:
    roofs = timing.measured_roofs(1, _native if module else None)
    assert roofs.gflops > 0
    assert roofs.gbytes > 0
    assert roofs.source == ("probe" if module else "NumPy")

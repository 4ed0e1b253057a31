# SPDX-License-Identifier: Apache-2.0
"""The number of threads follows OMP_NUM_THREADS, the affinity and the cgroup's quota, until it is set."""

from __future__ import annotations

import math
import os
import pathlib
import subprocess
import sys

import pytest

from fastcnn import _native, get_num_threads, set_num_threads
from fastcnn.errors import ArgumentError


def default_threads(before: str, **environment: str) -> int:
    """What a fresh process chooses after it has run ``before``."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    script = f"import os\n{before}\nimport fastcnn\nprint(fastcnn.get_num_threads())"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=inherited | environment, check=True, capture_output=True, text=True)
    return int(run.stdout)


def test_default_threads_follow_the_process() -> None:
    cores = len(os.sched_getaffinity(0))
    quota = _native.thread_sources()["cgroup_quota"]
    allowed = min(cores, math.ceil(quota)) if quota else cores
    one = min(os.sched_getaffinity(0))
    assert default_threads("") == allowed
    assert default_threads("", OMP_NUM_THREADS="1") == 1
    assert default_threads("", OMP_NUM_THREADS="1,4") == 1
    assert default_threads("", OMP_NUM_THREADS=str(cores + 7)) == allowed
    assert default_threads("", OMP_NUM_THREADS="many") == allowed
    assert default_threads("", OMP_THREAD_LIMIT="1") == 1
    assert default_threads(f"os.sched_setaffinity(0, {{{one}}})") == 1


def test_an_affinity_set_later_is_seen_at_once() -> None:
    one = min(os.sched_getaffinity(0))
    before = "import fastcnn, numpy\na = numpy.ones((128, 128), numpy.float32)\nfastcnn.ops.gemm(a, a)\n"
    assert default_threads(before + f"os.sched_setaffinity(0, {{{one}}})\nfastcnn.ops.gemm(a, a)") == 1


def test_quota_is_the_cgroup_s() -> None:
    """The least ``cpu.max`` on the way from this process's group to the root, where version 2 is mounted."""
    groups = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    group = next((line[3:] for line in groups if line.startswith("0::")), "/")
    folder = pathlib.Path("/sys/fs/cgroup", group.lstrip("/"))
    least = 0.0
    for place in (folder, *folder.parents):
        limit = place / "cpu.max"
        if limit.is_file():
            quota, period = limit.read_text().split()
            if quota != "max":
                least = min(least or math.inf, int(quota) / int(period))
    if len(groups) == 1:  # version 2 alone
        assert _native.thread_sources()["cgroup_quota"] == pytest.approx(least)


@pytest.mark.parametrize("wrong", [0, -1, 10**9, 2**70])
def test_thread_counts_out_of_range_are_refused(wrong: int) -> None:
    before = get_num_threads()
    with pytest.raises(ArgumentError, match="num_threads"):
        set_num_threads(wrong)
    assert get_num_threads() == before

# SPDX-License-Identifier: Apache-2.0
"""The parent's side: worker processes, answers checked, then rounds in which the contenders take turns.

A row is one task, a contender one setting of one library. In every round each contender is timed for a slice;
the order turns by one each round, so that none always follows the same other. Only one process computes at a
time.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn import DeviceError, _native
from fastcnn.testing import timing
from fastcnn.testing.timing import Roofs, Summary

from .answers import answers
from .tasks import InferTask, Task, TrainTask

# Idle threads of the library timed before stop spinning within it: OpenBLAS's after 2^28 ticks of the clock.
_REST_SECONDS = 0.05
_REST_SECONDS_AFTER = {"numpy": 0.15, "numpy-skylakex": 0.15}
_LOSS_TOLERANCE = 1e-4  # of losses, and of logits over the largest of them
# Adam divides a gradient by its own size, and so makes a whole step of what rounding left of a tiny one: ten
# losses of mnist_cnn at batch 128 are within 2e-7 of a float64 run in fastcnn, and within 1.8e-4 in PyTorch,
# with its own Adam or with one written in its operators. An epsilon at another place is 1.8e-3 away.
_ADAM_TOLERANCE = 1e-3
# Some fifty batch norms of 8 samples each make much of a rounding. After one step the loss of MobileNetV2 is
# 7.08477 in float64, 7.08411 in fastcnn, 7.08418 and 7.08234 in PyTorch's two layouts; that of ResNet-50 is
# 7.4616, 7.4820 (7.4383 with math="strict"), 7.4387 and 7.4633. Before the step all are within 2e-5.
_TOLERANCE_AFTER_A_STEP = {"mobilenet_v2": 5e-3, "resnet50": 5e-2}
# In bfloat16 each library rounds other numbers, PyTorch whatever it stores: MobileNetV2's logits are 0.08 of
# the largest apart, second losses of ResNet-50, some 7, 0.1.
_ROUNDED_TOLERANCE = 0.2

# Environment of a worker, beside what all of them share.
_ENVIRONMENT: Mapping[str, Mapping[str, str]] = {
    "fastcnn": {},
    "torch": {},
    "onnxruntime": {},
    "numpy": {},
    "numpy-skylakex": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "fastcnn-cuda": {},
    "torch-cuda": {},
}


@dataclass(frozen=True)
class Contender:
    """A setting of a library. One that is not judged is shown, but stands in no ratio."""

    library: str
    setting: str
    judged: bool = True

    @property
    def ours(self) -> bool:
        return self.library.startswith("fastcnn")

    def __str__(self) -> str:
        return f"{self.library} {self.setting}"


@dataclass(frozen=True)
class Pace:
    """How often the contenders take turns, and for how many seconds each at a time."""

    rounds: int
    seconds: float
    clock: str = "perf_counter"  # of the module time


@dataclass(frozen=True)
class Result:
    """Times of a contender on a task: over all rounds, and the median of each; its largest relative error."""

    contender: Contender
    summary: Summary
    round_medians: list[float]
    error: float


@dataclass
class Row:
    """The results of all contenders on one task."""

    task: Task
    results: list[Result] = field(default_factory=list)
    first_ratio: float | None = None  # before it was timed again

    @property
    def ours(self) -> Result | None:
        return _best(result for result in self.results if result.contender.ours)

    @property
    def peer(self) -> Result | None:
        return _best(result for result in self.results if not result.contender.ours)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the best peer."""
        if self.ours is None or self.peer is None:
            return None
        return self.peer.summary.median / self.ours.summary.median


def _best(results: Any) -> Result | None:
    judged = [result for result in results if result.contender.judged]
    return min(judged, key=lambda result: result.summary.median, default=None)


def available(library: str) -> bool:
    """Whether a worker for the library can run on this machine."""
    if library == "numpy-skylakex" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        return False
    if library == "fastcnn-cuda":
        return _gpu_works()
    if library == "torch-cuda":
        torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
        return torch is not None and bool(torch.cuda.is_available())
    modules = ("onnxruntime", "onnx") if library == "onnxruntime" else (library.partition("-")[0],)
    return all(importlib.util.find_spec(module) is not None for module in modules)


def _gpu_works() -> bool:
    try:
        _native.gpu_variant()
    except DeviceError as problem:
        print(f"fastcnn-cuda: {problem}", file=sys.stderr)
        return False
    return True


class Worker:
    """A process that holds one library; fastcnn from the folder `site` where it is given."""

    def __init__(self, library: str, threads: int, clock: str, site: str = "") -> None:
        self.library = library
        self._connection, remote = Pipe()
        name = library if library.endswith("-cuda") else library.partition("-")[0]
        command = [sys.executable, "-m", "harness.worker", name, str(threads), clock]
        self._process = subprocess.Popen(
            [*command, timing.__file__, str(remote.fileno())],
            env=_environment(library, threads, site),
            pass_fds=[remote.fileno()],
        )
        remote.close()

    def ask(self, method: str, *arguments: object) -> Any:
        """Call a method of the worker's `Server`; RuntimeError carries its traceback."""
        try:
            self._connection.send((method, arguments))
            worked, answer = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._process.wait()
            raise RuntimeError(
                f"the worker of {self.library} ended with status {code} during {method}"
            ) from None
        if not worked:
            raise RuntimeError(f"{self.library}: {method} failed:\n{answer}")
        return answer

    def close(self) -> None:
        self._connection.close()
        self._process.wait()


def _environment(library: str, threads: int, site: str) -> dict[str, str]:
    settings = dict(os.environ)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        settings.pop(name, None)
    settings["OMP_NUM_THREADS"] = str(threads)
    folder = str(Path(__file__).parents[1])
    settings["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, site, settings.get("PYTHONPATH")]))
    return {**settings, **_ENVIRONMENT[library]}


class Session:
    """One worker for each library."""

    def __init__(self, libraries: Sequence[str], threads: int, pace: Pace) -> None:
        self._pace = pace
        self._workers = {library: Worker(library, threads, pace.clock) for library in libraries}
        self._last = ""  # the library that computed last

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def versions(self) -> dict[str, str]:
        return {library: worker.ask("version") for library, worker in self._workers.items()}

    def roofs(self) -> Roofs:
        """Measured in fastcnn's process, or whichever there is."""
        worker = self._workers.get("fastcnn") or next(iter(self._workers.values()))
        return Roofs(*worker.ask("roofs"))

    def roofs_of(self, library: str) -> Roofs:
        return Roofs(*self._workers[library].ask("roofs"))

    def measure(self, task: Task, contenders: Sequence[Contender]) -> Row:
        """Check every contender's answer, then time them in turns."""
        errors = self._prepare(task, [c for c in contenders if c.library in self._workers])
        contenders = list(errors)
        samples: dict[Contender, list[list[float]]] = {contender: [] for contender in contenders}
        for turn in range(self._pace.rounds):
            shift = turn % max(len(contenders), 1)
            for contender in contenders[shift:] + contenders[:shift]:
                time.sleep(_REST_SECONDS_AFTER.get(self._last, _REST_SECONDS))
                self._last = contender.library
                worker = self._workers[contender.library]
                samples[contender].append(worker.ask("time", contender.setting, self._pace.seconds))
        for worker in self._workers.values():
            worker.ask("release")
        return Row(
            task, [_result(contender, samples[contender], errors[contender]) for contender in contenders]
        )

    def _prepare(self, task: Task, contenders: Sequence[Contender]) -> dict[Contender, float]:
        """Errors of the contenders that can do the task; a peer that cannot is reported and left out.

        Whole networks have no right answer at hand: there all must agree with the first, whose error is the
        largest difference to any other.
        """
        right = None if isinstance(task, TrainTask | InferTask) else answers(task)
        losses: list[Any] = []
        errors: dict[Contender, float] = {}
        for contender in contenders:
            worker = self._workers[contender.library]
            self._last = contender.library
            try:
                worker.ask("prepare", task, contender.setting)
            except RuntimeError as problem:
                if contender.ours:
                    raise
                print(f"{task.label}: {contender} left out: {problem}", file=sys.stderr)
                continue
            got = worker.ask("sample", contender.setting, None if right is None else right.indices)
            if isinstance(task, InferTask):
                got = got / np.max(np.abs(got))
            try:
                errors[contender] = _loss_error(task, got, losses) if right is None else right.error(got)
            except ArithmeticError as problem:
                raise ArithmeticError(f"{task.label}: {contender}: {problem}") from None
        if right is None and errors:
            errors[next(iter(errors))] = max(errors.values())
        return errors


def _loss_error(task: Task, got: Any, seen: list[Any]) -> float:
    """Difference to the first losses of whoever trained first, from equal weights on equal batches."""
    seen.append(got)
    tolerances = np.full(np.shape(got), _LOSS_TOLERANCE)
    if isinstance(task, TrainTask | InferTask) and task.precision == "bfloat16":
        tolerances[:] = _ROUNDED_TOLERANCE
    elif isinstance(task, TrainTask):
        later = _ADAM_TOLERANCE if task.optimizer == "adam" else _LOSS_TOLERANCE
        tolerances[1:] = max(later, _TOLERANCE_AFTER_A_STEP.get(task.network, 0.0))
    errors = np.abs(got - seen[0])
    if not np.all(errors <= tolerances):
        raise ArithmeticError(f"{got} differ by {np.max(errors):.2e} from {seen[0]}")
    return float(np.max(errors))


def _result(contender: Contender, samples: list[list[float]], error: float) -> Result:
    medians = [timing.summarize(times).median for times in samples]
    return Result(contender, timing.summarize([t for times in samples for t in times]), medians, error)

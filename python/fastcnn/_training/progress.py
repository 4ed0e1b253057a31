# SPDX-License-Identifier: Apache-2.0
"""The progress line: ``1875/1875 [==============================] - 8s 4ms/step - loss: 0.4632``.

On a terminal it is painted over itself while the work goes on; elsewhere (a file, a pipe) only its last state
is written, so that a log holds one line an epoch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from fastcnn.errors import ArgumentError

WIDTH = 30  # of the bar
INTERVAL = 0.05  # seconds between two paintings

_MODES: dict[int | str, int] = {"auto": 1, 0: 0, 1: 1, 2: 2}


class Progress:
    """Writes what Keras would.

    Parameters
    ----------
    verbose
        0: nothing; 1 or "auto": header, bar, times and logs; 2: the same without a bar, never live.
    where
        Opens the message if ``verbose`` is something else.
    """

    def __init__(self, verbose: int | str, where: str) -> None:
        if verbose not in _MODES:
            raise ArgumentError(f'{where}: verbose: {verbose!r} came, wanted 0, 1, 2 or "auto"')
        self.verbose = _MODES[verbose]
        self._stream: TextIO | None = sys.stdout  # None in a program without streams; print then does nothing
        self._live = self.verbose == 1 and self._stream is not None and self._stream.isatty()
        self._painted_length = 0

    def header(self, epoch: int, epochs: int) -> None:
        """``Epoch 1/5``"""
        if self.verbose:
            print(f"Epoch {epoch + 1}/{epochs}", file=self._stream, flush=True)

    def begin(self, steps: int | None) -> None:
        """Start the clock of a line; None where it is not known how many steps there are."""
        self._steps, self._done = steps, 0
        self._start = time.perf_counter()
        self._painted_at = 0.0

    def update(self, done: int, logs: Mapping[str, Any]) -> None:
        """``done`` steps are done."""
        now = time.perf_counter()
        self._done = done
        if not self._live or done == self._steps or now - self._painted_at < INTERVAL:
            return
        self._painted_at = now
        spent = now - self._start
        if self._steps is None:
            text = f"{done:>7d}/Unknown - {spent:.0f}s {_per_step(spent / done)}{_values(logs)}"
        else:
            seconds = spent / done * (self._steps - done)
            text = f"{self._counter(done)} {_bar(done, self._steps)} - ETA: {_clock(seconds)}{_values(logs)}"
        self._paint(text[: _columns() - 1])  # a line that wraps could not be painted over

    def end(self, logs: Mapping[str, Any]) -> None:
        """Write the line's last state and leave it."""
        if not self.verbose:
            return
        if self._steps is None:
            self._steps = self._done
        seconds = time.perf_counter() - self._start
        total, step = f"{seconds:.0f}s", _per_step(seconds / max(1, self._steps))
        counter = self._counter(self._steps)
        bar = (
            f" {_bar(self._steps, self._steps)} - {total} {step}"
            if self.verbose == 1
            else f" - {total} - {step}"
        )
        self._paint(counter + bar + _values(logs))
        self.close()

    def close(self) -> None:
        """End a line that stands open, whatever became of the work."""
        if self._painted_length:
            self._painted_length = 0
            print(file=self._stream, flush=True)

    def _counter(self, done: int) -> str:
        assert self._steps is not None
        return f"{done:{len(str(self._steps))}d}/{self._steps}"

    def _paint(self, text: str) -> None:
        padded = text.ljust(self._painted_length)
        self._painted_length = len(text)
        print(f"\r{padded}" if self._live else padded, end="", file=self._stream, flush=True)


def _bar(done: int, steps: int) -> str:
    filled = WIDTH * done // steps
    head = "=" * (filled - 1) + (">" if done < steps else "=") if filled else ""
    return f"[{head.ljust(WIDTH, '.')}]"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest}s"


def _per_step(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}/step"
    return f"{seconds * 1e6:.0f}us/step"


def _values(logs: Mapping[str, Any]) -> str:
    return "".join(f" - {key}: {_value(value)}" for key, value in logs.items())


def _value(value: Any) -> str:
    if getattr(value, "ndim", 0):
        return str(value.tolist())
    return f"{value:{'.4f' if abs(value) > 1e-3 else '.4e'}}"


def _columns() -> int:
    import shutil  # only now: it costs 4 ms

    return shutil.get_terminal_size().columns

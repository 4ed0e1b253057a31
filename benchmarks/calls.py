# SPDX-License-Identifier: Apache-2.0
"""What a call costs around its kernels: `python benchmarks/calls.py --help`.

One image through LeNet-5. The kernels are the run of a session that is made already, in the same process; the
two take turns, and what is reported are medians.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import layers
from fastcnn.testing.timing import summarize, time_calls

LIMIT = 20.0  # microseconds over the kernels, at most


def lenet5() -> fastcnn.Sequential:
    return fastcnn.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )


def microseconds(calls: dict[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, float]:
    """The median of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        time_calls(call, 0.0, least=100)
    for _ in range(rounds):
        for name, call in calls.items():
            times[name] += time_calls(call, seconds, least=50)
    return {name: 1e6 * summarize(each).median for name, each in times.items()}


def main(arguments: list[str]) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="a smoke run")
    p.add_argument("--threads", type=int, default=fastcnn.get_num_threads())
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    p.add_argument("--check", action="store_true", help=f"exit with 1 above {LIMIT:g} us over the kernels")
    options = p.parse_args(arguments)
    fastcnn.set_num_threads(options.threads)
    model, image = lenet5(), np.random.default_rng(0).random((1, 28, 28, 1), np.float32)
    out = np.empty((1, 10), np.float32)
    session = model._bind().native.session("predict", (image,), None, (out,), 1)
    calls: dict[str, Callable[[], object]] = {
        "kernels": lambda: session.run(None, 0, math.inf),
        "predict_on_batch": lambda: model.predict_on_batch(image),
        "predict": lambda: model.predict(image, verbose=0),
    }
    assert calls["kernels"]() == 1
    assert np.array_equal(out, model.predict_on_batch(image))
    found = microseconds(calls, *((2, 0.005) if options.quick else (15, 0.1)))
    print(f"LeNet-5, one image, {options.threads} threads, microseconds of a call")
    for name, value in found.items():
        over = "" if name == "kernels" else f"  {value - found['kernels']:6.1f} over the kernels"
        print(f"{name:18}{value:8.1f}{over}")
    if options.json:
        options.json.write_text(json.dumps({"title": "calls", "microseconds": found}))
    return int(options.check and found["predict_on_batch"] - found["kernels"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

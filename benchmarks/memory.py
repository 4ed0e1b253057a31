# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a training step of ResNet-50 beside PyTorch's: `python benchmarks/memory.py --help`.

What counts is how far the peak of the process's resident memory rises, from when the library is imported to
the end of the third step: weights, optimizer state, data, activations, workspace. A process for each row.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import subprocess
import sys

from harness.session import available
from harness.tasks import TrainTask

SETTINGS = (("fastcnn", "fit"), ("torch", "eager nchw"), ("torch", "eager nhwc"))


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def growth(library: str, setting: str, task: TrainTask, threads: int) -> int:
    """In this process."""
    loaded = importlib.import_module(f"harness.library_{library}").load(threads)
    before = peak_bytes()
    job = loaded.build(task, setting)
    for _ in range(3):
        job.run()
    return peak_bytes() - before


def main(arguments: list[str]) -> int:
    formatter = argparse.ArgumentDefaultsHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("--network", default="resnet50", help="of harness.image_networks")
    p.add_argument("--batch", type=int, default=8, help="images of a step")
    p.add_argument("--threads", type=int, default=2, help="of every library")
    p.add_argument("--check", action="store_true", help="exit with 1 if fastcnn takes more than a peer")
    p.add_argument("--only", nargs=2, metavar=("LIBRARY", "SETTING"), help="print the bytes of this process")
    options = p.parse_args(arguments)
    if options.only:
        task = TrainTask(options.network, options.batch, "sgd", options.batch)
        print(growth(*options.only, task, options.threads))
        return 0
    print("| training step | setting | peak MB |\n| --- | --- | --- |")
    megabytes: dict[str, list[float]] = {}
    for library, setting in SETTINGS:
        if not available(library):
            print(f"| {options.network} batch {options.batch} | {library} {setting} | not installed |")
            continue
        command = [sys.executable, __file__, *arguments, "--only", library, setting]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        megabytes.setdefault(library, []).append(1e-6 * int(result.stdout))
        name = f"{options.network} batch {options.batch}"
        print(f"| {name} | {library} {setting} | {megabytes[library][-1]:.0f} |", flush=True)
    peers = [each for library, of in megabytes.items() if library != "fastcnn" for each in of]
    return 1 if options.check and peers and min(megabytes["fastcnn"]) > min(peers) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

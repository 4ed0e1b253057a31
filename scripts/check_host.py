# SPDX-License-Identifier: Apache-2.0
"""Says what a machine lacks to build fastcnn from source, and the command that installs it.

Called by the Makefile. Plain syntax on purpose: an old interpreter must get as far as the message.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig


def missing() -> list[str]:
    """The reasons why the build would fail, each with its cure."""
    if sys.version_info < (3, 10):
        version = ".".join(str(part) for part in sys.version_info[:2])
        return [
            f"Python 3.10 or later is needed, {sys.executable} is {version}: make PYTHON=/path/to/python3 ..."
        ]
    found = []
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        found.append("Python's venv module is missing: apt-get install python3-venv")
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        found.append(
            "Python's C headers are missing: apt-get install python3-dev (or dnf install python3-devel)"
        )
    compiler = os.environ.get("CXX", "c++").split()[0]
    if not shutil.which(compiler):
        found.append(f"no C++17 compiler ({compiler}): apt-get install g++ (or dnf install gcc-c++)")
    return found


if __name__ == "__main__":
    reasons = missing()
    for reason in reasons:
        sys.stderr.write(f"fastcnn: {reason}\n")
    sys.exit(1 if reasons else 0)

# SPDX-License-Identifier: Apache-2.0
"""Says what a machine lacks to build fastcnn from source, and the command that installs it. Called by the Makefile.

Plain syntax on purpose: an old interpreter must get as far as the message.
"""

import os
import shutil
import sys
import sysconfig


def missing():
    """The reasons why the build would fail, each with its cure."""
    if sys.version_info < (3, 10):
        return [
            "Python 3.10 or later is needed, %s is %d.%d: make PYTHON=/path/to/newer/python3 ..."
            % ((sys.executable,) + tuple(sys.version_info[:2]))
        ]
    found = []
    try:
        import ensurepip
        import venv

        del ensurepip, venv
    except ImportError:
        found.append("Python's venv module is missing: apt-get install python3-venv")
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        found.append("Python's C headers are missing: apt-get install python3-dev, or dnf install python3-devel")
    compiler = os.environ.get("CXX", "c++").split()[0]
    if shutil.which(compiler) is None and (os.environ.get("CXX") or shutil.which("g++") is None):
        found.append("a C++17 compiler is missing (%s): apt-get install g++, or dnf install gcc-c++" % compiler)
    return found


if __name__ == "__main__":
    reasons = missing()
    for reason in reasons:
        sys.stderr.write("fastcnn: %s\n" % reason)
    sys.exit(1 if reasons else 0)

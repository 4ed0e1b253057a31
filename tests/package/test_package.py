# SPDX-License-Identifier: Apache-2.0
"""What an installation costs and carries: size, import time, version, type information."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zlib
from pathlib import Path

import fastcnn

PACKAGE = Path(fastcnn.__file__).parent
# Installed, and compressed as in a wheel: kernels for three instruction sets are most of it.
MAX_BYTES, MAX_WHEEL_BYTES = 6_000_000, 2_500_000
# Of the time that importing numpy takes, which a slow or busy machine stretches as much.
MAX_IMPORT = 0.6


def python(code: str) -> str:
    """Output of `code` in a fresh interpreter, errors and warnings included."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def test_the_package_without_its_data_is_small() -> None:
    installed = [Path(fastcnn._native.__file__), *PACKAGE.rglob("*")]
    files = {path.resolve() for path in installed if path.is_file() and path.suffix not in {".gz", ".pyc"}}
    sizes = {str(path): path.stat().st_size for path in files}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) < MAX_BYTES, largest
    assert sum(len(zlib.compress(path.read_bytes())) for path in files) < MAX_WHEEL_BYTES, largest


def test_import_prints_nothing() -> None:
    assert python("import fastcnn") == ""


def test_import_loads_no_optional_package() -> None:
    code = "import sys, fastcnn; print([n for n in ('matplotlib', 'torch', 'cupy') if n in sys.modules])"
    assert python(code) == "[]\n"


def test_import_is_quick() -> None:
    code = "import time; a = time.perf_counter(); import numpy; b = time.perf_counter(); import fastcnn; "
    code += "print(b - a, time.perf_counter() - b)"
    # The least of several is what the work costs.
    seconds = [tuple(map(float, python(code).split())) for _ in range(9)]
    theirs, ours = (min(column) for column in zip(*seconds, strict=True))
    assert ours < MAX_IMPORT * theirs


def test_the_version_is_the_metadata_s() -> None:
    assert fastcnn.__version__ == importlib.metadata.version("fastcnn")


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_native.pyi").is_file()


def test_the_command_is_installed() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="fastcnn")
    assert [script.value for script in scripts] == ["fastcnn.cli:main"]

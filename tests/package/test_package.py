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
MAX_IMPORT_SECONDS = 0.040


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
    # numpy comes first, so that only what fastcnn adds is timed; the least of several is what the work costs.
    code = "import time, numpy; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
    beyond = min(float(python(code.format("import fastcnn"))) for _ in range(7))
    assert beyond < MAX_IMPORT_SECONDS


def test_the_version_is_the_metadata_s() -> None:
    assert fastcnn.__version__ == importlib.metadata.version("fastcnn")


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_native.pyi").is_file()


def test_the_command_is_installed() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="fastcnn")
    assert [script.value for script in scripts] == ["fastcnn.cli:main"]

# SPDX-License-Identifier: Apache-2.0
"""The checks of scripts/ pass on this tree, and each fails on the fault it is there to find."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: object) -> tuple[int, str]:
    """Exit status and output of scripts/<name>."""
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def plant(path: Path, line: str) -> None:
    """Append a line to a file of a copied tree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")


def test_includes_follow_the_layering() -> None:
    assert run_script("check_includes.py", ROOT / "csrc") == (0, "")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("base/shape.h", '#include "../backend.h"'),
        ("backend.h", '#include "cpu/cpu.h"'),
        ("cpu/dispatch.cpp", '#include "../plan/plan.h"'),
        ("cpu/dispatch.cpp", '#include "../cuda/rows.h"'),
        ("cuda/gemm.cu", '#include "../cpu/cpu.h"'),
        ("plan/plan.cpp", '#include "../cuda/rows.h"'),
        ("cpu/dispatch.cpp", '#include "kernels/vec.h"'),
        ("cpu/kernels/elementwise.cpp", "#include <vector>"),
        ("cpu/kernels/elementwise.cpp", "#include <immintrin.h>"),
        ("cpu/kernels/elementwise.cpp", '#include "../../base/status.h"'),
        ("plan/plan.cpp", '#include "cpu/kernels.h"'),
        ("plan/plan.cpp", "#include <pybind11/pybind11.h>"),
        ("plan/plan.cpp", "#include <Python.h>"),
        ("plan/plan.cpp", '#  include  "../python/array.h"'),
        ("cpu/dispatch.cpp", "#pragma omp parallel for"),
        ("python/module.cpp", "#include <omp.h>"),
        ("elsewhere/file.cpp", "#include <vector>"),
    ],
)
def test_an_include_across_layers_is_found(tmp_path: Path, file: str, line: str) -> None:
    csrc = tmp_path / "csrc"
    shutil.copytree(ROOT / "csrc", csrc)
    plant(csrc / file, line)
    status, output = run_script("check_includes.py", csrc)
    assert status == 1
    assert [line.split(":")[0] for line in output.splitlines()] == [file]


def newest_build() -> Path:
    """The build directory the installed package came from, as `make` and `pip install .` leave it.

    The emulated build lies deeper.
    """
    trees = sorted(ROOT.glob("build/*/CMakeCache.txt"), key=lambda path: path.stat().st_mtime)
    assert trees, "no build tree: run `make test`, which builds the package in build/"
    return trees[-1].parent


def compile_kernel(folder: Path, isa: str, body: str) -> Path:
    """A build tree of one object, compiled from `body` as CMake would compile a kernel source."""
    objects = folder / f"fastcnn_isa_{isa}.dir"
    objects.mkdir()
    source = folder / "pool2d.cpp"
    source.write_text(
        f"namespace fastcnn {{ namespace cpu {{ namespace {isa} {{\n"
        "struct Table { float (*f)(float); }; extern const Table pool2d_kernels;\n"
        f"{body}\n}}}}}}\n"
    )
    compiler = os.environ.get("CXX", "c++")
    target = objects / "pool2d.cpp.o"
    subprocess.run([compiler, "-std=c++17", "-O0", "-fPIC", "-c", str(source), "-o", str(target)], check=True)
    return folder


CLEAN = "static float f(float x) { return x; } const Table pool2d_kernels = {f};"
LEAKS = {
    "weak symbol": "struct S { float g(float x) { return x; } };"
    "static float f(float x) { return S().g(x); } const Table pool2d_kernels = {f};",
    "exports": "float g(float x) { return x; } const Table pool2d_kernels = {g};",
    "static constructor": "float g(); static float f(float x) { return x; } static float state = g();"
    "const Table pool2d_kernels = {f};",
}


def test_isa_objects_share_nothing() -> None:
    assert run_script("check_isa_objects.py", newest_build()) == (0, "")


def test_a_clean_object_passes(tmp_path: Path) -> None:
    assert run_script("check_isa_objects.py", compile_kernel(tmp_path, "avx2", CLEAN)) == (0, "")


@pytest.mark.parametrize("fault", LEAKS)
def test_a_leaking_object_is_found(tmp_path: Path, fault: str) -> None:
    status, output = run_script("check_isa_objects.py", compile_kernel(tmp_path, "avx2", LEAKS[fault]))
    assert status == 1
    assert fault in output


def test_an_empty_build_is_not_a_pass(tmp_path: Path) -> None:
    assert run_script("check_isa_objects.py", tmp_path)[0] == 1


@pytest.mark.full
def test_isa_objects_share_nothing_without_optimisation(tmp_path: Path) -> None:
    # At -O0 nothing is inlined away, so every leaked symbol shows.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    configure = [
        "cmake",
        "-S",
        str(ROOT),
        "-B",
        str(tmp_path),
        "-DFASTCNN_KERNELS_ONLY=ON",
        "-DCMAKE_BUILD_TYPE=Debug",
    ]
    for command in (configure, ["cmake", "--build", str(tmp_path), "--parallel", "2"]):
        subprocess.run(command, check=True, capture_output=True, env=environment)
    assert run_script("check_isa_objects.py", tmp_path) == (0, "")


LOOP = """
0000000000000000 <fastcnn::cpu::avx512::kernel()>:
   0:\tvmovups %zmm0,0x40(%rsp)
   8:\tvbroadcastss (%rdi),%zmm31
   e:\tvfmadd231ps (%rsi),%zmm31,%zmm0
  14:\tvfmadd231ps 0x40(%rsi),%zmm31,%zmm1
  1a:\tvfmadd231ps {operand},%zmm31,%zmm2
  22:\tvfmadd231ps 0xc0(%rsi),%zmm31,%zmm3
  28:\tadd    0x18(%rsp),%rsi
  2c:\tjne    8 <fastcnn::cpu::avx512::kernel()+0x8>
  2e:\tjne    0 <fastcnn::cpu::avx512::kernel()>
  30:\tret
"""


@pytest.mark.full  # a matter of the compiler's version too, so no reason to stop someone who only installs
def test_hot_loops_stay_in_registers() -> None:
    status, output = run_script("check_spills.py", newest_build())
    assert status == 0, output


@pytest.mark.parametrize(
    ("operand", "spills"),
    [("0x80(%rsi)", 0), ("0x80(%rsp)", 1), ("(%rsp,%rax,1)", 1), ("-0x80(%rbp)", 1), ("0x80(%rbp)", 0)],
)
def test_a_spill_is_found(monkeypatch: pytest.MonkeyPatch, operand: str, spills: int) -> None:
    # What precedes the innermost loop may use the stack.
    monkeypatch.syspath_prepend(ROOT / "scripts")
    check_spills = importlib.import_module("check_spills")
    hot, accesses = check_spills.stack_accesses(LOOP.format(operand=operand))
    assert hot == 1
    assert sum(accesses.values()) == spills


def test_sources_open_with_the_licence_and_are_not_too_long() -> None:
    status, output = run_script("check_sources.py", ROOT)
    assert status == 0, output


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("int x;\n", "line 1"),
        ("\n\n// SPDX-License-Identifier: Apache-2.0\n", "line 1"),
        ("// SPDX-License-Identifier: Apache-2.0\n" * 601, "the limit is"),
    ],
)
def test_a_faulty_source_is_found(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "csrc" / "file.cpp"
    path.parent.mkdir()
    path.write_text(text)
    status, output = run_script("check_sources.py", tmp_path)
    assert status == 1
    assert fault in output

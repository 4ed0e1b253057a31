#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compiles csrc/cpu/kernels with compilers other than the one that builds the package, and checks the objects: Clang, and
# GCC for aarch64 (the only check of NEON on an x86-64 machine). Skips aloud a compiler that is not there;
# Debian has them as clang and g++-aarch64-linux-gnu.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check <compiler> [cmake argument ...]
check() {
  local compiler=$1 build="$scratch/$1"
  shift
  if ! command -v "$compiler" >/dev/null; then
    echo "$compiler: skipped, not on this machine"
    return
  fi
  {
    cmake -S . -B "$build" -DFASTCNN_KERNELS_ONLY=ON -DCMAKE_CXX_COMPILER="$compiler" "$@" &&
      cmake --build "$build" --parallel 2
  } >"$scratch/log" 2>&1 || { cat "$scratch/log"; return 1; }
  python3 scripts/check_isa_objects.py "$build"
  echo "$compiler: ok, $(grep -c 'warning:' "$scratch/log" || true) warnings"
}

check clang++
check aarch64-linux-gnu-g++ -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# All that awaits a GPU, for a machine that is there for minutes: build, look at the object, run the tests, the
# sanitizer and the benchmarks, each within its seconds. What fails or takes too long keeps back nothing that comes
# after it; each part has a log of its own, and the last lines say how the parts ended.
#
#   scripts/check_gpu.sh OUT [PART[=SECONDS]...]     OUT: a folder for the logs; without parts all of them
#
# PYTHON (python3): an interpreter that has NumPy, CuPy, pytest and pybind11, and PyTorch where it is to be compared
# with; SITE: a folder with fastcnn in it, for a build of one's own; ARCHITECTURE (90a-real): what is built for.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
[ $# -ge 1 ] || { sed -n '4,12s/^# \{0,1\}//p' "$0"; exit 2; }
out=$(mkdir -p "$1" && cd "$1" && pwd)
shift
python=${PYTHON:-python3}
build=$PWD/build/nvidia/gpu
export PYTHONPATH=${SITE:-$build/site} PYTHONUNBUFFERED=1 FASTCNN_TEST_DEVICE=cuda PYTHONWARNINGS=default

build() {
  cmake -S . -B "$build" -DFASTCNN_CUDA=ON -DFASTCNN_CUDA_ARCHITECTURES="${ARCHITECTURE:-90a-real}" \
    -DPython_EXECUTABLE="$(command -v "$python")" && cmake --build "$build" -j"$(nproc)"
}
sass() { "$python" scripts/check_sass.py "$PYTHONPATH/fastcnn/_cuda.so"; }
# By many processes where pytest-xdist is, for which one that ends is no end of the others. What CuPy warns of is its own.
pytest() {
  local many=()
  ! "$python" -c 'import xdist' 2>/dev/null || many=(-n "$(nproc)" --max-worker-restart=30)
  "$python" -m pytest -p no:cacheprovider -o filterwarnings=default -q --maxfail=30 --durations=5 "${many[@]}" "$@"
}
steps() { pytest tests/cuda; }
kernels() {
  local on_gpu
  on_gpu=$(sed -n '/^ON_GPU := /,/[^\\]$/{s/^ON_GPU := //;s/\\$//;p}' Makefile | tr -s '\n ' ' ')
  pytest tests/kernels tests/plan/test_mixed.py tests/plan/test_narrow*.py -k "$on_gpu"
}
sanitizer() {
  local tool failed=0
  for tool in memcheck racecheck synccheck initcheck; do
    printf '\n--- %s\n' "$tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$python" -m pytest -p no:cacheprovider -q -x \
      tests/cuda/test_pooled.py tests/cuda/test_tensor.py tests/cuda/test_maps.py tests/cuda/test_statistics.py \
      tests/cuda/test_training.py -k 'gradients or every_run or same_bits' || failed=1
  done
  return $failed
}
# What the graph gains over single kernels, and its branches over one line.
graphs() {
  local graph branches
  for graph in 0 1; do
    for branches in 0 1; do
      [ $graph = 1 ] || [ $branches = 0 ] || continue
      printf '\n--- FASTCNN_CUDA_GRAPHS=%s FASTCNN_CUDA_BRANCHES=%s\n' $graph $branches
      FASTCNN_CUDA_GRAPHS=$graph FASTCNN_CUDA_BRANCHES=$branches "$python" benchmarks/train.py --device cuda \
        --no-peers --rounds 5 --filter 'lenet5|mnist_cnn|resnet20' || return 1
    done
  done
}
against() {
  local peers=--no-peers
  ! "$python" -c 'import torch' 2>/dev/null || peers=
  "$python" "benchmarks/$1.py" --device cuda $peers --eager --rounds 3 --json "$out/$1.json"
}
train() { against train; }
layers() { against layers; }
gemm() { against gemm; }
pool() { against pool; }
devices() { "$python" benchmarks/compare_devices.py --rounds 3 --threads "$(nproc)" --json "$out/devices.json"; }

parts=("$@")
[ $# -gt 0 ] || parts=(
  build=240 sass=30 steps=90 kernels=120 sanitizer=120 graphs=60 train=90 layers=120 gemm=40 pool=40 devices=120)
summary=()
for part in "${parts[@]}"; do
  name=${part%%=*} seconds=600 start=$SECONDS rc=0
  [ "$name" = "$part" ] || seconds=${part#*=}
  case $name in
    build | sass | steps | kernels | sanitizer | graphs | train | layers | gemm | pool | devices) ;;
    *) summary+=("$name: no such part"); continue ;;
  esac
  printf '\n=== %s\n' "$name"
  # In a shell of its own, so that all that it started ends with it.
  export -f build sass pytest steps kernels sanitizer graphs against train layers gemm pool devices
  export python build out
  timeout -k 5 "$seconds" bash -uo pipefail -c "$name" >"$out/$name.log" 2>&1 || rc=$?
  tail -n 12 "$out/$name.log"
  [ $rc != 124 ] || rc="out of its $seconds s"
  summary+=("$name: $rc, $((SECONDS - start)) s")
done
printf '\n=== how the parts ended (0: well)\n'
printf '%s\n' "${summary[@]}" | tee "$out/summary.txt"
! printf '%s\n' "${summary[@]}" | grep -qv ': 0, '

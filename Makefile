# SPDX-License-Identifier: Apache-2.0
#
# make train    install into .venv and train the default network on MNIST
# make test     the quick tests          make test-full   the rest, but for the peers
# make test-avx512    the kernels of AVX-512 and AVX512-BF16, their instructions emulated, on a processor with AVX2
# make test-cuda      the GPU kernels on an emulated GPU      make test-gpu    the same on this machine's
# make check-gpu      all that awaits a GPU, in minutes
# make bench    the benchmarks against their peers, in a second virtual environment
# make dev      from now on .venv holds an editable, incrementally built install
# make fmt      format in place          make lint        what CI checks without running a test
#
# Variables: PYTHON (the interpreter that makes .venv), VENV, ARGS (passed on to fastcnn train, pytest or the benchmark).
PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where pip builds: its objects are linked to emulated kernels as well.
BUILD := build/package

BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt \
    $(shell find cmake csrc python -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null)
CXX_FILES = $(shell find csrc tests/emulation tests/cuda -name '*.cpp' -o -name '*.h' -o -name '*.cu')
# Arrays that overlap are apart once they are on a GPU, where tests/cuda asks; a GPU has no kernels of Winograd's, and
# test_bfloat16.py is of the CPU's.
ON_GPU := not lenet and not overlap_is_refused and not the_cases_are_winograds and not test_bfloat16.py \
    or test_arrays or test_training or test_faults or test_pooled or test_gpu_plans
# In emulation, besides, no shapes of minutes (each has smaller ones beside it), and no tests of the number of the host's
# threads, which is nothing to a GPU, on pictures as large. What is left takes two minutes.
LARGE := n5s6 n1h290 n2h90 20000x3
EMULATED = not any_number_of_threads $(LARGE:%=and not %) and ($(ON_GPU))
# Of every family of matrix kernels: 7.5, 8.0, 9.0.
EACH_FAMILY := tests/cuda/test_storage.py tests/cuda/test_statistics.py tests/cuda/test_residual.py tests/plan/test_narrow*.py
BENCHMARKS := layers gemm pool train infer operators

.PHONY: train test test-full test-differential test-avx512 test-cuda test-gpu check-gpu bench dev fmt lint wheel clean

train: $(VENV)/.installed
	$(BIN)/fastcnn train $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

test-full: $(VENV)/.test
	$(BIN)/python -m pytest -m full $(ARGS)

test-differential: $(PEERS)/.installed
	$(PEERS)/bin/python -m pytest -m differential tests/differential $(ARGS)

test-avx512: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build $(BUILD) --target emulated_avx512
	FASTCNN_ISA=avx512_bf16 PYTHONPATH=$(BUILD)/emulated/avx512/site $(BIN)/python -m pytest -p no:cacheprovider \
	    -k "not lenet" tests/kernels tests/plan/test_precision.py tests/operators/test_views.py tests/operators/test_guard_pages.py tests/operators/test_threads.py $(ARGS)
	FASTCNN_ISA=amx_bf16 PYTHONPATH=$(BUILD)/emulated/avx512/site $(BIN)/python -m pytest -p no:cacheprovider \
	    tests/kernels/test_bfloat16.py tests/plan/test_precision.py $(ARGS)

test-cuda: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B build/emulated/cuda -G Ninja -DFASTCNN_EMULATE_CUDA=ON \
	    -DFASTCNN_ONLY=baseline -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" >/dev/null
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/emulated/cuda --target _cuda
	ln -sf "$$($(BIN)/python -c 'from fastcnn import _native; print(_native.__file__)')" build/emulated/cuda/site/fastcnn
	FASTCNN_TEST_DEVICE=cuda PYTHONPATH=build/emulated/cuda/site:tests/emulation/site \
	    $(BIN)/python -m pytest -p no:cacheprovider tests/kernels tests/cuda \
	    tests/plan/test_gpu_plans.py tests/plan/test_mixed.py tests/plan/test_narrow*.py \
	    --ignore=tests/kernels/test_winograd.py -k "$(EMULATED)" $(ARGS)
	FASTCNN_EMULATED_SM=80 FASTCNN_TEST_DEVICE=cuda PYTHONPATH=build/emulated/cuda/site:tests/emulation/site \
	    $(BIN)/python -m pytest -p no:cacheprovider tests/cuda/test_tensor.py $(EACH_FAMILY) $(ARGS)
	FASTCNN_EMULATED_SM=90 FASTCNN_TEST_DEVICE=cuda PYTHONPATH=build/emulated/cuda/site:tests/emulation/site \
	    $(BIN)/python -m pytest -p no:cacheprovider tests/cuda/test_maps.py $(EACH_FAMILY) $(ARGS)

test-gpu: $(VENV)/.test
	FASTCNN_TEST_DEVICE=cuda $(BIN)/python -m pytest tests/kernels tests/cuda tests/plan/test_mixed.py tests/plan/test_narrow*.py \
	    -k "$(ON_GPU)" $(ARGS)

check-gpu: $(VENV)/.test
	PYTHON="$(CURDIR)/$(BIN)/python" scripts/check_gpu.sh build/gpu $(ARGS)

bench: $(PEERS)/.installed
	@set -e; for name in $(BENCHMARKS); do $(PEERS)/bin/python benchmarks/$$name.py $(ARGS); done

fmt: $(VENV)/.lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CXX_FILES)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest --allowlist scripts/stubtest.allowlist fastcnn._native
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

dev: $(VENV)/.pip
	touch $(VENV)/.editable
	rm -f $(VENV)/.installed
	$(MAKE) $(VENV)/.installed

clean:
	rm -rf build dist runs $(VENV) $(PEERS)

# --- virtual environments -------------------------------------------------------------------------------------------
# Each stamp is a file in the environment, so nothing is installed twice; deleting the environment forgets them all.

%/.pip: scripts/check_host.py
	@$(PYTHON) scripts/check_host.py
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.build: pyproject.toml $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --group build
	@touch $@

# One wheel for both environments: what is tested is what is installed.
wheel: build/.wheel

build/.wheel: $(VENV)/.build $(SOURCES)
	@rm -rf build/dist
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps -C build-dir=$(BUILD) \
	    --wheel-dir build/dist .
	@touch $@

$(VENV)/.installed: $(if $(wildcard $(VENV)/.editable),$(VENV)/.build $(SOURCES),build/.wheel)
	@$(BIN)/python -m pip uninstall --quiet --yes fastcnn 2>/dev/null
ifneq ($(wildcard $(VENV)/.editable),)
	$(BIN)/python -m pip install --quiet --no-build-isolation -C build-dir=$(BUILD) --editable ".[plot]"
else
	$(BIN)/python -m pip install --quiet "$$(ls build/dist/*.whl)[plot]"
endif
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group test
	@touch $@

$(VENV)/.lint: pyproject.toml | $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

$(PEERS)/.installed: build/.wheel $(PEERS)/.pip
	@$(PEERS)/bin/python -m pip uninstall --quiet --yes fastcnn 2>/dev/null
	$(PEERS)/bin/python -m pip install --quiet --group peers --group test "$$(ls build/dist/*.whl)"
	-$(PEERS)/bin/python -m pip install --quiet --group peers-inference
	@touch $@

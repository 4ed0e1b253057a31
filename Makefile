# SPDX-License-Identifier: Apache-2.0
#
# make train    install into .venv and train the default network on MNIST
# make test     the quick tests          make test-full   the rest, but for the peers
# make test-avx512    the AVX-512 kernels, their instructions emulated, on a processor with AVX2 alone
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

BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt \
    $(shell find cmake csrc python -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null)
CXX_FILES = $(shell find csrc -name '*.cpp' -o -name '*.h')
BENCHMARKS := layers gemm pool train infer operators

.PHONY: train test test-full test-differential test-avx512 bench dev fmt lint wheel clean

train: $(VENV)/.installed
	$(BIN)/fastcnn train $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

test-full: $(VENV)/.test
	$(BIN)/python -m pytest -m full $(ARGS)

test-differential: $(PEERS)/.installed
	$(PEERS)/bin/python -m pytest -m differential tests/differential $(ARGS)

test-avx512: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B build/emulated/avx512 -G Ninja -DFASTCNN_EMULATE_AVX512=ON \
	    -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" >/dev/null
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/emulated/avx512
	FASTCNN_ISA=avx512 PYTHONPATH=build/emulated/avx512/site $(BIN)/python -m pytest -p no:cacheprovider -k "not lenet" \
	    tests/kernels tests/test_views.py tests/test_guard_pages.py tests/test_threads.py $(ARGS)

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
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/dist .
	@touch $@

$(VENV)/.installed: $(if $(wildcard $(VENV)/.editable),$(VENV)/.build $(SOURCES),build/.wheel)
	@$(BIN)/python -m pip uninstall --quiet --yes fastcnn 2>/dev/null
ifneq ($(wildcard $(VENV)/.editable),)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[plot]"
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

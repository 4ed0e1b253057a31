# SPDX-License-Identifier: Apache-2.0
"""What happens when a GPU has no room, or fails: an error that says so, and a CPU that goes on.

Each failure is one of the emulated GPU, in a process of its own: what has failed stays so.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from networks import BATCH_BYTES, cupy, data, is_emulated, lenet, nobody_touches_the_memory

import fastcnn
from fastcnn import ops
from fastcnn.testing.compare import assert_same_bits

__all__ = ["nobody_touches_the_memory"]


def room_for(size: int) -> None:
    """So much besides what is in use."""
    gc.collect()  # models that tests before this one have left
    free, total = cupy.cuda.runtime.memGetInfo()
    cupy.emulated.room(total - free + size)


needs_emulation = pytest.mark.skipif(not is_emulated(), reason="a GPU does not fail when it is told to")


class MadeUp:
    def __init__(self, address: int, shape: tuple[int, ...] = (4,)) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": "<f4",
            "data": (address, False),
            "version": 3,
        }


def test_an_address_that_is_made_up_is_refused() -> None:
    host = np.ones(4, np.float32)
    for address in (0xDEAD000, host.ctypes.data):
        with pytest.raises(
            fastcnn.ArgumentError, match=r"relu: x: address 0x[0-9a-f]+ is in no GPU's memory"
        ):
            getattr(ops.relu, "__wrapped__", ops.relu)(MadeUp(address))


def test_an_array_beyond_its_memory_is_refused() -> None:
    real = cupy.empty((4,), np.float32)
    with pytest.raises(fastcnn.ArgumentError, match="no GPU's memory"):
        getattr(ops.relu, "__wrapped__", ops.relu)(MadeUp(real.data.ptr, (1 << 40,)))


@needs_emulation
def test_no_room_for_the_model_is_told_and_the_cpu_goes_on() -> None:
    model = lenet()
    model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
    weights, (x, y) = model.get_weights(), data(8)
    cupy.emulated.room(100)
    try:
        with pytest.raises(
            fastcnn.OutOfMemoryError,
            match=r"compile: .* needs \d+ bytes of the GPU's memory, where \d+ of 100 are free",
        ):
            model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
    finally:
        cupy.emulated.room(None)
    for got, wanted in zip(model.get_weights(), weights, strict=True):
        assert_same_bits(got, wanted, "weights")
    model.fit(x, y, 4, verbose=0)
    model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
    model.fit(x, y, 4, verbose=0)


@needs_emulation
def test_no_room_for_a_batch_changes_nothing() -> None:
    model = lenet()
    model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
    weights, (x, y) = model.get_weights(), data(64)
    room_for(4000)
    try:
        with pytest.raises(fastcnn.OutOfMemoryError, match="the memory of a batch of 64 needs"):
            model.fit(x, y, 64, verbose=0)
    finally:
        cupy.emulated.room(None)
    for got, wanted in zip(model.get_weights(), weights, strict=True):
        assert_same_bits(got, wanted, "weights")
    model.fit(x, y, 64, verbose=0)


@needs_emulation
def test_data_that_does_not_fit_is_brought_batch_by_batch() -> None:
    x, y = data(400)
    weights = []
    for room in (None, BATCH_BYTES):
        model = lenet()
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], device="cuda")
        model.train_on_batch(x[:8], y[:8])
        model.test_on_batch(x[:8], y[:8])
        if room is not None:
            room_for(room)
        try:
            before = cupy.emulated.counts()["ahead"]
            history = model.fit(x, y, 8, 2, verbose=0).history
            assert (cupy.emulated.counts()["ahead"] > before) == (room is not None)
        finally:
            cupy.emulated.room(None)
        weights.append([*model.get_weights(), np.array(history["loss"], np.float32)])
    for got, wanted in zip(*weights, strict=True):
        assert_same_bits(got, wanted, "weights")


FAILS = """
import numpy as np
import cupy, fastcnn
from networks import data, lenet
x, y = data(40)
model = lenet()
model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
model.fit(x, y, 4, verbose=0)
model.save({path!r})
cupy.emulated.fail({after}, 700)
def refused(call):
    try:
        call()
    except fastcnn.DeviceLostError as error:
        assert "an illegal memory access" in str(error) and "the CPU goes on" in str(error), error
    else:
        raise AssertionError("nothing was raised")
refused(lambda: model.fit(x, y, 4, verbose=0))
refused(lambda: model.predict(x, verbose=0))
refused(model.get_weights)
refused(lambda: lenet().compile("sgd", "mse", device="cuda"))
saved = fastcnn.load_model({path!r})
saved.compile("sgd", "sparse_categorical_crossentropy", device="auto")
saved.fit(x, y, 4, verbose=0)
print("went on")
"""


@needs_emulation
@pytest.mark.parametrize("after", [0, 7, 60])
def test_a_failure_stays_and_the_cpu_goes_on(after: int, tmp_path: Any) -> None:
    program = FAILS.format(path=str(tmp_path / "saved.safetensors"), after=after)
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.path.dirname(__file__),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert run.stdout.strip() == "went on", run.stderr


def test_labels_are_checked_before_anything_runs() -> None:
    model = lenet()
    model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
    x, y = data(8)
    weights = model.get_weights()
    with pytest.raises(fastcnn.ArgumentError, match="label 4 at index 5"):
        model.fit(x, np.where(np.arange(8) == 5, 4, y), 4, verbose=0)
    for got, wanted in zip(model.get_weights(), weights, strict=True):
        assert_same_bits(got, wanted, "weights")

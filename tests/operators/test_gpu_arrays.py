# SPDX-License-Identifier: Apache-2.0
"""What happens to GPU arrays where no GPU can be used: an error that says what is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastcnn
from fastcnn import _device, ops


class OnGpu:
    """An array that says that it lies in a GPU's memory."""

    def __init__(self) -> None:
        self.__cuda_array_interface__ = {"shape": (1,), "typestr": "<f4", "data": (4096, False), "version": 3}


class ByDlpack:
    """The same by DLPack's protocol."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.mark.parametrize("array", [OnGpu(), ByDlpack()])
def test_a_build_without_kernels_says_so(array: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_device, "_FOLDER", _device._FOLDER / "nowhere")
    with pytest.raises(fastcnn.DeviceError, match="this build of fastcnn has no GPU kernels"):
        ops.relu(array)


def test_without_cupy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(fastcnn.DeviceError, match=r"install fastcnn\[cuda13\]"):
        _device.as_cupy(OnGpu(), "relu: x")


def test_the_cpu_goes_on() -> None:
    assert ops.relu(np.array([-1, 2], np.float32)).tolist() == [0, 2]


def test_import_asks_for_no_gpu() -> None:
    program = (
        "import sys, fastcnn, fastcnn.ops; print('cupy' in sys.modules, 'fastcnn._device' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False False"

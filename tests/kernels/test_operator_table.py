# SPDX-License-Identifier: Apache-2.0
"""Nothing enters the operator table without a reference, gradients, cases and a test file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastcnn import _native, ops
from fastcnn.testing import cases, reference
from fastcnn.testing.nodes import NODES

OPERATORS = {row["name"]: row for row in _native.operators()}


def test_the_table_is_what_is_proven() -> None:
    assert set(OPERATORS) == set(reference.OPERATORS) == set(cases.OPERATORS)


def test_networks_know_every_operator_but_the_random_ones() -> None:
    drawn = {"dropout", "spatial_dropout", "gaussian_noise", "gaussian_dropout", "alpha_dropout"}
    drawn |= {"affine", "adjust", "erase", "mix"}
    assert set(NODES) == set(OPERATORS) - drawn


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_is_covered(name: str) -> None:
    assert callable(reference.OPERATORS[name].forward)
    assert reference.OPERATORS[name].gradients
    assert cases.OPERATORS[name]
    step = str(OPERATORS[name]["forward"])
    file = {
        "activation_fwd": "activations",
        "log_softmax_fwd": "softmax",
        "spatial_dropout": "noise",
        "gaussian": "noise",
        "alpha_dropout": "noise",
    }.get(step, name)
    assert (Path(__file__).parent / f"test_{file}.py").is_file()


@pytest.mark.parametrize("name", ops.__all__)
def test_every_function_of_ops_is_covered(name: str) -> None:
    assert callable(getattr(reference, name))
    assert getattr(ops, name).__doc__


@pytest.mark.parametrize("step", sorted({row["step"] for row in _native.kernels()}))
def test_kernel_rows_have_names(step: str) -> None:
    names = [row["name"] for row in _native.kernels() if row["step"] == step]
    assert all(names)
    assert len(set(names)) == len(names), f"two rows of {step} share a name: {names}"

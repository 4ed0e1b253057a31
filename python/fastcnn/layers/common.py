# SPDX-License-Identifier: Apache-2.0
"""The keyword arguments of all layers, for type checkers; `layers.Layer` says what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict


class Common(TypedDict, total=False):
    """The keyword arguments that every layer takes; those of weights only where there are such weights."""

    name: str | None
    input_shape: Sequence[int] | None
    input_dim: int | None
    trainable: bool
    dtype: str | None
    autocast: bool
    learning_rate_multiplier: float
    activity_regularizer: None
    kernel_regularizer: Any
    bias_regularizer: Any
    kernel_constraint: Any
    bias_constraint: Any
    depthwise_regularizer: Any
    depthwise_constraint: Any
    pointwise_regularizer: Any
    pointwise_constraint: Any
    beta_regularizer: Any
    gamma_regularizer: Any
    beta_constraint: Any
    gamma_constraint: Any
    alpha_regularizer: Any
    alpha_constraint: Any


class Idle(Common, total=False):
    """Those besides that some layers take for Keras's sake."""

    seed: int | None
    noise_shape: None

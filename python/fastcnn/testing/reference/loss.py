# SPDX-License-Identifier: Apache-2.0
"""Losses and their gradients with respect to the predictions.

A loss is a number per sample (last axis: classes or features), averaged over all samples. Cross-entropy from
probabilities is Keras's: normalise by the sum, clip to [1e-7, 1 - 1e-7], minus log.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.activation import softmax

Real = NDArray[np.float64]

EPSILON = 1e-7


def one_hot(labels: ArrayLike, classes: int) -> Real:
    """Row ``labels[i]`` of the identity; [...,classes]."""
    rows: Real = np.eye(classes)[np.asarray(labels)]
    return rows


def categorical_crossentropy(target: ArrayLike, prediction: ArrayLike, *, from_logits: bool = False) -> float:
    """``mean_i(-sum_c target[i,c] log p[i,c])``."""
    t, p = np.asarray(target, np.float64), np.asarray(prediction, np.float64)
    if from_logits:
        shifted = p - p.max(axis=-1, keepdims=True)
        log = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    else:
        log = np.log(np.clip(p / p.sum(axis=-1, keepdims=True), EPSILON, 1.0 - EPSILON))
    return float(-(t * log).sum(axis=-1).mean())


def categorical_crossentropy_bwd(
    target: ArrayLike, prediction: ArrayLike, *, from_logits: bool = False
) -> Real:
    """Gradient; where the clip of a probability acts, nothing passes."""
    t, p = np.asarray(target, np.float64), np.asarray(prediction, np.float64)
    samples = p.size // p.shape[-1]
    if from_logits:
        dx: Real = (softmax(p) * t.sum(axis=-1, keepdims=True) - t) / samples
        return dx
    total = p.sum(axis=-1, keepdims=True)
    q = p / total
    dq = np.where((q >= EPSILON) & (q <= 1.0 - EPSILON), -t / np.clip(q, EPSILON, 1.0), 0.0)
    dp: Real = (dq - (dq * q).sum(axis=-1, keepdims=True)) / total / samples
    return dp


def sparse_categorical_crossentropy(
    labels: ArrayLike, prediction: ArrayLike, *, from_logits: bool = False
) -> float:
    """`categorical_crossentropy` with the classes as whole numbers."""
    classes = np.shape(prediction)[-1]
    return categorical_crossentropy(one_hot(labels, classes), prediction, from_logits=from_logits)


def sparse_categorical_crossentropy_bwd(
    labels: ArrayLike, prediction: ArrayLike, *, from_logits: bool = False
) -> Real:
    """Gradient of `sparse_categorical_crossentropy`."""
    classes = np.shape(prediction)[-1]
    return categorical_crossentropy_bwd(one_hot(labels, classes), prediction, from_logits=from_logits)


def mean_squared_error(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean of the squared difference over the last axis, then over the samples."""
    difference = np.asarray(prediction, np.float64) - np.asarray(target, np.float64)
    return float((difference**2).mean(axis=-1).mean())


def mean_squared_error_bwd(target: ArrayLike, prediction: ArrayLike) -> Real:
    """``2 (prediction - target) / size``."""
    difference: Real = np.asarray(prediction, np.float64) - np.asarray(target, np.float64)
    return 2.0 * difference / difference.size

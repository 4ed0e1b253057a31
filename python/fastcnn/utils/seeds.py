# SPDX-License-Identifier: Apache-2.0
"""Seeds and names."""

from __future__ import annotations

import numpy as np

from fastcnn import _names, _random
from fastcnn._arguments import integer
from fastcnn.errors import ArgumentError


def set_random_seed(seed: int) -> None:
    """Make all that follows reproducible to the last bit: weights, order of samples, dropout.

    Models take their seed when they are made. As in Keras, Python's ``random`` and NumPy's global generator
    are seeded as well.

    Parameters
    ----------
    seed
        0 to 2^32 - 1.

    Raises
    ------
    ArgumentError, DTypeError
        ``seed`` is not such an integer.

    Examples
    --------
    >>> from fastcnn import Sequential, layers, utils
    >>> def first_weight():
    ...     utils.set_random_seed(1)
    ...     return Sequential([layers.Dense(1, input_shape=(1,))]).get_weights()[0].item()
    >>> first_weight() == first_weight()
    True
    """
    value = integer(seed, "set_random_seed: seed", least=0)
    if value >= 2**32:
        raise ArgumentError(f"set_random_seed: seed: {value} came, wanted less than 2^32")
    import random  # only now, as numpy.random below: both are slow imports

    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - the caller's own code may draw from it
    _random.set_seed(value)


def clear_session(free_memory: bool = True) -> None:
    """Count automatic names anew: the next `Conv2D` is ``conv2d`` again. Models that exist stay as they are.

    Parameters
    ----------
    free_memory
        Without effect: models free theirs.

    Examples
    --------
    >>> from fastcnn import layers, utils
    >>> utils.clear_session()
    >>> layers.Conv2D(8, 3).name
    'conv2d'
    """
    _names.reset()

# SPDX-License-Identifier: Apache-2.0
"""A random layer for every operator of the table, and what it computes in PyTorch's operators.

`DRAWS` makes them by operator, with arguments that Keras's layers take: all forms of padding, axes and
layouts. `WITHOUT` says why an operator has none.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from drawn_layer import Drawn
from layer_peers_moves import (
    adjust,
    affine,
    concatenate,
    flatten,
    identity,
    merge,
    move,
    rescaling,
    reshape,
)
from layer_peers_rows import activation, batch_norm, group_norm, prelu, row_norm, softmax
from layer_peers_windows import convolution, dense, pool, power_pool, separable, transposed, unpool
from test_torch_activation import TORCH as ACTIVATIONS
from test_torch_merge import DRAWS as MOVES

DRAWS: dict[str, Callable[[random.Random], Drawn]] = {
    **{op: partial(convolution, op) for op in ("conv1d", "conv2d", "conv3d")},
    **{op: partial(convolution, op) for op in ("depthwise_conv1d", "depthwise_conv2d")},
    **{f"conv{rank}d_transpose": partial(transposed, f"conv{rank}d_transpose") for rank in (1, 2, 3)},
    **{op: partial(separable, op) for op in ("separable_conv1d", "separable_conv2d")},
    "dense": dense,
    **{f"{kind}_pool2d": partial(pool, kind, (1, 2)) for kind in ("max", "average", "sum")},
    **{f"{kind}_pool3d": partial(pool, kind, (3,)) for kind in ("max", "average", "sum")},
    "lp_pool2d": power_pool,
    "max_unpool2d": unpool,
    **{name: partial(activation, name) for name in (*ACTIVATIONS, "gelu_tanh")},
    **{name: partial(softmax, name) for name in ("softmax", "log_softmax")},
    "prelu": prelu,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    **{name: partial(row_norm, name) for name in ("layer_norm", "rms_norm", "unit_norm")},
    "affine": affine,
    "adjust": adjust,
    **{name: partial(move, name) for name in MOVES if name != "concatenate"},
    "concatenate": concatenate,
    **{
        kind: partial(merge, kind)
        for kind in ("add", "subtract", "average", "multiply", "maximum", "minimum")
    },
    "rescaling": rescaling,
    "flatten": flatten,
    "reshape": reshape,
    "identity": identity,
}  # fmt: skip

_DRAWN = "what is drawn follows from fastcnn's own counters, and PyTorch's generator draws something else"
WITHOUT: dict[str, str] = {
    **dict.fromkeys(("dropout", "spatial_dropout", "gaussian_noise"), _DRAWN),
    **dict.fromkeys(("gaussian_dropout", "alpha_dropout"), _DRAWN),
    "erase": "where it paints follows from fastcnn's own counters",
    "mix": "which samples it mixes follows from fastcnn's own counters",
}

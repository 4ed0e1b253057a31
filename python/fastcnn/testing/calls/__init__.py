# SPDX-License-Identifier: Apache-2.0
"""Calls of ``fastcnn.ops`` as data: one list serves every test that compares a kernel with something.

With the reference, with itself on a view, with itself on another number of threads, with the edge of a page.
"""

from __future__ import annotations

from fastcnn.testing.calls import (
    activation,
    conv,
    conv_nd,
    gemm,
    loss,
    merge,
    norm,
    pool,
    prelu,
)
from fastcnn.testing.calls.activation import activation_calls, rows_calls, softmax_calls
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.calls.conv import conv_calls, winograd_calls
from fastcnn.testing.calls.conv_nd import conv_nd_calls
from fastcnn.testing.calls.gemm import gemm_call
from fastcnn.testing.calls.merge import (
    concatenate_calls,
    merge_calls,
    move_calls,
)
from fastcnn.testing.calls.norm import (
    channel_norm_calls,
    row_norm_calls,
)
from fastcnn.testing.calls.pool import (
    adaptive_calls,
    global_calls,
    index_calls,
    lp_calls,
    pool_calls,
    pool_nd_calls,
)
from fastcnn.testing.calls.prelu import prelu_calls

__all__ = [
    "SUITES",
    "Arrays",
    "Call",
    "Real",
    "Suite",
    "activation_calls",
    "adaptive_calls",
    "channel_norm_calls",
    "concatenate_calls",
    "conv_calls",
    "conv_nd_calls",
    "gemm_call",
    "global_calls",
    "index_calls",
    "lp_calls",
    "merge_calls",
    "move_calls",
    "pool_calls",
    "pool_nd_calls",
    "prelu_calls",
    "row_norm_calls",
    "rows_calls",
    "softmax_calls",
    "winograd_calls",
]

SUITES: tuple[Suite, ...] = (
    conv.SUITE,
    conv_nd.SUITE,
    pool.SUITE,
    gemm.SUITE,
    activation.SUITE,
    prelu.SUITE,
    loss.SUITE,
    merge.SUITE,
    norm.SUITE,
)

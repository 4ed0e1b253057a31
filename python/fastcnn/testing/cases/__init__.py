# SPDX-License-Identifier: Apache-2.0
"""Shapes that the tests and the benchmarks share: one list per operator.

The test lists hold what breaks kernels: channel counts on both sides of every tile width, ragged and tiny
images, strides, dilation, groups, uneven padding, kernels as large as the padded input. The suites hold the
layers of known networks, and are what a benchmark times.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastcnn.testing.case import (
    ConcatenateCase,
    ConvCase,
    ConvNdCase,
    GemmCase,
    MergeCase,
    MoveCase,
    NormCase,
    PoolCase,
    PreluCase,
    RowsCase,
)
from fastcnn.testing.case_pool import (
    AdaptivePoolCase,
    GlobalPoolCase,
    LpPoolCase,
    PoolNdCase,
)
from fastcnn.testing.cases.augment import ADJUST, AFFINE, ERASE, MIX, AugmentCase
from fastcnn.testing.cases.conv import (
    CHANNELS,
    CONV,
    CONV_FULL,
    CONV_PARALLEL,
    CONV_SUITE,
    WINOGRAD,
)
from fastcnn.testing.cases.conv_nd import (
    CONV_ND,
    CONV_ND_PARALLEL,
)
from fastcnn.testing.cases.gemm import (
    GEMM,
    GEMM_FULL,
    GEMM_PARALLEL,
    GEMM_SUITE,
)
from fastcnn.testing.cases.merge import (
    CONCATENATE,
    CROPPING,
    MERGE,
    MERGE_PARALLEL,
    MOVE_PARALLEL,
    PERMUTE,
    REPEAT_VECTOR,
    RESHAPE,
    UPSAMPLING,
    ZERO_PADDING,
)
from fastcnn.testing.cases.norm import (
    CHANNEL_NORM,
    CHANNEL_NORM_PARALLEL,
    ROW_NORM,
    ROW_NORM_PARALLEL,
)
from fastcnn.testing.cases.pool import (
    POOL,
    POOL_FULL,
    POOL_PARALLEL,
    POOL_SUITE,
)
from fastcnn.testing.cases.pool_other import (
    ADAPTIVE_POOL,
    ADAPTIVE_POOL_PARALLEL,
    GLOBAL_POOL,
    GLOBAL_POOL_PARALLEL,
    LP_POOL,
    LP_POOL_PARALLEL,
    POOL_DILATED,
    POOL_ND,
    POOL_ND_PARALLEL,
    POOL_PADDED,
    POOL_WIDE,
)
from fastcnn.testing.cases.rows import (
    FLAT,
    PRELU,
    PRELU_PARALLEL,
    ROWS,
)
from fastcnn.testing.reference import ELEMENTWISE

__all__ = [
    "ADAPTIVE_POOL",
    "ADAPTIVE_POOL_PARALLEL",
    "ADJUST",
    "AFFINE",
    "CHANNELS",
    "CHANNEL_NORM",
    "CHANNEL_NORM_PARALLEL",
    "CONCATENATE",
    "CONV",
    "CONV_FULL",
    "CONV_ND",
    "CONV_ND_PARALLEL",
    "CONV_PARALLEL",
    "CONV_SUITE",
    "CROPPING",
    "ERASE",
    "FLAT",
    "GEMM",
    "GEMM_FULL",
    "GEMM_PARALLEL",
    "GEMM_SUITE",
    "GLOBAL_POOL",
    "GLOBAL_POOL_PARALLEL",
    "LP_POOL",
    "LP_POOL_PARALLEL",
    "MERGE",
    "MERGE_PARALLEL",
    "MOVE_PARALLEL",
    "OPERATORS",
    "PERMUTE",
    "POOL",
    "POOL_DILATED",
    "POOL_FULL",
    "POOL_ND",
    "POOL_ND_PARALLEL",
    "POOL_PADDED",
    "POOL_PARALLEL",
    "POOL_SUITE",
    "POOL_WIDE",
    "PRELU",
    "PRELU_PARALLEL",
    "REPEAT_VECTOR",
    "RESHAPE",
    "ROWS",
    "ROW_NORM",
    "ROW_NORM_PARALLEL",
    "UPSAMPLING",
    "WINOGRAD",
    "ZERO_PADDING",
    "AdaptivePoolCase",
    "AugmentCase",
    "ConcatenateCase",
    "ConvCase",
    "ConvNdCase",
    "GemmCase",
    "GlobalPoolCase",
    "LpPoolCase",
    "MergeCase",
    "MoveCase",
    "NormCase",
    "PoolCase",
    "PoolNdCase",
    "PreluCase",
    "RowsCase",
]

# The cases of each row of the operator table.
OPERATORS: Mapping[str, tuple[object, ...]] = {
    "conv2d": CONV,
    **{op: group for op, group in CONV_ND.items() if not op.startswith("separable")},
    "dense": GEMM,
    "max_pool2d": POOL,
    "average_pool2d": POOL,
    "sum_pool2d": POOL,
    "max_pool3d": POOL_ND,
    "average_pool3d": POOL_ND,
    "sum_pool3d": POOL_ND,
    "lp_pool2d": LP_POOL,
    "max_unpool2d": POOL,
    **dict.fromkeys(ELEMENTWISE, FLAT),
    "softmax": ROWS,
    "log_softmax": ROWS,
    "batch_norm": CHANNEL_NORM,
    "group_norm": CHANNEL_NORM,
    "layer_norm": ROW_NORM,
    "rms_norm": ROW_NORM,
    "unit_norm": ROW_NORM,
    "prelu": PRELU,
    "dropout": ROWS,
    "spatial_dropout": POOL,
    "gaussian_noise": ROWS,
    "gaussian_dropout": ROWS,
    "alpha_dropout": ROWS,
    "affine": AFFINE,
    "adjust": ADJUST,
    "erase": ERASE,
    "mix": MIX,
    "rescaling": ROWS,
    "flatten": POOL,
    "reshape": RESHAPE,
    "identity": RESHAPE,
    "permute": PERMUTE,
    "zero_padding": ZERO_PADDING,
    "cropping": CROPPING,
    "upsampling": UPSAMPLING,
    "repeat_vector": REPEAT_VECTOR,
    "concatenate": CONCATENATE,
    "add": MERGE,
    "subtract": MERGE,
    "average": MERGE,
    "multiply": MERGE,
    "maximum": MERGE,
    "minimum": MERGE,
}

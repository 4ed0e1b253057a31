// SPDX-License-Identifier: Apache-2.0
// Functions that the host and a GPU compute alike.
#pragma once

#if defined(__CUDACC__)
#define FASTCNN_BOTH __host__ __device__ inline
#else
#define FASTCNN_BOTH inline
#endif

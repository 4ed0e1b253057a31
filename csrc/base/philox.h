// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// Element i of a dropout takes word i % 4 of the block with counter (i / 4, op, step low, step high) and key
// = seed, so a mask depends on the logical index alone: the same on every device, layout and thread count.
// Macros, not functions: see shape.h.
#pragma once
#include <stdint.h>

#define FASTCNN_PHILOX_M0 0xD2511F53u
#define FASTCNN_PHILOX_M1 0xCD9E8D57u
#define FASTCNN_PHILOX_W0 0x9E3779B9u
#define FASTCNN_PHILOX_W1 0xBB67AE85u
#define FASTCNN_PHILOX_ROUNDS 10
// A word keeps its element when (word >> 8) >= rate * 2^24, rounded up.

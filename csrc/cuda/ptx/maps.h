// SPDX-License-Identifier: Apache-2.0
// What tells a GPU of compute capability 9.0 how a tensor of floats or of bfloat16 lies, so that it can bring
// boxes of it to shared memory, floats rounded to tf32 or as they are, in rows of 128 bytes whose 16-byte
// chunks are moved about: chunk c of row r is where chunk c ^ r % 8 would be. The driver makes these maps; no
// driver, no map.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cuda {
namespace ptx {

constexpr int kMapBytes = 128;  // of a row

// Data of one of the two kinds, aligned to 16 bytes as all its rows are.
struct MapData {
  const void* data;
  int32_t bytes;                                     // of a number: 4, or 2 for bfloat16
  bool exact = false;                                // floats are not rounded
  int numbers() const { return kMapBytes / bytes; }  // of a row
};

// [slices, rows, inner] in boxes of [1, box_rows, numbers of a row].
struct Matrices {
  MapData of;
  int64_t inner, rows, slices;
  int32_t box_rows;
};
struct BoxPlace {
  int32_t inner, row, slice;
};

// [n, h, w, c] by pixels and a row's number of channels: base pixels lie from lower on in steps of `step` up
// to size - 1 + upper, along w, h, n; a tap is added to each.
struct Pixels {
  MapData of;
  int64_t n, h, w, c;
  int32_t lower_h, lower_w, upper_h, upper_w, step_h, step_w;
  int32_t count;  // of a load
};
struct PixelsPlace {
  int32_t channel, w, h, n, tap_w, tap_h;
};

// What the instructions can hold.
inline bool fits_map(const Pixels& p) {
  const auto corner = [](int32_t v) { return v >= -128 && v <= 127; };
  const auto step = [](int32_t v) { return v >= 1 && v <= 8; };
  return p.c * p.of.bytes % 16 == 0 && corner(p.lower_h) && corner(p.lower_w) && corner(p.upper_h) &&
         corner(p.upper_w) && step(p.step_h) && step(p.step_w);
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn

#if defined(FASTCNN_EMULATE_CUDA)
#include <emulated_maps.h>
#else
#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

namespace fastcnn {
namespace cuda {
namespace ptx {

using Map = CUtensorMap;

template <class Function>
Function driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const bool there =
      cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result) == cudaSuccess;
  return reinterpret_cast<Function>(there ? found : nullptr);
}

inline CUtensorMapDataType type_of(const MapData& d) {
  if (d.bytes == 2) return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return d.exact ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
}

inline bool make_map(Map* map, const Matrices& m) {
  static const auto encode = driver_function<PFN_cuTensorMapEncodeTiled_v12000>("cuTensorMapEncodeTiled");
  const cuuint64_t sizes[] = {cuuint64_t(m.inner), cuuint64_t(m.rows), cuuint64_t(m.slices)};
  const cuuint64_t row = cuuint64_t(m.inner) * cuuint64_t(m.of.bytes),
                   pitches[] = {row, row * cuuint64_t(m.rows)};
  const cuuint32_t box[] = {cuuint32_t(m.of.numbers()), cuuint32_t(m.box_rows), 1}, steps[] = {1, 1, 1};
  return encode &&
         encode(map, type_of(m.of), 3, const_cast<void*>(m.of.data), sizes, pitches, box, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

inline bool make_map(Map* map, const Pixels& p) {
  static const auto encode = driver_function<PFN_cuTensorMapEncodeIm2col_v12000>("cuTensorMapEncodeIm2col");
  const cuuint64_t sizes[] = {cuuint64_t(p.c), cuuint64_t(p.w), cuuint64_t(p.h), cuuint64_t(p.n)};
  const cuuint64_t pixel = cuuint64_t(p.c) * cuuint64_t(p.of.bytes), row = pixel * cuuint64_t(p.w);
  const cuuint64_t pitches[] = {pixel, row, row * cuuint64_t(p.h)};
  const int lower[] = {p.lower_w, p.lower_h}, upper[] = {p.upper_w, p.upper_h};  // w comes first, as measured
  const cuuint32_t steps[] = {1, cuuint32_t(p.step_w), cuuint32_t(p.step_h), 1};
  return encode &&
         encode(map, type_of(p.of), 4, const_cast<void*>(p.of.data), sizes, pitches, lower, upper,
                cuuint32_t(p.of.numbers()), cuuint32_t(p.count), steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn

#endif

// SPDX-License-Identifier: Apache-2.0
// csrc/cuda/ptx/maps.h for machines without a GPU: a map is what it was made of, refused for what the driver
// refuses.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cuda {
namespace ptx {

struct Map {
  bool of_pixels;
  Matrices matrices;
  Pixels pixels;
};

inline bool make_map(Map* map, const Matrices& m) {
  *map = {false, m, {}};
  return uintptr_t(m.of.data) % 16 == 0 && m.inner * m.of.bytes % 16 == 0 && m.box_rows <= 256;
}
inline bool make_map(Map* map, const Pixels& p) {
  *map = {true, {}, p};
  return uintptr_t(p.of.data) % 16 == 0 && fits_map(p) && p.count <= 1024;
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn

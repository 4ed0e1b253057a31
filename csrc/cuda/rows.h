// SPDX-License-Identifier: Apache-2.0
// One row of the GPU's kernel list (rows.inc): selection takes the first row of a step that this GPU can run
// and that supports the descriptor.
#pragma once
#include <stdint.h>

#include "../backend.h"

namespace fastcnn {
namespace cuda {

// Which compute capabilities run a row, 10 major + minor.
struct Capabilities {
  int least, most;
};

struct KernelRow {
  Step step;
  const char* name;  // <step>_<algorithm>, and _bfloat16, _to_float32 or _to_bfloat16
  Capabilities on;
  Storage storage;
  bool (*supports)(const OpDescriptor&);
  // Chooses blocking from the shape alone, never from the GPU at hand: results have the same bits on any that
  // runs the row. Sets workspace_bytes, flops, bytes; stores what run() needs in Prepared::state.
  void (*prepare)(Prepared*);
  // Puts the kernels on the context's stream.
  void (*run)(const Prepared&, const Operands&, Context&);
};

template <class T>
T& state(Prepared* p) {
  static_assert(sizeof(T) <= sizeof(p->state), "the state of a prepared step is too large");
  return *reinterpret_cast<T*>(p->state);
}
template <class T>
const T& state(const Prepared& p) {
  return *reinterpret_cast<const T*>(p.state);
}

template <class T = float>
const T* input(const Operands& o, int i) {
  return static_cast<const T*>(o.in[i]);
}
template <class T = float>
T* output(const Operands& o, int i) {
  return static_cast<T*>(o.out[i]);
}
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline void set_cost(Prepared* p, double flops, double bytes) { p->flops = flops, p->bytes = bytes; }
inline bool plain(const Epilogue& e) {
  return !e.bias && !e.residual && !e.scale && !e.relu_mask && !e.pool && !e.statistics &&
         e.activation == Activation::kNone;
}

#define FASTCNN_ROW_ON(least, most, step, algorithm, stored) \
  bool supports_##step##_##algorithm(const OpDescriptor&);   \
  void prepare_##step##_##algorithm(Prepared*);              \
  void run_##step##_##algorithm(const Prepared&, const Operands&, Context&);
#include "rows.inc"
#undef FASTCNN_ROW_ON

}  // namespace cuda
}  // namespace fastcnn

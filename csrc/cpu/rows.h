// SPDX-License-Identifier: Apache-2.0
// One row of the CPU's kernel list (rows.inc): selection takes the first row of a step that supports the
// descriptor.
#pragma once
#include "../backend.h"
#include "../base/parallel.h"

namespace fastcnn {
namespace cpu {

// What a row reads and writes: one layout, or either, since it works element by element in the order of
// memory.
enum class Layouts {
  kChannelsLast = int(Layout::kChannelsLast),
  kInLanes = int(Layout::kBatchInLanes),
  kAny
};

struct KernelRow {
  Step step;
  const char* name;  // <step>_<algorithm>
  Layouts layouts;
  bool (*supports)(const OpDescriptor&);
  // Chooses blocking from the shape alone (never from the thread count: results have the same bits for any),
  // into prepared->state; sets workspace_bytes, scratch_bytes, parallel, flops, bytes.
  void (*prepare)(Prepared*);
  void (*run)(const Prepared&, const Operands&, Context&);
};

// The blocking a row has stored in Prepared::state.
template <class T>
T& state(Prepared* p) {
  static_assert(sizeof(T) <= sizeof(p->state), "the state of a prepared step is too large");
  return *reinterpret_cast<T*>(p->state);
}
template <class T>
const T& state(const Prepared& p) {
  return *reinterpret_cast<const T*>(p.state);
}

#define FASTCNN_ROW_IN(layouts, step, algorithm)           \
  bool supports_##step##_##algorithm(const OpDescriptor&); \
  void prepare_##step##_##algorithm(Prepared*);            \
  void run_##step##_##algorithm(const Prepared&, const Operands&, Context&);
#include "rows.inc"
#undef FASTCNN_ROW_IN

}  // namespace cpu
}  // namespace fastcnn

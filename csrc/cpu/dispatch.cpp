// SPDX-License-Identifier: Apache-2.0
// Which instruction set and which kernel: the CPU's Backend. The ISA is the first of isas.inc that the
// processor supports, or the one FASTCNN_ISA names, settled once; the kernel is the first row of rows.inc
// whose supports() agrees.
#include <cstdlib>
#include <cstring>

#include "cpu.h"
#include "isa.h"
#include "kernels.h"
#include "kernels/bfloat16.h"
#include "kernels/tile.h"
#include "rows.h"

namespace fastcnn {
namespace cpu {

#define FASTCNN_TABLE(field, Type) extern const Type field##_kernels;
#define FASTCNN_ADDRESS(field, Type) &field##_kernels,
#define FASTCNN_ISA_ROW(isa, features)                                                    \
  namespace isa {                                                                         \
  FASTCNN_KERNEL_TABLES(FASTCNN_TABLE)                                                    \
  constexpr CpuKernels kKernels = {#isa, FASTCNN_KERNEL_TABLES(FASTCNN_ADDRESS) nullptr}; \
  }
#define FASTCNN_BFLOAT16_ROW(isa, other, features)                                                   \
  namespace other {                                                                                  \
  FASTCNN_KERNEL_TABLES(FASTCNN_TABLE)                                                               \
  }                                                                                                  \
  namespace isa {                                                                                    \
  using namespace other;                                                                             \
  extern const Bfloat16Kernels bfloat16_kernels;                                                     \
  constexpr CpuKernels kKernels = {#isa, FASTCNN_KERNEL_TABLES(FASTCNN_ADDRESS) & bfloat16_kernels}; \
  }
#include "isas.inc"
#undef FASTCNN_ADDRESS
#undef FASTCNN_TABLE

namespace {

struct IsaRow {
  const CpuKernels* kernels;
  uint32_t features;
};

constexpr IsaRow kIsas[] = {
#define FASTCNN_ISA_ROW(isa, features) {&isa::kKernels, features},
#define FASTCNN_BFLOAT16_ROW(isa, other, features) FASTCNN_ISA_ROW(isa, features)
#include "isas.inc"
};

constexpr KernelRow kRows[] = {
#define FASTCNN_ROW_IN(layouts, step, algorithm) \
  {Step::k_##step,                               \
   #step "_" #algorithm,                         \
   layouts,                                      \
   supports_##step##_##algorithm,                \
   prepare_##step##_##algorithm,                 \
   run_##step##_##algorithm},
#include "rows.inc"
#undef FASTCNN_ROW_IN
};

struct Selection {
  const CpuKernels* kernels;
  Status status;  // why FASTCNN_ISA could not be followed
  bool bfloat16_pays;
  int lanes_at_once;
  const TileKernels* half_tiles;
};

Selection select() {
  Selection s = {};
  const uint32_t detected = detected_features();
  const char* wanted = std::getenv("FASTCNN_ISA");
  std::string names;
  for (const IsaRow& row : kIsas) {
    if (row.features & ~detected) continue;
    names += (names.empty() ? "" : ", ") + std::string(row.kernels->name);
    const bool chosen = !wanted || !*wanted || !std::strcmp(wanted, row.kernels->name);
    if (chosen && !s.kernels) s.kernels = row.kernels;
  }
  const bool named = wanted && *wanted;
  const Bfloat16Kernels* const pairs = s.kernels ? s.kernels->bfloat16 : nullptr;
  const bool slow = (detected & kSlowBf16) && pairs && pairs->products.cost >= 1;
  s.bfloat16_pays = pairs && (named || !slow);
  if (!s.kernels) {
    // Something that runs everywhere, for those who only ask for names; every prepare() fails with the
    // message.
    s.kernels = kIsas[sizeof kIsas / sizeof *kIsas - 1].kernels;
    s.status.code = Code::kArgument;
    std::snprintf(s.status.message, sizeof s.status.message, "FASTCNN_ISA: got '%.40s', wanted one of: %s",
                  wanted, names.c_str());
  }
  const int lanes = s.kernels->tile->lanes;
  s.lanes_at_once = lanes == 16 && (detected & kHalfAvx512) ? lanes / 2 : lanes;
  for (const IsaRow& row : kIsas) {
    const TileKernels* const tile = row.kernels->tile;
    const bool half = tile->lanes == s.lanes_at_once && tile->lanes < lanes;
    if (half && !(row.features & ~detected)) s.half_tiles = tile;
  }
  return s;
}

const Selection& selection() {
  static const Selection s = select();
  return s;
}

// What no row here does, so that none asks.
bool is_of_gpus(const OpDescriptor& op) { return op.epilogue.statistics; }

Code prepare(const OpDescriptor* op, Prepared* out, Status* status) {
  *status = selection().status;
  if (status->code != Code::kOk) return status->code;
  for (const KernelRow& row : kRows) {
    if (is_of_gpus(*op)) break;
    const bool lies = row.layouts == Layouts::kAny || int(row.layouts) == int(op->layout);
    if (row.step != op->step || !lies || !row.supports(*op)) continue;
    *out = {};
    out->op = *op;
    out->row = &row;
    out->kernel = row.name;
    row.prepare(out);
    return Code::kOk;
  }
  status->code = Code::kArgument;
  std::snprintf(status->message, sizeof status->message,
                "%s: no kernel for the CPU takes these sizes with these options", name_of(op->step));
  return status->code;
}

void run(const Prepared* prepared, const Operands* operands, Context* context) {
  static_cast<const KernelRow*>(prepared->row)->run(*prepared, *operands, *context);
}

constexpr int kRowCount = sizeof kRows / sizeof *kRows;

struct KernelList {
  KernelInfo info[kRowCount];
  KernelList() {
    for (int i = 0; i < kRowCount; ++i) info[i] = {kRows[i].step, kRows[i].name};
  }
};

const KernelInfo* kernel_list(int* count) {
  static const KernelList list;
  *count = kRowCount;
  return list.info;
}

}  // namespace

const CpuKernels& kernels() { return *selection().kernels; }
int lanes_at_once() { return selection().lanes_at_once; }
const TileKernels* half_tiles() { return selection().half_tiles; }

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  const uint32_t detected = detected_features();
  for (const IsaRow& row : kIsas)
    if (!(row.features & ~detected)) names.push_back(row.kernels->name);
  return names;
}

const char* bfloat16_missing() {
  if (const Bfloat16Kernels* const pairs = kernels().bfloat16)
    return pairs->products.steps == 1 || may_use_tiles() ? nullptr : "the system withholds AMX's tiles";
  return detected_features() & kAvx512Bf16 ? "FASTCNN_ISA leaves it out" : "this processor has none";
}

bool bfloat16_pays() { return selection().bfloat16_pays; }

const Backend& backend() {
  static const Backend b = {kBackendVersion, sizeof(Backend), "cpu", kernels().name, prepare, run,
                            kernel_list,     nullptr};
  return b;
}

}  // namespace cpu
}  // namespace fastcnn

// SPDX-License-Identifier: Apache-2.0
// The GPU's Backend, the one symbol that this shared object exports: which kernel a step takes. It is the
// first row of rows.inc that the GPU's compute capability runs and whose supports() agrees.
#include "device.h"
#include "launch.h"

namespace fastcnn {
namespace cuda {

namespace {

#if defined(FASTCNN_EMULATE_CUDA)
constexpr char kVariant[] = "emulated";

// An emulated kernel can read the host's memory, which a GPU's cannot.
void look_at(const Operands& operands) {
  for (const void* each : operands.in) emulated_touch(each);
  for (const void* each : operands.out) emulated_touch(each);
}
#else
constexpr char kVariant[] = "cuda";

void look_at(const Operands&) {}
#endif

#define FASTCNN_SUFFIX_kFloat32 ""
#define FASTCNN_SUFFIX_kBfloat16 "_bfloat16"
#define FASTCNN_SUFFIX_kWidening "_to_float32"
#define FASTCNN_SUFFIX_kNarrowing "_to_bfloat16"
constexpr KernelRow kRows[] = {
#define FASTCNN_ROW_ON(least, most, step, algorithm, stored) \
  {Step::k_##step,                                           \
   #step "_" #algorithm FASTCNN_SUFFIX_##stored,             \
   {least, most},                                            \
   Storage::stored,                                          \
   supports_##step##_##algorithm,                            \
   prepare_##step##_##algorithm,                             \
   run_##step##_##algorithm},
#include "rows.inc"
#undef FASTCNN_ROW_ON
};
constexpr int kRowCount = sizeof kRows / sizeof *kRows;

constexpr Step kWithoutRow[] = {
#define FASTCNN_ROW_ON(least, most, step, algorithm, stored)
#define FASTCNN_NO_ROW(step) Step::k_##step,
#include "rows.inc"
#undef FASTCNN_NO_ROW
#undef FASTCNN_ROW_ON
};

constexpr bool has_row(Step step) {
  for (const KernelRow& row : kRows)
    if (row.step == step) return true;
  return false;
}
constexpr bool listed(Step step) {
  for (const Step each : kWithoutRow)
    if (each == step) return true;
  return false;
}
constexpr bool every_step_is_listed_once() {
  for (int32_t i = 0; i < static_cast<int32_t>(Step::kCount); ++i)
    if (has_row(static_cast<Step>(i)) == listed(static_cast<Step>(i))) return false;
  return true;
}
static_assert(every_step_is_listed_once(), "a step has neither a row nor a FASTCNN_NO_ROW, or both");

Code prepare(const OpDescriptor* op, Prepared* out, Status* status) {
  int sm = 0;
  if (capability(&sm, status) != Code::kOk) return status->code;
  for (const KernelRow& row : kRows) {
    const bool runs = row.on.least <= sm && sm <= row.on.most;
    if (row.step != op->step || row.storage != op->storage || !runs) continue;
    if (op->layout != Layout::kChannelsLast || !row.supports(*op)) continue;
    *out = Prepared{};
    out->op = *op;
    out->row = &row;
    out->kernel = row.name;
    row.prepare(out);
    return Code::kOk;
  }
  if (op->storage == Storage::kBfloat16)
    return failed(
        status, Code::kDevice,
        "there is no GPU kernel of %s that reads and writes bfloat16 with these options; convert the "
        "arrays to float32",
        name_of(op->step));
  return failed(status, Code::kDevice, "there is no GPU kernel of %s%s yet; it runs on the CPU",
                name_of(op->step), listed(op->step) ? "" : " with these options");
}

void run(const Prepared* prepared, const Operands* operands, Context* context) {
  look_at(*operands);
  static_cast<const KernelRow*>(prepared->row)->run(*prepared, *operands, *context);
}

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

}  // namespace cuda
}  // namespace fastcnn

extern "C" __attribute__((visibility("default"))) const fastcnn::Backend* fastcnn_cuda_backend() {
  using namespace fastcnn::cuda;
  static const fastcnn::Backend backend = {fastcnn::kBackendVersion,
                                           sizeof(fastcnn::Backend),
                                           "cuda",
                                           kVariant,
                                           prepare,
                                           run,
                                           kernel_list,
                                           &kDevice};
  return &backend;
}

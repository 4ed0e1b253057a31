// SPDX-License-Identifier: Apache-2.0
// Plan::describe(): the steps of a plan as a table, for people.
#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

#include "plan.h"
#include "validate_activation.h"

namespace fastcnn {
namespace {

enum Column { kNumber, kLayer, kKernel, kShapes, kMflop, kKbytes, kOffset, kMicroseconds, kColumns };
using Row = std::array<std::string, kColumns>;

__attribute__((format(printf, 1, 2))) std::string print(const char* format, ...) {
  char text[200];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return text;
}

long long ll(int64_t value) { return static_cast<long long>(value); }

// What is worth saying of each shape struct.

std::string text(const Conv2dShape& s) {
  std::string text = print("[%lld, %lld, %lld, %lld] * [%lld, %lld, %lld, %lld] -> [%lld, %lld, %lld, %lld]",
                           ll(s.n), ll(s.h), ll(s.w), ll(s.c), ll(s.r), ll(s.s), ll(s.c / s.groups), ll(s.k),
                           ll(s.n), ll(s.p), ll(s.q), ll(s.k));
  if (s.stride_h > 1 || s.stride_w > 1)
    text += print(" strides (%lld, %lld)", ll(s.stride_h), ll(s.stride_w));
  if (s.dilation_h > 1 || s.dilation_w > 1)
    text += print(" dilation (%lld, %lld)", ll(s.dilation_h), ll(s.dilation_w));
  if (s.groups > 1) text += print(" groups %lld", ll(s.groups));
  return text;
}

std::string text(const Conv3dShape& s) {
  const Conv2dShape& f = s.frame;
  std::string text =
      print("[%lld, %lld, %lld, %lld, %lld] * [%lld, %lld, %lld, %lld, %lld]", ll(f.n), ll(s.d), ll(f.h),
            ll(f.w), ll(f.c), ll(s.t), ll(f.r), ll(f.s), ll(f.c / f.groups), ll(f.k));
  text += print(" -> [%lld, %lld, %lld, %lld, %lld]", ll(f.n), ll(s.z), ll(f.p), ll(f.q), ll(f.k));
  if (s.stride_d > 1 || f.stride_h > 1 || f.stride_w > 1)
    text += print(" strides (%lld, %lld, %lld)", ll(s.stride_d), ll(f.stride_h), ll(f.stride_w));
  if (s.dilation_d > 1 || f.dilation_h > 1 || f.dilation_w > 1)
    text += print(" dilation (%lld, %lld, %lld)", ll(s.dilation_d), ll(f.dilation_h), ll(f.dilation_w));
  if (f.groups > 1) text += print(" groups %lld", ll(f.groups));
  return text;
}

std::string text(const GemmShape& s) {
  return print("[%lld, %lld]%s * [%lld, %lld]%s -> [%lld, %lld]", ll(s.transpose_a ? s.k : s.m),
               ll(s.transpose_a ? s.m : s.k), s.transpose_a ? "^T" : "", ll(s.transpose_b ? s.n : s.k),
               ll(s.transpose_b ? s.k : s.n), s.transpose_b ? "^T" : "", ll(s.m), ll(s.n));
}

std::string text(const Pool2dShape& s) {
  return print("[%lld, %lld, %lld, %lld] / (%lld, %lld) -> [%lld, %lld, %lld, %lld]", ll(s.n), ll(s.h),
               ll(s.w), ll(s.c), ll(s.r), ll(s.s), ll(s.n), ll(s.p), ll(s.q), ll(s.c));
}

std::string text(const PooledConv2dShape& s) {
  return text(s.conv) + print(" / (%lld, %lld)", ll(s.pool.r), ll(s.pool.s));
}

std::string text(const Pool3dShape& s) {
  return print("[%lld, %lld, %lld, %lld, %lld] / (%lld, %lld, %lld) -> [%lld, %lld, %lld, %lld, %lld]",
               ll(s.n), ll(s.d), ll(s.h), ll(s.w), ll(s.c), ll(s.t), ll(s.r), ll(s.s), ll(s.n), ll(s.o),
               ll(s.p), ll(s.q), ll(s.c));
}

std::string text(const LpPool2dShape& s) { return text(s.pool) + print(" p %g", double(s.power)); }

std::string text(const Unpool2dShape& s) {
  return print("[%lld, %lld, %lld, %lld] -> [%lld, %lld, %lld, %lld]", ll(s.n), ll(s.p), ll(s.q), ll(s.c),
               ll(s.n), ll(s.h), ll(s.w), ll(s.c));
}

std::string text(const GatherShape& s) {
  std::string text = "[" + std::to_string(s.n);
  for (int i = 0; i < s.rank; ++i) text += ", " + std::to_string(s.shape[i]);
  return text + "]";
}

std::string text(const RowsShape& s) { return print("[%lld, %lld]", ll(s.rows), ll(s.cols)); }
std::string text(const LossShape& s) { return print("[%lld, %lld]", ll(s.rows), ll(s.cols)); }
std::string text(const BatchNormShape& s) { return print("[%lld, %lld]", ll(s.rows), ll(s.c)); }
std::string text(const GroupNormShape& s) {
  return print("[%lld, %lld, %lld] groups %lld", ll(s.n), ll(s.m), ll(s.c), ll(s.groups));
}
std::string text(const RowNormShape& s) { return print("[%lld, %lld]", ll(s.rows), ll(s.cols)); }
std::string text(const FlatShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const DropoutShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const GaussianShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const AlphaDropoutShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const SpatialDropoutShape& s) {
  return print("[%lld, %lld, %lld]", ll(s.n), ll(s.pixels), ll(s.channels));
}
std::string text(const AffineShape& s) {
  static const char* const names[] = {"flip", "translation", "rotation", "zoom", "crop", "resize"};
  return print("[%lld, %lld, %lld, %lld] %s", ll(s.n), ll(s.p), ll(s.q), ll(s.c),
               names[static_cast<int>(s.kind)]);
}
std::string text(const AdjustShape& s) {
  return print("[%lld, %lld, %lld] %s", ll(s.n), ll(s.pixels), ll(s.channels),
               s.kind == Adjust::kContrast ? "contrast" : "brightness");
}
std::string text(const EraseShape& s) {
  return print("[%lld, %lld, %lld, %lld]", ll(s.n), ll(s.h), ll(s.w), ll(s.c));
}
std::string text(const MixShape& s) {
  return print("[%lld, %lld, %lld, %lld]", ll(s.n), ll(s.h), ll(s.w), ll(s.c));
}
std::string text(const PreluShape& s) { return print("[%lld, %lld, %lld]", ll(s.n), ll(s.rows), ll(s.cols)); }
std::string text(const RescaleShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const OptimizerShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const ClipNormShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const AccumulateShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const PenaltyShape& s) { return print("[%lld]", ll(s.count)); }
std::string text(const ConstraintShape& s) {
  return print("[%lld, %lld, %lld]", ll(s.outer), ll(s.mid), ll(s.inner));
}
std::string text(const MuonShape& s) { return print("[%lld, %lld]", ll(s.rows), ll(s.cols)); }

std::string sizes_text(const int64_t* size, int64_t rank) {
  std::string text;
  for (int64_t d = 0; d < rank; ++d) text += (d ? ", " : "[") + std::to_string(size[d]);
  return text + "]";
}

std::string text(const BinaryShape& s) {
  static const char* const names[] = {"add", "subtract", "multiply", "maximum", "minimum"};
  return sizes_text(s.size, s.rank) + " " + names[static_cast<int>(s.kind)];
}
std::string text(const CopyShape& s) { return sizes_text(s.size, s.rank); }
std::string text(const ConcatenateShape& s) {
  return print("[%lld, %lld] of %lld", ll(s.rows), ll(s.cols), ll(s.parts));
}
std::string text(const LanesShape& s) { return print("[%lld, %lld, %lld]", ll(s.n), ll(s.pixels), ll(s.c)); }
std::string text(const ResizeShape& s) {
  return print("[%lld, %lld, %lld, %lld] x (%lld, %lld)", ll(s.n), ll(s.h), ll(s.w), ll(s.c), ll(s.factor_h),
               ll(s.factor_w));
}

std::string epilogue_text(const Epilogue& e) {
  const bool activation = e.activation != Activation::kNone;
  return std::string(e.bias ? " + bias" : "") + (e.residual ? " + residual" : "") +
         (e.scale ? " + scale" : "") + (activation ? " + " : "") +
         (activation ? info(e.activation).name : "") + (e.relu_mask ? " + mask" : "") +
         (e.pool ? " + pool" : "") + (e.statistics ? " + statistics" : "");
}

std::string shapes_text(const OpDescriptor& op) {
  switch (op.step) {
#define FASTCNN_TEXT(name, shape, inputs, outputs) \
  case Step::k_##name:                             \
    return text(op.name);
    FASTCNN_STEPS(FASTCNN_TEXT)
#undef FASTCNN_TEXT
    case Step::k_none:
    case Step::kCount:
      break;
  }
  return "";
}

std::string offset_text(Ref ref) {
  switch (ref.memory) {
    case Memory::kArena:
      return std::to_string(ref.offset);
    case Memory::kParameters:
      return "parameters+" + std::to_string(ref.offset);
    case Memory::kGradients:
      return "gradients+" + std::to_string(ref.offset);
    case Memory::kConstants:
      return "constants+" + std::to_string(ref.offset);
    default:
      return ref.memory >= Memory::kOutput ? "output" : "";
  }
}

std::string table(const std::vector<Row>& rows) {
  size_t width[kColumns] = {};
  for (const Row& row : rows)
    for (int c = 0; c < kColumns; ++c) width[c] = std::max(width[c], row[c].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (int c = 0; c < kColumns; ++c) {
      const std::string gap(width[c] - row[c].size(), ' ');
      const bool left = c == kLayer || c == kKernel || c == kShapes;
      line += (c ? "  " : "") + (left ? row[c] + gap : gap + row[c]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace

std::string Plan::describe(const Batch& batch) {
  Batch part = batch;
  part.n = at_once(batch.n);
  const StepList& steps = this->steps(part);
  std::vector<Row> rows = {{"step", "layer", "kernel", "shapes", "MFLOP", "kB", "output at", "us"}};
  const auto us = [&steps](double seconds) {
    return steps.seconds > 0 ? print("%.1f", seconds * 1e6) : std::string("-");
  };
  double bytes = 0;
  for (const PlannedStep& step : steps.steps) {
    const Prepared& p = step.prepared;
    rows.push_back({std::to_string(rows.size() - 1), step.name, p.kernel,
                    shapes_text(p.op) + epilogue_text(p.op.epilogue), print("%.3f", p.flops * 1e-6),
                    print("%.1f", p.bytes * 1e-3), offset_text(step.out[0]), us(step.seconds)});
    bytes += p.bytes;
  }
  rows.push_back({"", "", "", "", print("%.3f", steps.flops * 1e-6), print("%.1f", bytes * 1e-3), "",
                  us(steps.seconds)});
  const std::string parts = part.n < batch.n ? print(" in parts of %lld", ll(part.n)) : "";
  return print("%s, batch of %lld%s: %zu steps, arena of %zu bytes, %s\n", name_of(mode_), ll(batch.n),
               parts.c_str(), steps.steps.size(), steps.arena_bytes,
               place_.on_gpu()  ? "on the GPU"
               : steps.parallel ? "on all threads"
                                : "on one thread") +
         table(rows);
}

}  // namespace fastcnn

// SPDX-License-Identifier: Apache-2.0
// The weight gradient of a 1x1 convolution is a product whose long sum both operands are read for once:
//
//   dw[c,k] = sum over pixels of x[pixel,c] dy[pixel,k], of the pixels of x that a stride leaves
#include "gemm.h"

namespace fastcnn {
namespace cpu {
namespace {

GemmShape pointwise_wgrad(const Conv2dShape& v) { return {v.c, v.k, v.n * v.p * v.q, 1, 0}; }
bool strided(const Conv2dShape& v) { return v.stride_h * v.stride_w > 1; }
size_t pixel_bytes(const Conv2dShape& v) { return strided(v) ? float_bytes(v.n * v.p * v.q * v.c) : 0; }

// Those pixels side by side. (By the direct kernel, which reads them where they lie, the weight gradients of
// ResNet's shortcuts took 8 to 15 % longer.)
void copy_pixels(Context& context, const Conv2dShape& v, const float* x, float* out) {
  parallel_for(*context.member, v.n * v.p, [&](int64_t row) {
    const float* from = x + (row / v.p * v.h + row % v.p * v.stride_h) * v.w * v.c;
    for (int64_t q = 0; q < v.q; ++q)
      std::copy_n(from + q * v.stride_w * v.c, v.c, out + (row * v.q + q) * v.c);
  });
}

// What comes from memory the direct kernel asks for as it lies there. On 16 lanes, 2 threads and one, after
// other arrays have passed the caches, it took 0.6 to 1.02 times as long from 7 MB on: 96 -> 48 channels
// 0.75, 300 -> 48 and 123 -> 45 0.6 to 0.75, 64 -> 100 and 256 -> 64 0.85 to 0.9, 128 -> 512 0.95; below 7 MB
// up to 1.1. With so few multiplications to a float that tiles wait for it, of filters that fill whole
// vectors, 1.05 to 1.25 (32 -> 32, 36 -> 48; but 33 -> 33, 40 -> 40 0.65 to 0.8), and with so many that the
// product hides memory 1 to 1.1 (256 -> 1024, 512 -> 512). From 576 inputs to 2048 it took 1.08 to 1.5 times
// as long: parts of these would each copy dy, in blocks of fewer pixels.
constexpr double kFarBytes = 7 << 20;
constexpr int64_t kLeastChannels = 32, kFarChannels = 512, kLeastTimes = 24, kMostTimes = 128;
bool pays_to_ask(const Conv2dShape& v) {
  const int64_t multiplied = v.c * v.k, floats = v.c + v.k;  // of a pixel
  const bool waits = multiplied < kLeastTimes * floats && v.k % kernels().tile->lanes == 0;
  return std::min(v.c, v.k) >= kLeastChannels && v.c <= kFarChannels && !waits &&
         multiplied <= kMostTimes * floats && conv_bytes(v) > kFarBytes;
}

}  // namespace

// With fewer than 32 channels of either the direct kernel took 1.1 to 3.5 times as long; but with few outputs
// and so many inputs that parts of them would each read x, 0.65 to 0.75 times.
bool supports_conv2d_wgrad_gemm(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_wgrad;
  const bool once = v.k >= kernels().tile->lanes || v.c <= 2 * kBlockRows;
  const bool floats = op.storage != Storage::kPairs;
  const bool far = floats && kernels().tile->lanes == 16 && !strided(v) && pays_to_ask(v);
  return once && !far && v.groups == 1 && v.r * v.s == 1 && !v.pad_top && !v.pad_left &&
         (v.p - 1) * v.stride_h < v.h && (v.q - 1) * v.stride_w < v.w &&
         (strided(v) || (v.p == v.h && v.q == v.w));
}
void prepare_conv2d_wgrad_gemm(Prepared* p) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  prepare_product(p, pointwise_wgrad(v));
  p->workspace_bytes += pixel_bytes(v);
}
void run_conv2d_wgrad_gemm(const Prepared& p, const Operands& x, Context& context) {
  const Conv2dShape& conv = p.op.conv2d_wgrad;
  const GemmShape v = pointwise_wgrad(conv);
  const float* pixels = input(x, 0);
  float* workspace = static_cast<float*>(context.workspace);
  if (strided(conv)) {
    copy_pixels(context, conv, pixels, workspace);
    pixels = workspace, workspace += pixel_bytes(conv) / sizeof(float);
  }
  run_product(p, v, {pixels, input(x, 1), nullptr, nullptr, output(x, 0), workspace, false}, context);
}

}  // namespace cpu
}  // namespace fastcnn

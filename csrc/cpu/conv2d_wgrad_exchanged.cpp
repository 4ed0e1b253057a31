// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a convolution of few filters, channels-last, x and dy exchanged:
//
//   dw[r,s,c,k] = e[R-1-r, S-1-s, k, c]
//   e [r,s,k,c] = sum over n,h,w of x[n,h,w,c] dy[n, h + r dilation - (reach - pad), ..., k]
//
// where reach = (R - 1) dilation, so that e is the weight gradient of a convolution of dy whose output is x.
// Vectors of its tiles are filled by input channels and not by filters.
#include "blocking.h"

namespace fastcnn {
namespace cpu {
namespace {

Conv2dShape exchanged(const Conv2dShape& v) {
  const int64_t reach_h = (v.r - 1) * v.dilation_h, reach_w = (v.s - 1) * v.dilation_w;
  Conv2dShape e = v;
  e.h = v.p, e.w = v.q, e.c = v.k;
  e.p = v.h, e.q = v.w, e.k = v.c;
  e.pad_top = reach_h - v.pad_top, e.pad_left = reach_w - v.pad_left;
  e.pad_bottom = (e.p - 1) + reach_h - e.pad_top - (e.h - 1);
  e.pad_right = (e.q - 1) + reach_w - e.pad_left - (e.w - 1);
  return e;
}

int64_t floats(const Conv2dShape& v) { return round_up(v.r * v.s * v.c * v.k, 16); }

}  // namespace

// Where input channels fill half as many lanes again, also of as many pixels as x has more than dy: 3x3 and
// 5x5 of 8 to 128 channels took 0.05 to 1.0 times as long as directly or by Winograd, of fewer more lanes up
// to 1.4 times. Pointwise with any idle lane, 0.25 to 1.0 times, but not with many channels (128 of 8 lanes
// took 1.0 to 1.7 times as long as the product). A copy of dy with zeros meets pixels of x that it does not
// see, and NaN or infinity in one of these spreads to the gradient's other taps: not with math="strict".
bool supports_conv2d_wgrad_exchanged(const OpDescriptor& op) {
  constexpr int64_t kLeastChannels = 8, kMostVectors = 8;
  const Conv2dShape& v = op.conv2d_wgrad;
  const int64_t lanes = kernels().tile->lanes;
  if (op.storage == Storage::kPairs || v.groups > 1 || v.stride_h * v.stride_w > 1) return false;
  if (v.pad_top > (v.r - 1) * v.dilation_h || v.pad_left > (v.s - 1) * v.dilation_w) return false;
  if (v.k >= lanes || v.c < kLeastChannels) return false;
  if (v.r * v.s == 1) return v.c < kMostVectors * lanes;
  if (op.math == Math::kStrict) return false;
  return 3 * v.k * round_up(v.c, lanes) * v.w <= 2 * v.c * lanes * v.q;
}

void prepare_conv2d_wgrad_exchanged(Prepared* p) {
  const OpDescriptor op = p->op;
  p->op.conv2d_wgrad = exchanged(op.conv2d_wgrad);
  prepare_conv2d_wgrad_direct(p);
  p->op = op;
  p->flops = conv_flops(op.conv2d_wgrad), p->bytes = conv_bytes(op.conv2d_wgrad);
  p->workspace_bytes += float_bytes(floats(op.conv2d_wgrad));
}

void run_conv2d_wgrad_exchanged(const Prepared& p, const Operands& x, Context& context) {
  const Conv2dShape& v = p.op.conv2d_wgrad;
  float* const e = static_cast<float*>(context.workspace);
  Context inner = context;
  inner.workspace = e + floats(v);
  run_conv2d_wgrad_direct(p, {{x.in[1], x.in[0]}, {e}}, inner);
  const int64_t taps = v.r * v.s, size = v.c * v.k;
  float* const dw = output(x, 0);
  for_each_chunk(context, taps, rows_per_chunk(size), [&](int64_t begin, int64_t end) {
    for (int64_t tap = begin; tap < end; ++tap) {
      const float* const from = e + (taps - 1 - tap) * size;
      float* to = dw + tap * size;
      for (int64_t c = 0; c < v.c; ++c)
        for (int64_t k = 0; k < v.k; ++k) *to++ = from[k * v.c + c];
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn

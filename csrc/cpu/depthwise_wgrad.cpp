// SPDX-License-Identifier: Apache-2.0
// The weight gradient of convolution with few channels to a group, channels-last:
//
//   dw[t,r,s,g,k] = sum over n,z,p,q of x[n, z stride + t dilation - pad, ..., first channel of k's group +
//   g] dy[n,z,p,q,k]
//
// A task is a chunk of bands of rows; partial sums are added in order. The sums of a few taps and one vector
// of channels stay in registers over a whole band, which an L2 cache holds; the next is fetched meanwhile.
#include "kernels/depthwise_wgrad.h"

#include "depthwise.h"

namespace fastcnn {
namespace cpu {
namespace {

bool supports(const Conv2dShape& v) {
  if (v.groups == 1) return false;
  const DepthwiseGroup g = group_of(v);
  return one_channel(v) || (supports_group(g) && (g.in % 4 == 0 || g.in == g.out));
}

size_t scratch_bytes(const Conv2dShape& v, const Depthwise& d) {
  return one_channel(v) && multiplier(v) > 1 ? float_bytes(d.rows_in * v.w * v.k) : 0;
}

// A band of rows of one frame, and the rows of x that the next one adds to it.
struct Band {
  Range p;
  Rows x;
  const float* dy;
  const float* ahead[2];
  int64_t ahead_floats[2];
};

// dw += the products of a band.
void add_products(const Conv2dShape& v, const Band& band, float* dw) {
  DepthwiseSums t = {};
  const bool one = one_channel(v);
  const int64_t channels = one ? v.k : v.c, row = v.w * channels;
  t.group = one ? DepthwiseGroup{1, 1} : group_of(v);
  t.x_h = v.dilation_h * row, t.x_w = v.dilation_w * channels;
  t.x_p = v.stride_h * row, t.x_q = v.stride_w * channels;
  t.dy_p = v.q * v.k, t.dy_q = v.k, t.channels = v.k;
  t.dw_h = v.s * t.group.in * v.k, t.dw_w = t.group.in * v.k, t.dw_g = v.k;
  t.rows = band.p.end - band.p.begin;
  t.row_step = v.stride_h, t.row_spread = v.dilation_h, t.rows_in = v.h;
  t.columns = {v.q, 0, v.stride_w, v.dilation_w, 0, 0};
  t.dy = band.dy;
  for (int i = 0; i < 2; ++i) t.ahead[i] = band.ahead[i], t.ahead_floats[i] = band.ahead_floats[i];
  for (int64_t s = 0; s < v.s; s += t.columns.taps) {
    const int64_t first = s * v.dilation_w - v.pad_left;
    t.columns.begin = -first, t.columns.end = v.w - first;
    for (int64_t r = 0; r < v.r; r += t.taps_h) {
      const DepthwiseTaps taps = kernels().depthwise_wgrad->next_taps(t.group, v.r - r, v.s - s);
      t.taps_h = taps.h, t.columns.taps = taps.w;
      t.first_row = band.p.begin * v.stride_h + r * v.dilation_h - v.pad_top;
      t.x = band.x.data + (t.first_row - band.x.first) * row + first * channels;
      t.dw = dw + (r * v.s + s) * t.dw_w;
      kernels().depthwise_wgrad->sums(t);
      t.ahead_floats[0] = t.ahead_floats[1] = 0;
    }
  }
}

void run(const Conv3dShape& volume, const Depthwise& d, const Operands& x, Context& context) {
  Member& me = *context.member;
  const Conv2dShape& v = volume.frame;
  const int64_t size = weight_floats(volume), tap_floats = size / volume.t, all = v.n * volume.z * d.bands;
  float* const partial = d.chunks > 1 ? static_cast<float*>(context.workspace) : output(x, 0);
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    float* const dw = partial + chunk * size;
    std::fill(dw, dw + size, 0.0f);
    float* const scratch = static_cast<float*>(me.scratch(scratch_bytes(v, d)));
    const Range mine = part_of(all, d.chunks, chunk);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      const int64_t frame = i / d.bands, n = frame / volume.z;
      Band band = {part_of(v.p, d.bands, i % d.bands), {}, nullptr, {}, {}};
      band.dy = input(x, 1) + (frame * v.p + band.p.begin) * v.q * v.k;
      if (d.ahead && i + 1 < all) {
        const int64_t next = (i + 1) / d.bands;
        const Range p = part_of(v.p, d.bands, (i + 1) % d.bands);
        const int64_t begin = n * v.h + rows_read(v, band.p).end, end = next * v.h + rows_read(v, p).end;
        band.ahead[0] = input(x, 0) + begin * v.w * v.c, band.ahead_floats[0] = (end - begin) * v.w * v.c;
        band.ahead[1] = input(x, 1) + (next * v.p + p.begin) * v.q * v.k;
        band.ahead_floats[1] = (p.end - p.begin) * v.q * v.k;
      }
      const Frames met = frames_met(volume, false, frame % volume.z);
      for (int64_t t = met.taps.begin; t < met.taps.end; ++t) {
        const float* image = input(x, 0) + (n * volume.d + met.source(t)) * v.h * v.w * v.c;
        band.x = rows_of_x(v, image, rows_read(v, band.p), scratch);
        add_products(v, band, dw + t * tap_floats);
      }
    }
  });
  if (d.chunks > 1) sum_parts(context, partial, d.chunks, size, output(x, 0));
}

void prepare(Prepared* p, const Conv3dShape& v) {
  Depthwise& d = state<Depthwise>(p) = plan_depthwise(p, v, false);
  const int64_t size = weight_floats(v);
  // A partial sum is added to the others at the cost of reading it: it should have met ten times as much
  // input.
  d.chunks = std::min({kTasks, v.frame.n * v.z * d.bands, static_cast<int64_t>(p->bytes) / (40 * size)});
  d.chunks = std::max<int64_t>(1, d.chunks);
  p->scratch_bytes = scratch_bytes(v.frame, d);
  if (d.chunks > 1) p->workspace_bytes = float_bytes(d.chunks * size);
}

}  // namespace

bool supports_conv2d_wgrad_depthwise(const OpDescriptor& op) { return supports(op.conv2d_wgrad); }
void prepare_conv2d_wgrad_depthwise(Prepared* p) { prepare(p, volume_of(p->op.conv2d_wgrad)); }
void run_conv2d_wgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run(volume_of(p.op.conv2d_wgrad), state<Depthwise>(p), x, context);
}

bool supports_conv3d_wgrad_depthwise(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv3d_wgrad.frame;
  return supports(v) && v.k == v.c;
}
void prepare_conv3d_wgrad_depthwise(Prepared* p) { prepare(p, p->op.conv3d_wgrad); }
void run_conv3d_wgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run(p.op.conv3d_wgrad, state<Depthwise>(p), x, context);
}

}  // namespace cpu
}  // namespace fastcnn

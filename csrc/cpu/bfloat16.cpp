// SPDX-License-Identifier: Apache-2.0
// Matrix products with operands rounded to bfloat16, their sums in float32: for Precision::kBfloat16 where
// the instruction set multiplies pairs (kernels/bfloat16.h), two steps of a sum at once.
//
// Both operands are rounded to words, pairs of neighbours along what is summed over: channels of x and w
// (fprop), of dy and w (dgrad), images (wgrad: pixels keep their borders), or k (gemm). An odd one has a zero
// beside it. What is left is the same product of words with half the steps, which the row of floats computes
// with another register tile. Of an image whose pixels a 1x1 filter meets with strides, those that it meets
// become one of their own (all of them took up to 1.3 times as long). Workspace: words of the first operand,
// if tasks of that row do not make their own | of the second | of that row. Constant weights are rounded
// once: a convolution keeps the panels that it makes of them, gemm the words, half the bytes of the floats.
#include "conv2d_direct.h"
#include "cpu.h"
#include "gemm.h"

namespace fastcnn {
namespace cpu {
namespace {

// Images of which a 1x1 filter meets p by q pixels; none: q is 0.
struct Strided {
  int64_t p, q, row, col, image;  // floats from one such row, pixel and image to the next
  int64_t pixel(int64_t i) const { return i / (p * q) * image + i / q % p * row + i % q * col; }
};

// Rows of so many floats, with zeros before and after them; none: floats is 0.
struct Padded {
  int64_t zeros, floats;
};

// An operand [blocks][rows][cols] whose pairs are neighbouring columns, or else rows; of which each `turned`
// columns, [pixels][channels], become [channels][pixels]. Of strided images a row along is a pixel's
// channels, a row across all those of an image.
struct Operand {
  int64_t blocks, rows, cols;
  bool along;
  int64_t turned, channels;
  Strided strided;
  Padded padded;
};
// An even row is followed by the next one, without a zero.
Operand columns(int64_t rows, int64_t cols) {
  return cols % 2 ? Operand{1, rows, cols, true, 0, 0, {}, {}}
                  : Operand{1, 1, rows * cols, true, 0, 0, {}, {}};
}
Operand rows(int64_t blocks, int64_t count, int64_t cols) {
  return {blocks, count, cols, false, 0, 0, {}, {}};
}

double floats(const Operand& x) { return 1.0 * x.blocks * x.rows * x.cols; }
// Rows of words, made one by one, and their length.
int64_t word_rows(const Operand& x) { return x.along ? x.rows : x.blocks * ceil_div(x.rows, 2); }
int64_t word_cols(const Operand& x) { return x.along ? ceil_div(x.cols, 2) : x.cols; }
size_t word_bytes(const Operand& x) { return float_bytes(word_rows(x) * word_cols(x)); }

// Words of a row that are made at once.
int64_t run_of(const Operand& x) {
  if (x.padded.floats) return word_cols(x);
  return x.strided.q && !x.along ? x.channels : x.turned ? x.turned : 1;
}
// A task is a part of a long row of words, or some short rows.
int64_t parts(const Operand& x) { return std::min(ceil_div(word_cols(x), kChunk), word_cols(x) / run_of(x)); }
int64_t rows_of_task(const Operand& x) { return rows_per_chunk(word_cols(x)); }
int64_t tasks(const Operand& x) { return ceil_div(word_rows(x), rows_of_task(x)) * parts(x); }

void round_padded(const Padded& row, const float* from, int64_t count, float* words) {
  const int64_t first = ceil_div(row.zeros, 2), odd = row.zeros % 2;
  const int64_t floats = std::min(row.floats, 2 * count - row.zeros) - odd,
                after = first + ceil_div(floats, 2);
  constexpr float kZero = 0;
  std::fill_n(words, first, 0.0f);
  if (odd) kernels().bfloat16->round_across(&kZero, from, nullptr, 1, words + first - 1);
  kernels().bfloat16->round_along(from + odd, floats, words + first);
  std::fill(words + after, words + count, 0.0f);
}

void round_part(const Operand& x, const float* from, const float* scale, int64_t task, float* to) {
  const int64_t all = word_cols(x), first = task / parts(x) * rows_of_task(x);
  const int64_t unit = run_of(x);
  const Range units = part_of(all / unit, parts(x), task % parts(x));
  const Range cols = {units.begin * unit, units.end * unit};
  const int64_t count = cols.end - cols.begin, pairs = ceil_div(x.rows, 2);
  for (int64_t row = first; row < std::min(first + rows_of_task(x), word_rows(x)); ++row) {
    float* const words = to + row * all + cols.begin;
    if (x.padded.floats) {
      round_padded(x.padded, from + row * x.padded.floats, all, words);
      continue;
    }
    if (x.along) {
      const int64_t begin = 2 * cols.begin;
      const float* const floats = from + (x.strided.q ? x.strided.pixel(row) : row * x.cols);
      kernels().bfloat16->round_along(floats + begin, std::min(2 * count, x.cols - begin), words);
      continue;
    }
    const int64_t at = row % pairs * 2;  // of the block's rows
    for (int64_t i = units.begin; x.strided.q && i < units.end; ++i) {
      const float* const pixel = from + at * x.strided.image + x.strided.pixel(i);
      kernels().bfloat16->round_across(pixel, at + 1 < x.rows ? pixel + x.strided.image : nullptr, nullptr,
                                       unit, to + row * all + i * unit);
    }
    if (x.strided.q) continue;
    const float* const pair = from + (row / pairs * x.rows + at) * x.cols + cols.begin;
    for (int64_t i = 0; x.turned && i < count; i += x.turned)
      kernels().bfloat16->round_turned(pair + i, at + 1 < x.rows ? pair + x.cols + i : nullptr,
                                       x.turned / x.channels, x.channels, words + i);
    if (x.turned) continue;
    kernels().bfloat16->round_across(pair, at + 1 < x.rows ? pair + x.cols : nullptr,
                                     scale ? scale + cols.begin : nullptr, count, words);
  }
}

// A step, its operands, the product of their words, the length of its sums that is halved, and how many steps
// of words lie evenly.
struct Pairing {
  Operand a, b;
  OpDescriptor words;
  int64_t length, run;
  double products;  // multiply-adds
  bool keeps_b;     // as words
};

// Words of its images are those of the pixels that it meets: a convolution without strides.
bool meets_few_pixels(const Conv2dShape& v) {
  return v.r * v.s == 1 && v.stride_h * v.stride_w > 1 && !v.pad_top && !v.pad_left &&
         (v.p - 1) * v.stride_h < v.h && (v.q - 1) * v.stride_w < v.w;
}
void leave_pixels(const Conv2dShape& v, Operand* x, Conv2dShape* words) {
  x->channels = v.c;
  x->strided = {v.p, v.q, v.stride_h * v.w * v.c, v.stride_w * v.c, v.h * v.w * v.c};
  words->h = v.p, words->w = v.q, words->stride_h = words->stride_w = 1;
}

// Few channels of which a pixel has an odd number, a step between outputs an even one: pairs run through the
// taps of a filter row, and the words of an image have a single channel, so that fewer are half empty (7x7 of
// 3 channels: 11 in place of 14). The zero beside the last weight of an odd row meets the next pixel, which
// makes NaN of an infinity there: not for strict math. AMX has not been timed so.
bool joins_taps(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_fprop;
  return op.math != Math::kStrict && !turns(1) && v.c % 2 && v.s > 1 && v.groups == 1 && v.dilation_w == 1 &&
         v.stride_w * v.c % 2 == 0 && v.c < kernels().tile->lanes;
}
void join_taps(const Conv2dShape& v, Pairing* d) {
  Conv2dShape& words = d->words.conv2d_fprop;
  words.c = 1, words.s = d->run = ceil_div(v.s * v.c, 2), words.stride_w = v.stride_w * v.c / 2;
  words.w = (v.q - 1) * words.stride_w + words.s, words.pad_left = 0;
  d->a = {1, v.n * v.h, 2 * words.w, true, 0, 0, {}, {std::min(v.pad_left * v.c, 2 * words.w), v.w * v.c}};
  d->b = rows(v.r, v.s * v.c, v.k), d->length = v.s * v.c;
}

Pairing pairing(const OpDescriptor& op) {
  Pairing d = {};
  d.words = op;
  d.words.storage = Storage::kPairs, d.words.precision = Precision::kFloat32;
  if (op.step == Step::k_gemm) {
    const GemmShape& v = op.gemm;
    d.a = v.transpose_a ? rows(1, v.k, v.m) : columns(v.m, v.k);
    d.b = v.transpose_b ? columns(v.n, v.k) : rows(1, v.k, v.n);
    d.length = v.k, d.products = gemm_flops(v) / 2;
    d.words.gemm.k = d.run = ceil_div(v.k, 2);
    d.keeps_b = op.constant_weights != 0;
    return d;
  }
  const Conv2dShape& v = op.conv2d_fprop;  // the passes share this struct
  Conv2dShape& words = d.words.conv2d_fprop;
  d.products = conv_flops(v) / 2;
  const int64_t taps = v.groups == 1 && v.stride_w == 1 && v.dilation_w == 1 ? v.s : 1;
  if (op.step == Step::k_conv2d_wgrad) {
    d.a = rows(1, v.n, v.h * v.w * v.c), d.b = rows(1, v.n, v.p * v.q * v.k);
    if (meets_few_pixels(v)) {
      d.a.cols = v.p * v.q * v.c;
      leave_pixels(v, &d.a, &words);
    }
    d.length = v.n, words.n = ceil_div(v.n, 2);
    d.run = supports_conv2d_wgrad_gemm(d.words) ? words.n * v.p * v.q : v.q;
    if (turns(1, v)) d.a.turned = v.w * v.c, d.a.channels = v.c;
  } else if (op.step == Step::k_conv2d_dgrad) {
    d.a = columns(v.n * v.p * v.q, v.k), d.b = columns(v.r * v.s * v.c / v.groups, v.k);
    d.length = v.k / v.groups, words.k = ceil_div(v.k, 2), d.run = taps * ceil_div(d.length, 2);
    if (v.k % 2 == 0) d.words.precision = op.precision;
  } else {
    d.a = columns(v.n * v.h * v.w, v.c), d.b = rows(v.r * v.s, v.c / v.groups, v.k);
    if (meets_few_pixels(v)) {
      d.a = {1, v.n * v.p * v.q, v.c, true, 0, 0, {}, {}};
      leave_pixels(v, &d.a, &words);
    }
    d.length = v.c / v.groups, words.c = ceil_div(v.c, 2), d.run = taps * ceil_div(d.length, 2);
    if (v.c % 2 == 0 && !d.a.strided.q) d.words.precision = op.precision;
    if (joins_taps(op)) join_taps(v, &d);
    d.words.epilogue.scale = 0;  // of the weights, before they are rounded
  }
  return d;
}

// Of the products of pairs, in those of floats.
double cost(const Pairing& d) {
  const Bfloat16Products& by = kernels().bfloat16->products;
  return double(ceil_div(d.length, 2)) / double(d.length) * by.cost * double(round_up(d.run, by.steps)) /
         double(d.run);
}

// Whether the products that pairs save are worth the floats to round and one more phase of tasks, each in
// multiply-adds. A float that is rounded moves eight bytes: 3 multiply-adds of Zen 4 in cache, some 30 from
// memory. These are estimates: no shape at their edge has been timed.
bool pays(const OpDescriptor& op) {
  if (op.precision != Precision::kBfloat16 || !bfloat16_pays()) return false;
  constexpr double kFloat = 8, kPhase = 16384;
  const Pairing d = pairing(op);
  const double saved = d.products * (1 - cost(d));
  return saved > kFloat * (floats(d.a) + (op.constant_weights ? 0 : floats(d.b))) + kPhase;
}

// A pair would lie in two groups.
bool divides_pairs(int64_t groups, int64_t channels) { return groups > 1 && channels / groups % 2; }

// That a convolution directly makes pairs of its first operand as it copies it: none are made before.
bool tasks_round(const Pairing& d, const Prepared& p) {
  return d.words.precision == Precision::kBfloat16 && state<Direct>(p).rounds;
}
Pairing pairing(const Prepared& p) {
  Pairing d = pairing(p.op);
  if (tasks_round(d, p)) d.a.rows = 0;
  return d;
}

size_t own_bytes(const Pairing& d) { return word_bytes(d.a) + (d.keeps_b ? 0 : word_bytes(d.b)); }

// prepare: of the row of floats.
void prepare(Prepared* p, void (*prepare_words)(Prepared*)) {
  const OpDescriptor op = p->op;
  p->op = pairing(op).words;
  prepare_words(p);
  p->op = op;
  const Pairing d = pairing(*p);
  p->workspace_bytes += own_bytes(d);
  if (d.keeps_b) p->constant_bytes = word_bytes(d.b);
  p->flops = 2 * d.products;
  p->bytes = op.step == Step::k_gemm ? gemm_bytes(op.gemm) : conv_bytes(op.conv2d_fprop);
  if (p->flops > kParallelFlops) p->parallel = 1;
}

void run(const Prepared& p, const Operands& x, Context& context,
         void (*run_words)(const Prepared&, const Operands&, Context&)) {
  const Pairing d = pairing(p);
  char* const workspace = static_cast<char*>(context.workspace);
  float* const a = reinterpret_cast<float*>(workspace);
  float* const b = static_cast<float*>(d.keeps_b ? context.constants : workspace + word_bytes(d.a));
  const bool scaled = p.op.step == Step::k_conv2d_fprop && p.op.epilogue.scale;
  const float* const scale = scaled ? input(x, 4) : nullptr;
  const int64_t a_tasks = tasks(d.a), b_tasks = context.constants_ready ? 0 : tasks(d.b);
  parallel_for(*context.member, a_tasks + b_tasks, [&](int64_t i) {
    if (i < a_tasks)
      round_part(d.a, input(x, 0), nullptr, i, a);
    else
      round_part(d.b, input(x, 1), scale, i - a_tasks, b);
  });
  Prepared words = p;
  words.op = d.words;
  Operands operands = x;
  operands.in[1] = b;
  if (d.a.rows) operands.in[0] = a;
  Context inner = context;
  inner.workspace = workspace + own_bytes(d);
  run_words(words, operands, inner);
}

}  // namespace

double bfloat16_cost(const OpDescriptor& op) { return cost(pairing(op)); }

// Of few steps what is written takes the time: [512,8] [8,1000] took 1.35 times as long in pairs, [2048,8]
// [8,1000] 1.6 times.
bool supports_gemm_bfloat16(const OpDescriptor& op) { return pays(op) && !supports_gemm_outer(op); }
void prepare_gemm_bfloat16(Prepared* p) { prepare(p, prepare_gemm_tiled); }
void run_gemm_bfloat16(const Prepared& p, const Operands& x, Context& context) {
  run(p, x, context, run_gemm_tiled);
}

bool supports_conv2d_fprop_bfloat16(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_fprop;
  return pays(op) && !divides_pairs(v.groups, v.c) && supports_conv2d_fprop_direct(pairing(op).words);
}
void prepare_conv2d_fprop_bfloat16(Prepared* p) { prepare(p, prepare_conv2d_fprop_direct); }
void run_conv2d_fprop_bfloat16(const Prepared& p, const Operands& x, Context& context) {
  run(p, x, context, run_conv2d_fprop_direct);
}

bool supports_conv2d_dgrad_bfloat16(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_dgrad;
  return pays(op) && !divides_pairs(v.groups, v.k);
}
void prepare_conv2d_dgrad_bfloat16(Prepared* p) { prepare(p, prepare_conv2d_dgrad_direct); }
void run_conv2d_dgrad_bfloat16(const Prepared& p, const Operands& x, Context& context) {
  run(p, x, context, run_conv2d_dgrad_direct);
}

bool supports_conv2d_wgrad_bfloat16(const OpDescriptor& op) { return pays(op); }
void prepare_conv2d_wgrad_bfloat16(Prepared* p) {
  const bool gemm = supports_conv2d_wgrad_gemm(pairing(p->op).words);
  prepare(p, gemm ? prepare_conv2d_wgrad_gemm : prepare_conv2d_wgrad_direct);
}
void run_conv2d_wgrad_bfloat16(const Prepared& p, const Operands& x, Context& context) {
  const bool gemm = supports_conv2d_wgrad_gemm(pairing(p.op).words);
  run(p, x, context, gemm ? run_conv2d_wgrad_gemm : run_conv2d_wgrad_direct);
}

}  // namespace cpu
}  // namespace fastcnn

// SPDX-License-Identifier: Apache-2.0
// Rules of augmentation: images moved, adjusted, partly erased, mixed. All but a resizing act in training
// alone. The steps are channels-last; with the batch in lanes an augmentation of the model's input is done
// before the batch is put there.
#include <algorithm>
#include <cmath>

#include "../operator.h"

namespace fastcnn {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 24;  // along an axis: points are counted in 2^-32 of one

constexpr double kMostAlpha = 1e6;  // of a mixing: weights are one half then, to three digits

const char* const kAxes[2] = {"height", "width"};

double real_in(const Inference& f, const char* key, double least, double most) {
  const double value = f.attributes.real(key);
  if (!(value >= least && value <= most))
    fail(Code::kArgument, "%s: %s is %g, wanted a number in [%g, %g]", f.label(), key, value, least, most);
  return value;
}

// Two numbers, the first not above the second.
void bounds(const Inference& f, const char* name, double least, double most, double* low, double* high) {
  const std::string lower = std::string(name) + "_low", upper = std::string(name) + "_high";
  *low = real_in(f, lower.c_str(), least, most);
  *high = real_in(f, upper.c_str(), *low, most);
}

float finite_float(const Inference& f, const char* key) {
  const double value = f.attributes.real(key);
  if (!std::isfinite(static_cast<float>(value)))
    fail(Code::kArgument, "%s: %s is %g, wanted a finite number of float32", f.label(), key, value);
  return static_cast<float>(value);
}

DrawSource draw_of(Inference& f, uint32_t draws = 1) {
  DrawSource source{};
  source.op = f.next_draw();
  while (--draws) f.next_draw();
  if (!f.attributes.has("seed")) return source;
  const int64_t seed = f.attributes.whole("seed");
  if (seed < 0)
    fail(Code::kArgument, "%s: seed is %lld, wanted 0 or more", f.label(), static_cast<long long>(seed));
  source.seed = static_cast<uint64_t>(seed);
  source.seeded = 1;
  return source;
}

void value_range(const Inference& f, float* minimum, float* maximum) {
  *minimum = finite_float(f, "minimum");
  *maximum = finite_float(f, "maximum");
  if (*minimum > *maximum)
    fail(Code::kArgument, "%s: value_range is (%g, %g), wanted the lower end first", f.label(),
         static_cast<double>(*minimum), static_cast<double>(*maximum));
}

// The largest window of the target's aspect, in the middle.
void middle(AffineShape* s) {
  const auto part = [](int64_t across, int64_t size, int64_t target, int64_t other) {
    const double whole =
        std::floor(static_cast<double>(across) * static_cast<double>(target) / static_cast<double>(other));
    return static_cast<int64_t>(std::max(1.0, std::min(static_cast<double>(size), whole)));
  };
  s->size_h = static_cast<int32_t>(part(s->w, s->h, s->p, s->q));
  s->size_w = static_cast<int32_t>(part(s->h, s->w, s->q, s->p));
  s->begin_h = static_cast<int32_t>((s->h - s->size_h) / 2);
  s->begin_w = static_cast<int32_t>((s->w - s->size_w) / 2);
}

// What shows an image of height x width as another one of that size.
void infer_window(const Inference& f, AffineShape* s, Warp kind) {
  s->kind = Warp::kResize;
  s->fill = Fill::kNearest;
  s->bilinear = 1;
  int64_t* const out[2] = {&s->p, &s->q};
  for (int axis = 0; axis < 2; ++axis) {
    *out[axis] = f.positive(kAxes[axis]);
    if (*out[axis] > kMostPixels)
      fail(Code::kArgument, "%s: %s is %lld, wanted at most %lld", f.label(), kAxes[axis],
           static_cast<long long>(*out[axis]), static_cast<long long>(kMostPixels));
  }
  if (kind == Warp::kCrop) return middle(s);
  s->bilinear = f.attributes.choice("interpolation", {"nearest", "bilinear"});
  s->size_h = static_cast<int32_t>(s->h), s->size_w = static_cast<int32_t>(s->w);
  const bool aspect = f.attributes.flag("crop_to_aspect_ratio");
  const bool center = f.attributes.flag("center");
  if (center && s->h >= s->p && s->w >= s->q) {
    s->begin_h = static_cast<int32_t>((s->h - s->p) / 2), s->size_h = static_cast<int32_t>(s->p);
    s->begin_w = static_cast<int32_t>((s->w - s->q) / 2), s->size_w = static_cast<int32_t>(s->q);
  } else if (aspect || center) {
    middle(s);
  }
  if (s->size_h == s->p && s->size_w == s->q) s->bilinear = 0;  // whole pixels
}

void infer_affine(Inference& f) {
  f.need_image();
  const std::vector<int64_t>& x = f.x().shape;
  for (int axis = 0; axis < 2; ++axis)
    if (x[axis] > kMostPixels)
      fail(Code::kShape, "%s: the input has %lld pixels along an axis, wanted at most %lld", f.label(),
           static_cast<long long>(x[axis]), static_cast<long long>(kMostPixels));
  AffineShape& s = f.node.forward.affine_fwd;
  s.n = 1;
  s.p = s.h = x[0], s.q = s.w = x[1], s.c = x[2];
  s.kind = static_cast<Warp>(
      f.attributes.choice("kind", {"flip", "translation", "rotation", "zoom", "crop", "resize"}));
  if (s.kind == Warp::kCrop || s.kind == Warp::kResize) {
    // The settings say whether a place is drawn in training.
    const Warp kind = s.kind;
    if (kind == Warp::kCrop) s.draw = draw_of(f);
    infer_window(f, &s, kind);
    f.node.settings = {kind == Warp::kCrop && s.h > s.p && s.w > s.q};
    f.node.shape[0] = s.p, f.node.shape[1] = s.q;
    f.node.flops = s.bilinear ? 7.0 * static_cast<double>(s.p * s.q) * static_cast<double>(s.c) : 0;
    return;
  }
  s.draw = draw_of(f);
  if (s.kind == Warp::kFlip) {
    s.low[0] = f.attributes.flag("vertical");
    s.low[1] = f.attributes.flag("horizontal");
    return;
  }
  s.fill = static_cast<Fill>(f.attributes.choice("fill_mode", {"constant", "nearest", "reflect", "wrap"}));
  s.bilinear = f.attributes.choice("interpolation", {"nearest", "bilinear"});
  s.fill_value = finite_float(f, "fill_value");
  if (s.kind == Warp::kRotation) return bounds(f, "factor", -1, 1, &s.low[0], &s.high[0]);
  s.joint = s.kind == Warp::kZoom && !f.attributes.has("width_low");
  for (int axis = 0; axis < (s.joint ? 1 : 2); ++axis)
    bounds(f, kAxes[axis], -1, 1, &s.low[axis], &s.high[axis]);
}

void infer_adjust(Inference& f) {
  f.need_image();
  const std::vector<int64_t>& x = f.x().shape;
  AdjustShape& s = f.node.forward.adjust_fwd;
  s.n = 1;
  s.pixels = x[0] * x[1], s.channels = x[2];
  s.kind = static_cast<Adjust>(f.attributes.choice("kind", {"brightness", "contrast"}));
  value_range(f, &s.minimum, &s.maximum);
  const bool contrast = s.kind == Adjust::kContrast;
  bounds(f, "factor", contrast ? 0 : -1, contrast ? 2 : 1, &s.low, &s.high);
  s.draw = draw_of(f);
}

void infer_erase(Inference& f) {
  f.need_image();
  const std::vector<int64_t>& x = f.x().shape;
  EraseShape& s = f.node.forward.erase;
  s.n = 1;
  s.h = x[0], s.w = x[1], s.c = x[2];
  for (int axis = 0; axis < 2; ++axis)
    if (x[axis] > kMostPixels)
      fail(Code::kShape, "%s: the input has %lld pixels along an axis, wanted at most %lld", f.label(),
           static_cast<long long>(x[axis]), static_cast<long long>(kMostPixels));
  bounds(f, "factor", 0, 1, &s.chance[0], &s.chance[1]);
  bounds(f, "scale", 0, 1, &s.scale[0], &s.scale[1]);
  value_range(f, &s.minimum, &s.maximum);
  s.draw = draw_of(f, 2);
  const int64_t fills = f.attributes.whole("fills");
  if (fills < 0 || fills > kMaxFills || (fills > 1 && fills != s.c))
    fail(Code::kArgument,
         "%s: fill_value has %lld numbers, wanted 1 or one for each of %lld channels, at most %d", f.label(),
         static_cast<long long>(fills), static_cast<long long>(s.c), kMaxFills);
  static const char* const keys[kMaxFills] = {"fill_0", "fill_1", "fill_2", "fill_3"};
  s.noise = fills == 0;
  s.fills = static_cast<int32_t>(fills);
  for (int64_t i = 0; i < fills; ++i)
    s.fill[i] = std::min(std::max(finite_float(f, keys[i]), s.minimum), s.maximum);
}

void infer_mix(Inference& f) {
  f.need_image();
  const std::vector<int64_t>& x = f.x().shape;
  MixShape& s = f.node.forward.mix;
  s.n = 1;
  s.h = x[0], s.w = x[1], s.c = x[2];
  s.boxed = f.attributes.choice("kind", {"up", "cut"});
  bounds(f, "alpha", 0, kMostAlpha, &s.low, &s.high);
  s.draw = draw_of(f, 2);
}

bool identity(const OpDescriptor& op) {
  const AffineShape& s = op.affine_fwd;
  switch (op.step) {
    case Step::k_affine_fwd:
      if (s.kind == Warp::kCrop) return false;
      if (s.kind == Warp::kResize) return s.p == s.size_h && s.q == s.size_w && s.p == s.h && s.q == s.w;
      return s.low[0] == 0 && s.low[1] == 0 && s.high[0] == 0 && s.high[1] == 0;
    case Step::k_erase:
      return op.erase.chance[1] == 0;
    default:
      return false;
  }
}

void forward(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  OpDescriptor op = augmentation(b.node(i), b.mode() == Mode::kTrain);
  if (op.step == Step::k_none) {
    b.rows[i] = b.rows[u];
    return forward_rename(b, i);
  }
  op = for_batch(op, b.n());
  op.math = b.math();
  const Ref x = b.rows_of(u), y = b.rows_like(i);
  b.add({op, {x}, {y}, b.node(i).name});
  b.set_rows(i, y);
}

void gradient(Builder& b, int i) {
  bool reads_x = false;
  OpDescriptor op = augmentation_bwd(b.node(i), &reads_x);
  if (op.step == Step::k_none) return gradient_rename(b, i);
  op = for_batch(op, b.n());
  op.math = b.math();
  const int u = b.node(i).inputs[0];
  const Ref dx = b.rows_like(u);
  std::vector<Ref> in = {b.in_lanes() ? b.from_lanes(i, b.gradient[i]) : b.gradient[i]};
  if (reads_x) in.push_back(b.rows_of(u));
  b.add({op, in, {dx}, b.node(i).name});
  b.contribute(u, b.in_lanes() ? b.to_lanes(u, dx) : dx);
}

void forward_mix(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  if (b.mode() != Mode::kTrain) {
    b.rows[i] = b.rows[u];
    return forward_rename(b, i);
  }
  OpDescriptor op = for_batch(node.forward, b.n());
  op.math = b.math();
  OpDescriptor draw = op;
  draw.step = Step::k_mix_draw;
  const auto whole = [&](int64_t count) { return b.tensor_of_bytes(count, sizeof(int64_t)); };
  const Ref index = whole(b.n()), weight = b.tensor(b.n()), box = op.mix.boxed ? whole(4 * b.n()) : Ref{};
  b.add({draw, {}, {index, weight, box}, node.name});
  b.saved[i] = {index, weight, box};
  const Ref x = b.rows_of(u), y = b.rows_like(i);
  b.add({op, {x, index, weight, box}, {y}, node.name});
  b.set_rows(i, y);
}

void gradient_mix(Builder& b, int i) {
  OpDescriptor op = for_batch(b.node(i).forward, b.n());
  op.step = Step::k_mix_bwd;
  op.math = b.math();
  const int u = b.node(i).inputs[0];
  const Ref dx = b.rows_like(u), dy = b.in_lanes() ? b.from_lanes(i, b.gradient[i]) : b.gradient[i];
  b.add({op, {dy, b.saved[i][0], b.saved[i][1], b.saved[i][2]}, {dx}, b.node(i).name});
  b.contribute(u, b.in_lanes() ? b.to_lanes(u, dx) : dx);
}

}  // namespace

std::vector<int> mixings_before(const Graph& graph, int node) {
  std::vector<bool> leads(graph.nodes.size());
  leads[node] = true;
  std::vector<int> found;
  for (int i = node; i >= 0; --i) {
    if (!leads[i]) continue;
    for (const int input : graph.nodes[i].inputs) leads[input] = true;
    if (graph.nodes[i].op == Op::k_mix) found.insert(found.begin(), i);
  }
  return found;
}

OpDescriptor augmentation(const Node& node, bool training) {
  OpDescriptor op = node.forward;
  const bool resizes = op.step == Step::k_affine_fwd && op.affine_fwd.kind == Warp::kResize;
  if (resizes && training && node.settings[0]) op.affine_fwd.kind = Warp::kCrop, op.affine_fwd.bilinear = 0;
  if ((!training && !resizes) || identity(op)) op.step = Step::k_none;
  return op;
}

OpDescriptor augmentation_bwd(const Node& node, bool* reads_x) {
  OpDescriptor op = augmentation(node, true);
  *reads_x = op.step == Step::k_adjust_fwd;
  if (op.step == Step::k_affine_fwd) op.step = Step::k_affine_bwd;
  if (op.step == Step::k_adjust_fwd) op.step = Step::k_adjust_bwd;
  if (op.step == Step::k_erase) {
    op.erase.noise = 0;
    op.erase.fills = 1;
    op.erase.fill[0] = 0;
  }
  return op;
}

const Rule rule_affine = {"Affine", 1, infer_affine, forward, gradient, nullptr, true};
const Rule rule_adjust = {"Adjust", 1, infer_adjust, forward, gradient, nullptr, true};
const Rule rule_erase = {"RandomErasing", 1, infer_erase, forward, gradient, nullptr, true};
const Rule rule_mix = {"MixUp", 1, infer_mix, forward_mix, gradient_mix, nullptr, true};

}  // namespace fastcnn

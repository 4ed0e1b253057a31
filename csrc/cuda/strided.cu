// SPDX-License-Identifier: Apache-2.0
// Steps that walk arrays of up to eight dimensions: two arrays into one, copies that pad, crop, permute,
// repeat and convert, the gather of a batch. One thread to an element of y, in y's order.
#include "stored.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kDims = kMaxRank + 1;

// Dimensions of y and the strides of two arrays along them; those of size 1 go, and neighbours that are
// evenly spaced in both become one.
struct Walk {
  int32_t rank;
  int64_t size[kDims], stride[2][kDims];

  void add(int64_t n, int64_t a, int64_t b) {
    if (n == 1) return;
    const int last = rank - 1;
    if (rank > 0 && stride[0][last] == n * a && stride[1][last] == n * b) {
      size[last] *= n, stride[0][last] = a, stride[1][last] = b;
    } else {
      size[rank] = n, stride[0][rank] = a, stride[1][rank] = b, ++rank;
    }
  }
  FASTCNN_INLINED void find(int64_t i, int64_t* a, int64_t* b) const {
    *a = *b = 0;
    for (int d = rank - 1; d >= 0; --d) {
      const int64_t rest = i / size[d], at = i - rest * size[d];
      *a += at * stride[0][d], *b += at * stride[1][d];
      i = rest;
    }
  }
};

int64_t elements(const int64_t* size, int64_t rank) {
  int64_t count = 1;
  for (int64_t d = 0; d < rank; ++d) count *= size[d];
  return count;
}

struct Sum {
  FASTCNN_INLINED float operator()(float a, float b) const { return a + b; }
};
struct Difference {
  FASTCNN_INLINED float operator()(float a, float b) const { return a - b; }
};
struct Product {
  FASTCNN_INLINED float operator()(float a, float b) const { return a * b; }
};
// A NaN on either side stays; of equal ones a is taken.
struct Maximum {
  FASTCNN_INLINED float operator()(float a, float b) const { return a >= b || a != a ? a : b; }
};
struct Minimum {
  FASTCNN_INLINED float operator()(float a, float b) const { return a <= b || a != a ? a : b; }
};

template <class F>
struct Combined {
  float scale;
  bool clamped;
  FASTCNN_INLINED float operator()(float a, float b) const {
    const float v = F{}(a, b) * scale;
    return clamped ? relu(v) : v;
  }
};

template <class T, class F>
void combine(const Prepared& p, const Operands& o, Context& context) {
  const BinaryShape& s = p.op.binary;
  const Walk walk = state<Walk>(p);
  const Combined<F> f = {s.scale, p.op.epilogue.activation == Activation::kRelu};
  const int64_t count = elements(s.size, s.rank);
  if (walk.rank == 1 && walk.stride[0][0] == 1 && walk.stride[1][0] == 1)
    return map_flat<true, T>(context, count, o, f);
  const T *const a = input<T>(o, 0), *const b = input<T>(o, 1);
  T* const y = output<T>(o, 0);
  for_each(context, count, [=] __device__(int64_t i) {
    int64_t at_a, at_b;
    walk.find(i, &at_a, &at_b);
    y[i] = f(float(a[at_a]), float(b[at_b]));
  });
}
template <class T>
void combine_any(const Prepared& p, const Operands& o, Context& context) {
  using Run = void (*)(const Prepared&, const Operands&, Context&);
  static const Run runs[] = {combine<T, Sum>, combine<T, Difference>, combine<T, Product>,
                             combine<T, Maximum>, combine<T, Minimum>};
  runs[int(p.op.binary.kind)](p, o, context);
}

struct HalfBits {
  uint16_t bits;
};
struct TruthByte {
  uint8_t byte;
};

template <class T>
FASTCNN_INLINE T read(const char* p) {  // of any alignment
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}
template <class T>
FASTCNN_INLINE float to_float(T value) {
  return float(value);
}
FASTCNN_INLINE float to_float(TruthByte value) { return value.byte != 0 ? 1.0f : 0.0f; }
// The exponent is moved by 112: twice for infinity and NaN; numbers below 2^-14 get a 1 in front of their
// fraction, which is then subtracted.
FASTCNN_INLINE float to_float(HalfBits value) {
  const uint32_t magnitude = uint32_t(value.bits & 0x7fff) << 13, exponent = magnitude & 0x0f800000;
  const uint32_t moved = magnitude + (112u << 23) +
                         (exponent == 0x0f800000 ? 112u << 23
                          : exponent == 0        ? 1u << 23
                                                 : 0);
  const float result = __int_as_float(int32_t(moved)) - (exponent == 0 ? 6.103515625e-05f : 0.0f);
  return __int_as_float(__float_as_int(result) | int32_t(uint32_t(value.bits & 0x8000) << 16));
}
// Numbers that no int32 holds become the lowest one.
FASTCNN_INLINE int32_t to_int(double value) {
  return value > -2147483649.0 && value < 2147483648.0 ? int32_t(value) : INT32_MIN;
}
FASTCNN_INLINE int32_t to_int(float value) { return to_int(double(value)); }
FASTCNN_INLINE int32_t to_int(HalfBits value) { return to_int(double(to_float(value))); }
FASTCNN_INLINE int32_t to_int(TruthByte value) { return value.byte != 0; }
template <class T>
FASTCNN_INLINE int32_t to_int(T value) {
  return int32_t(value);
}

template <class From>
void gather(const Prepared& p, const Operands& o, Context& context) {
  const GatherShape& s = p.op.gather;
  const Walk walk = state<Walk>(p);
  const int64_t sample = elements(s.shape, s.rank), stride = s.sample_stride;
  const auto* x = static_cast<const char*>(o.in[0]);
  const auto* index = static_cast<const int64_t*>(o.in[1]);
  const float scale = s.scale, offset = s.offset;
  void* const y = o.out[0];
  const bool ints = s.to == DType::kI32, narrow = p.op.storage == Storage::kNarrowing;
  const bool as_is = scale == 1.0f && offset == 0.0f;  // keeps the bits of -0
  for_each(context, s.n * sample, [=] __device__(int64_t i) {
    const int64_t n = i / sample;
    int64_t at, unused;
    walk.find(i - n * sample, &at, &unused);
    const From value = read<From>(x + (index ? index[n] : n) * stride + at);
    if (ints) {
      static_cast<int32_t*>(y)[i] = to_int(value);
    } else {
      const float number = to_float(value);
      const float scaled = as_is ? number : number * scale + offset;
      if (narrow)
        static_cast<Bfloat16*>(y)[i] = scaled;
      else
        static_cast<float*>(y)[i] = scaled;
    }
  });
}

// One array to another, as it lies.
bool is_whole(const CopyShape& s) {
  return s.rank == 1 && s.x_stride[0] == 1 && s.y_stride[0] == 1 && s.x_offset == 0 && s.y_offset == 0;
}

struct Padding {
  int32_t rank;
  int64_t size[kMaxRank], x_stride[kMaxRank], y_stride[kMaxRank], before[kMaxRank], inner[kMaxRank];
};

// y[i] = x[i], four numbers at a time.
template <class From, class To>
struct Converted {
  const From* x;
  To* y;
  int64_t count;

  bool in_fours() const { return aligned_to_fours<From>({x}) && aligned_to_fours<To>({y}); }
  FASTCNN_INLINED void operator()(int64_t i) const {
    if (4 * i + 4 > count) {
      for (int64_t j = 4 * i; j < count; ++j) y[j] = To(x[j]);
      return;
    }
    const auto from = Together<From, 4>::at(x + 4 * i);
    Together<To, 4> to;
    FASTCNN_UNROLL
    for (int j = 0; j < 4; ++j) to.of[j] = To(from.of[j]);
    to.put(y + 4 * i);
  }
};

template <class From, class To>
void copy(const Prepared& p, const Operands& o, Context& context) {
  const CopyShape& s = p.op.copy;
  if constexpr (sizeof(From) != sizeof(To)) {
    const Converted<From, To> all = {input<From>(o, 0), output<To>(o, 0), s.size[0]};
    if (is_whole(s) && all.in_fours()) return for_each(context, ceil_div(all.count, 4), all);
  }
  Padding at = {};
  at.rank = int32_t(s.rank);
  for (int d = 0; d < s.rank; ++d) {
    at.size[d] = s.size[d], at.x_stride[d] = s.x_stride[d], at.y_stride[d] = s.y_stride[d];
    at.before[d] = d ? s.before[d] : 0, at.inner[d] = d ? s.inner[d] : s.size[0];
  }
  const From* const x = input<From>(o, 0) + s.x_offset;
  To* const y = output<To>(o, 0) + s.y_offset;
  for_each(context, elements(s.size, s.rank), [=] __device__(int64_t i) {
    int64_t from = 0, to = 0;
    bool there = true;
    for (int d = at.rank - 1; d >= 0; --d) {
      const int64_t rest = i / at.size[d], of_y = i - rest * at.size[d], of_x = of_y - at.before[d];
      there = there && of_x >= 0 && of_x < at.inner[d];
      from += of_x * at.x_stride[d], to += of_y * at.y_stride[d];
      i = rest;
    }
    y[to] = there ? To(x[from]) : To(0.0f);
  });
}

template <class T>
struct ConcatenatedPart {
  const T* x;
  int64_t begin, length;
};
template <class T>
struct Concatenated {
  ConcatenatedPart<T> parts[kMaxParts];
  T* y;
  int64_t width, cols;
  FASTCNN_INLINED void operator()(int64_t i) const {
    const int64_t row = i / width, col = i - row * width;
    const T* x = nullptr;
    FASTCNN_UNROLL
    for (int k = 0; k < kMaxParts; ++k)
      if (col >= parts[k].begin) x = parts[k].x + row * parts[k].length + (col - parts[k].begin);
    y[row * cols + col] = *x;
  }
};

template <class T>
void concatenate(Context& context, const ConcatenateShape& s, const Operands& o) {
  Concatenated<T> all = {{}, output<T>(o, 0) + s.begin, s.width, s.cols};
  int64_t begin = 0;
  for (int k = 0; k < kMaxParts; ++k) {
    all.parts[k] = {input<T>(o, k), k < s.parts ? begin : s.width, s.length[k]};
    begin += s.length[k];
  }
  for_each(context, s.rows * s.width, all);
}

}  // namespace

bool supports_binary_nest(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (e.activation == Activation::kRelu) e.activation = Activation::kNone;
  return plain(e) && op.binary.rank >= 1 && op.binary.rank <= kMaxRank;
}
void prepare_binary_nest(Prepared* p) {
  const BinaryShape& s = p->op.binary;
  const double count = double(elements(s.size, s.rank));
  set_cost(p, count, 3 * bytes_of_number(p) * count);
  Walk& walk = state<Walk>(p);
  walk = {};
  for (int d = 0; d < s.rank; ++d) walk.add(s.size[d], s.a_stride[d], s.b_stride[d]);
}
void run_binary_nest(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, combine_any)(p, o, context);
}

bool supports_copy_strided(const OpDescriptor& op) {
  return plain(op.epilogue) && op.copy.rank >= 1 && op.copy.rank <= kMaxRank;
}
void prepare_copy_strided(Prepared* p) {
  const CopyShape& s = p->op.copy;
  const bool converts = p->op.storage == Storage::kWidening || p->op.storage == Storage::kNarrowing;
  const double bytes = converts ? sizeof(float) + sizeof(Bfloat16) : 2 * bytes_of_number(p);
  set_cost(p, 0, bytes * double(elements(s.size, s.rank)));
}
void run_copy_strided(const Prepared& p, const Operands& o, Context& context) {
  switch (p.op.storage) {
    case Storage::kWidening:
      return copy<Bfloat16, float>(p, o, context);
    case Storage::kNarrowing:
      return copy<float, Bfloat16>(p, o, context);
    case Storage::kBfloat16:
      return copy<Bfloat16, Bfloat16>(p, o, context);
    default:
      return copy<float, float>(p, o, context);
  }
}

bool supports_concatenate_rows(const OpDescriptor& op) {
  return plain(op.epilogue) && op.concatenate.parts >= 1 && op.concatenate.parts <= kMaxParts;
}
void prepare_concatenate_rows(Prepared* p) {
  const ConcatenateShape& s = p->op.concatenate;
  set_cost(p, 0, 2 * bytes_of_number(p) * double(s.rows * s.width));
}
void run_concatenate_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, concatenate)(context, p.op.concatenate, o);
}

bool supports_gather_strided(const OpDescriptor& op) {
  const DType to = op.gather.to;
  return op.gather.rank <= kMaxRank &&
         (to == DType::kF32 || (to == DType::kI32 && op.storage == Storage::kFloat32));
}
void prepare_gather_strided(Prepared* p) {
  const GatherShape& s = p->op.gather;
  const double count = double(s.n) * double(elements(s.shape, s.rank));
  set_cost(p, 2 * count, (sizeof(float) + bytes_of_number(p)) * count);
  Walk& walk = state<Walk>(p);
  walk = {};
  for (int d = 0; d < s.rank; ++d) walk.add(s.shape[d], s.strides[d], s.strides[d]);
}
void run_gather_strided(const Prepared& p, const Operands& o, Context& context) {
  using Run = void (*)(const Prepared&, const Operands&, Context&);
  static const Run runs[] = {gather<float>,   gather<double>,   gather<HalfBits>, gather<uint8_t>,
                             gather<int8_t>,  gather<uint16_t>, gather<int16_t>,  gather<uint32_t>,
                             gather<int32_t>, gather<uint64_t>, gather<int64_t>,  gather<TruthByte>};
  runs[int(p.op.gather.from)](p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn

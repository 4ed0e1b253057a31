// SPDX-License-Identifier: Apache-2.0
// y = scale f(a, b) with rows or single elements of a and b repeated, and dx = sum of g(dy, p, q) over the
// dimensions along which x was repeated. The order of a sum depends on its sizes and on the vector width
// alone. Called by cpu/binary.cpp.
#include "binary.h"

#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Columns of an operand that is contiguous, and of one that repeats an element.
struct Contiguous {
  FASTCNN_INLINED explicit Contiguous(const float* p) : p(p) {}
  template <class B>
  FASTCNN_INLINED Vec get(B block, int64_t c) const {
    return block.get(p + c);
  }
  const float* p;
};
struct Repeated {
  FASTCNN_INLINED explicit Repeated(const float* p) : v(broadcast(*p)) {}
  template <class B>
  FASTCNN_INLINED Vec get(B, int64_t) const {
    return v;
  }
  Vec v;
};

template <class A, class B, class F>
FASTCNN_INLINE void combine(const BinaryBlock& block, F f) {
  const BinaryBlock s = block;  // a copy of its own, which no store may alias
  const Vec scale = broadcast(s.scale);
  const bool narrow = s.size[2] < kLanes, single = s.size[2] == kLanes && !s.stream;
  const Part part{(int)s.size[2]};
  for (int64_t p = 0; p < s.size[0]; ++p)
    for (int64_t r = 0; r < s.size[1]; ++r) {
      const A a(s.a + p * s.a_stride[0] + r * s.a_stride[1]);
      const B b(s.b + p * s.b_stride[0] + r * s.b_stride[1]);
      float* y = s.y + p * s.y_stride[0] + r * s.y_stride[1];
      if (narrow) {
        part.put(y, f(a.get(part, 0), b.get(part, 0)) * scale);
        continue;
      }
      if (single) {  // with a loop of its own such a row took up to twice as long
        store(y, f(a.get(Whole<1>{}, 0), b.get(Whole<1>{}, 0)) * scale);
        continue;
      }
      const Output output(y, s.stream, 0);
      for_each_block<2>(s.size[2], [&](auto block, int64_t c) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int v = 0; v < block.kVectors; ++v, c += kLanes)
          output.put(block, y + c, f(a.get(block, c), b.get(block, c)) * scale);
      });
    }
  if (s.stream) end_stream();
}

// Short rows without gaps, and one row of b for all of them: as many rows of b as fill whole vectors, under
// which y and a pass as one long row. Row by row three channels took four times as long, 32 half as long
// again.
constexpr int64_t kRepeated = 64,
                  kUnder = 256;  // columns of b at most; floats that are laid out, if a has more

FASTCNN_INLINE int64_t period_of(int64_t cols) { return cols % kLanes ? cols * kLanes : cols; }

// In whole vectors, each copy under the next: number by number it took up to twice as long as what follows.
__attribute__((noinline)) void lay_out(const float* b, int64_t cols, int64_t period, float* row) {
  for (int64_t i = 0; i < period; i += cols)
    for_each_vector(cols,
                    [&](auto block, int64_t c) FASTCNN_INLINED { store(row + i + c, block.get(b + c)); });
}

template <bool kSwapped, class F>
FASTCNN_INLINE void combine_repeated_row(const BinaryBlock& s, F f) {
  const Vec scale = broadcast(s.scale);
  const int64_t cols = s.size[2], count = s.size[1] * cols;
  for (int64_t p = 0; p < s.size[0]; ++p) {
    const float* a = (kSwapped ? s.b + p * s.b_stride[0] : s.a + p * s.a_stride[0]);
    const float* b = (kSwapped ? s.a + p * s.a_stride[0] : s.b + p * s.b_stride[0]);
    float* y = s.y + p * s.y_stride[0];
    float row[(kRepeated * kLanes > 2 * kUnder ? kRepeated * kLanes : 2 * kUnder) + kLanes];
    const Output output(y, s.stream, 0);
    int64_t period = period_of(cols);
    lay_out(b, cols, period, row);
    for (; period < kUnder && 8 * period <= count; period *= 2)
      for (int64_t i = 0; i < period; i += kLanes) store(row + period + i, load(row + i));
    for (int64_t i = 0; i < count; i += period)
      for_each_vector(count - i < period ? count - i : period, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec mine = block.get(a + i + j), other = load(row + j);
        output.put(block, y + i + j, (kSwapped ? f(other, mine) : f(mine, other)) * scale);
      });
  }
  if (s.stream) end_stream();
}

// The same where b has one element for each such row: those of many rows are spread over memory first, which
// has stored them by the time that they are read again.
template <bool kSwapped, class F>
FASTCNN_INLINE void combine_repeated_element(const BinaryBlock& s, F f) {
  constexpr int64_t kRows = 64;
  const Vec scale = broadcast(s.scale);
  const int64_t cols = s.size[2], step = kSwapped ? s.a_stride[1] : s.b_stride[1];
  float spread[kRows * kLanes];
  for (int64_t p = 0; p < s.size[0]; ++p) {
    const float* a = (kSwapped ? s.b + p * s.b_stride[0] : s.a + p * s.a_stride[0]);
    const float* b = (kSwapped ? s.a + p * s.a_stride[0] : s.b + p * s.b_stride[0]);
    float* y = s.y + p * s.y_stride[0];
    const Output output(y, s.stream, 0);
    for (int64_t r = 0; r < s.size[1]; r += kRows) {
      const int64_t rows = s.size[1] - r < kRows ? s.size[1] - r : kRows;
      for (int64_t i = 0; i < rows; ++i) store(spread + i * cols, broadcast(b[(r + i) * step]));
      for_each_vector(rows * cols, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec mine = block.get(a + r * cols + j), other = block.get(spread + j);
        output.put(block, y + r * cols + j, (kSwapped ? f(other, mine) : f(mine, other)) * scale);
      });
    }
  }
  if (s.stream) end_stream();
}

template <class F>
FASTCNN_INLINE void combine(const BinaryBlock& s, F f) {
  const int64_t cols = s.size[2];
  const bool some = s.size[1] * cols >= 4 * period_of(cols);
  if (cols > 1 && (cols < kLanes || (cols <= kRepeated && some)) && s.y_stride[1] == cols && s.a_stride[2] &&
      s.b_stride[2]) {
    if (s.a_stride[1] == cols && s.b_stride[1] == 0) return combine_repeated_row<false>(s, f);
    if (s.b_stride[1] == cols && s.a_stride[1] == 0) return combine_repeated_row<true>(s, f);
  }
  if (cols > 1 && cols < kLanes && s.y_stride[1] == cols) {
    if (s.a_stride[2] && s.a_stride[1] == cols && !s.b_stride[2])
      return combine_repeated_element<false>(s, f);
    if (s.b_stride[2] && s.b_stride[1] == cols && !s.a_stride[2]) return combine_repeated_element<true>(s, f);
  }
  if (s.size[2] == 1 || (s.a_stride[2] && s.b_stride[2])) return combine<Contiguous, Contiguous>(s, f);
  if (s.a_stride[2]) return combine<Contiguous, Repeated>(s, f);
  combine<Repeated, Contiguous>(s, f);
}

void add(const BinaryBlock& s) {
  combine(s, [](Vec a, Vec b) FASTCNN_INLINED { return a + b; });
}
void subtract(const BinaryBlock& s) {
  combine(s, [](Vec a, Vec b) FASTCNN_INLINED { return a - b; });
}
void multiply(const BinaryBlock& s) {
  combine(s, [](Vec a, Vec b) FASTCNN_INLINED { return a * b; });
}
// A NaN on either side stays; of equal ones a is taken.
void maximum(const BinaryBlock& s) {
  combine(s, [](Vec a, Vec b) FASTCNN_INLINED { return ((a >= b) | (a != a)) ? a : b; });
}
void minimum(const BinaryBlock& s) {
  combine(s, [](Vec a, Vec b) FASTCNN_INLINED { return ((a <= b) | (a != a)) ? a : b; });
}

// What is summed: each has its operands at one place of the outer loops, and value(block, c).
struct All {
  static constexpr bool kOften = true;
  FASTCNN_INLINED All(const SumBlock&, const float* dy, const float*, const float*) : dy(dy) {}
  template <class B>
  FASTCNN_INLINED Vec value(B block, int64_t c) const {
    return block.get(dy + c);
  }
  const float* dy;
};
template <class P>
struct Product {
  static constexpr bool kOften = true;
  FASTCNN_INLINED Product(const SumBlock&, const float* dy, const float* p, const float*) : dy(dy), p(p) {}
  template <class B>
  FASTCNN_INLINED Vec value(B block, int64_t c) const {
    return block.get(dy + c) * p.get(block, c);
  }
  const float* dy;
  P p;
};
template <class P, class Q>
struct Selected {
  static constexpr bool kOften = false;
  FASTCNN_INLINED Selected(const SumBlock& s, const float* dy, const float* p, const float* q)
      : dy(dy), p(p), q(q), sign(broadcast(s.sign)), want(IVec{} - s.want) {}
  template <class B>
  FASTCNN_INLINED Vec value(B block, int64_t c) const {
    const Vec a = p.get(block, c), b = q.get(block, c);
    const IVec wins = (a * sign >= b * sign) | (a != a);
    return bits_to_vec(vec_to_bits(block.get(dy + c)) & ~(wins ^ want));
  }
  const float* dy;
  P p;
  Q q;
  Vec sign;
  IVec want;
};

// f(g) for every place of the sums of one row.
template <class G, class F>
FASTCNN_INLINE void for_each_term(const SumBlock& s, int64_t row, F f) {
  for (int64_t i = 0; i < s.terms[0]; ++i)
    for (int64_t j = 0; j < s.terms[1]; ++j)
      for (int64_t k = 0; k < s.terms[2]; ++k) {
        const auto at = [&](int t) FASTCNN_INLINED {
          return row * s.row[t] + i * s.term[t][0] + j * s.term[t][1] + k * s.term[t][2];
        };
        f(G(s, s.dy + at(0), s.p + at(1), s.q + at(2)));
      }
}

template <class G>
__attribute__((noinline)) void sum_columns(const SumBlock& s) {
  const Vec scale = broadcast(s.scale);
  for (int64_t row = 0; row < s.rows; ++row) {
    float* dx = s.dx + row * s.dx_row;
    for_each_block<4>(s.cols, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec sum[kVectors] = {};
      for_each_term<G>(s, row, [&](const G& g) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[v] += g.value(block, c + v * kLanes);
      });
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) block.put(dx + c + v * kLanes, sum[v] * scale);
    });
  }
}

// Few columns, with terms that in each operand lie without gaps or are all the same: as many terms as fill a
// vector, of long sums kLanes of them, stand side by side as columns of their own, whose sums are added last.
// Term by term 3 channels took seven times as long, 12 twice.
constexpr int64_t kFolded = 1024;  // floats that are laid out, or summed before they are added

bool close(const SumBlock& s, const int64_t (&stride)[3]) {
  for (int t = 0; t < 3; ++t)
    if (!s.col[t] || (stride[t] && stride[t] != s.cols)) return false;
  return true;
}

int64_t terms_together(const SumBlock& s) {
  const int64_t stride[3] = {s.term[0][2], s.term[1][2], s.term[2][2]};
  const int64_t together = s.terms[2] >= 4 * kLanes ? kLanes : kLanes / s.cols;
  return s.terms[2] >= 2 * together && close(s, stride) ? together : 1;
}

__attribute__((noinline)) void fold(const SumBlock& s, int64_t together, void (*sum)(const SumBlock&)) {
  const int64_t cols = together * s.cols, most = kFolded / cols;
  const int few = (int)s.cols;
  float sums[kFolded], laid[kFolded + kLanes];
  SumBlock folded = s, rest = s;
  folded.cols = folded.dx_row = cols, folded.dx = sums, folded.scale = 1;
  folded.terms[2] = s.terms[2] / together, rest.terms[2] = s.terms[2] % together;
  for (int t = 0; t < 3; ++t) folded.term[t][2] *= together;
  for (int64_t row = 0; row < s.rows; row += most) {
    folded.rows = rest.rows = s.rows - row < most ? s.rows - row : most;
    const float* at[3] = {s.dy + row * s.row[0], s.p + row * s.row[1], s.q + row * s.row[2]};
    const auto after = [&](int t) FASTCNN_INLINED { return at[t] + folded.terms[2] * folded.term[t][2]; };
    rest.dy = after(0), rest.p = after(1), rest.q = after(2), rest.dx = s.dx + row * s.dx_row;
    for (int t = 0; t < 3; ++t) {
      if (s.term[t][2]) continue;
      for (int64_t r = 0; r < folded.rows; ++r) lay_out(at[t] + r * s.row[t], s.cols, cols, laid + r * cols);
      at[t] = laid, folded.row[t] = cols;
    }
    folded.dy = at[0], folded.p = at[1], folded.q = at[2];
    sum(folded);
    sum(rest);
    for (int64_t r = 0; r < folded.rows; ++r) {
      Vec total = {};
      for (int64_t c = 0; c < cols; c += few) total += load_n(sums + r * cols + c, few);
      float* dx = rest.dx + r * s.dx_row;
      store_n(dx, load_n(dx, few) + total * broadcast(s.scale), few);
    }
  }
}

// Rows of few columns that are no sums: many as one, which took an eighth of the time of 3 channels.
int64_t rows_together(const SumBlock& s) {
  const bool sums = s.terms[0] * s.terms[1] * s.terms[2] != 1;
  return s.dx_row == s.cols && !sums && close(s, s.row) ? kFolded / s.cols : 1;
}

__attribute__((noinline)) void join(const SumBlock& s, int64_t together, void (*sum)(const SumBlock&)) {
  float laid[kFolded + kLanes];
  if (s.rows < together) together = s.rows;
  const float* at[3] = {s.dy, s.p, s.q};
  for (int t = 0; t < 3; ++t)
    if (!s.row[t]) lay_out(at[t], s.cols, together * s.cols, laid), at[t] = laid;
  SumBlock joined = s;
  joined.rows = 1;
  for (int64_t row = 0; row < s.rows; row += together) {
    joined.cols = (s.rows - row < together ? s.rows - row : together) * s.cols;
    joined.dy = at[0] + row * s.row[0], joined.p = at[1] + row * s.row[1], joined.q = at[2] + row * s.row[2];
    joined.dx = s.dx + row * s.cols;
    sum(joined);
  }
}

template <class G>
FASTCNN_INLINE void sum_kept(const SumBlock& s) {
  if (s.cols < kLanes) {
    const int64_t terms = terms_together(s), rows = rows_together(s);
    if (terms > 1) return fold(s, terms, sum_columns<G>);
    if (rows > 1) return join(s, rows, sum_columns<G>);
  }
  sum_columns<G>(s);
}

// Short rows, each a sum of its own: of kLanes rows the lanes are added at once. Row by row 3 to 24 columns
// took three times as long.
template <class G>
FASTCNN_INLINE void sum_short_rows(const SumBlock& block) {
  const SumBlock s = block;
  const Vec scale = broadcast(s.scale);
  const Part part{(int)s.cols};
  for (int64_t first = 0; first < s.rows; first += kLanes) {
    const int rows = s.rows - first < kLanes ? (int)(s.rows - first) : kLanes;
    Vec sums[kLanes] = {};
    for (int r = 0; r < rows; ++r) {
      const int64_t row = first + r;
      const G g(s, s.dy + row * s.row[0], s.p + row * s.row[1], s.q + row * s.row[2]);
      if (s.cols < kLanes) {  // without a loop of its own, half as long
        sums[r] = part.only(g.value(part, 0), Vec{});
        continue;
      }
      Vec sum = {};
      for_each_vector(s.cols, [&](auto block, int64_t c)
                                  FASTCNN_INLINED { sum += block.only(g.value(block, c), Vec{}); });
      sums[r] = sum;
    }
    const Vec total = lane_sums(sums) * scale;
    store_n(s.dx + first, total, rows);  // which are the last of dx
  }
}

// Four chains of additions.
template <class G>
FASTCNN_INLINE void sum_last(const SumBlock& s) {
  if constexpr (G::kOften)
    if (s.terms[0] * s.terms[1] * s.terms[2] == 1 && s.cols < 4 * kLanes) return sum_short_rows<G>(s);
  for (int64_t row = 0; row < s.rows; ++row) {
    Vec sum[4] = {};
    for_each_term<G>(s, row, [&](const G& g) FASTCNN_INLINED {
      for_each_block<4>(s.cols, [&](auto block, int64_t c) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int v = 0; v < block.kVectors; ++v) sum[v] += block.only(g.value(block, c + v * kLanes), Vec{});
      });
    });
    s.dx[row * s.dx_row] = lane_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) * s.scale;
  }
}

struct Kept {
  template <class G>
  FASTCNN_INLINED static void run(const SumBlock& s) {
    sum_kept<G>(s);
  }
};
struct Last {
  template <class G>
  FASTCNN_INLINED static void run(const SumBlock& s) {
    sum_last<G>(s);
  }
};

template <class Way>
void sum_all(const SumBlock& s) {
  Way::template run<All>(s);
}
template <class Way>
void sum_product(const SumBlock& s) {
  if (s.cols == 1 || s.col[1]) return Way::template run<Product<Contiguous>>(s);
  Way::template run<Product<Repeated>>(s);
}
template <class Way>
void sum_selected(const SumBlock& s) {
  if (s.cols == 1 || (s.col[1] && s.col[2])) return Way::template run<Selected<Contiguous, Contiguous>>(s);
  if (s.col[1]) return Way::template run<Selected<Contiguous, Repeated>>(s);
  Way::template run<Selected<Repeated, Contiguous>>(s);
}

}  // namespace

extern const BinaryKernels binary_kernels;
const BinaryKernels binary_kernels = {{add, subtract, multiply, maximum, minimum},
                                      {sum_all<Kept>, sum_product<Kept>, sum_selected<Kept>},
                                      {sum_all<Last>, sum_product<Last>, sum_selected<Last>}};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn

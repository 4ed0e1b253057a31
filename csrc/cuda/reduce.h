// SPDX-License-Identifier: Apache-2.0
// Sums in two stages: parts that are cut by shape alone, then their sum in the order of the parts.
#pragma once
#include "stored.h"

FASTCNN_FORMULAS_BEGIN

struct PartialSums {
  const float* at;  // [parts, count]
  int64_t count, parts;
};

// store(sum of the parts, i), by a block for each eight outputs, which are neighbours in memory: 32 threads
// add the parts of one, and then the lanes of a warp those.
template <class Store>
__global__ void __launch_bounds__(kThreads) each_sum(PartialSums from, Store store) {
  constexpr int kAcross = kThreads / kWarp;
  __shared__ float sums[kWarp][kAcross + 1];
  const int beside = int(threadIdx.x) % kAcross, rank = int(threadIdx.x) / kAcross;
  for (int64_t first = int64_t(blockIdx.x) * kAcross; first < from.count;
       first += int64_t(kAcross) * gridDim.x) {
    float sum = 0.0f;
    if (first + beside < from.count)
      for (int64_t part = rank; part < from.parts; part += kWarp)
        sum += from.at[part * from.count + first + beside];
    __syncthreads();  // the last sums have been read
    sums[rank][beside] = sum;
    __syncthreads();
    const int64_t i = first + Team<kWarp>::number();
    sum = Team<kWarp>::sum(sums[Team<kWarp>::rank()][Team<kWarp>::number()]);
    if (Team<kWarp>::rank() == 0 && i < from.count) store(sum, i);
  }
}

// store(sum of the parts, i). Many parts are a team's: one thread would wait for one after the other.
template <class Store>
void store_sums(Context& context, const PartialSums& from, Store store) {
  if (from.parts <= kWarp)
    return for_each(context, from.count, [=] __device__(int64_t i) {
      float sum = from.at[i];
      for (int64_t part = 1; part < from.parts; ++part) sum += from.at[part * from.count + i];
      store(sum, i);
    });
  if (from.parts <= kShortRow) {
    FASTCNN_LAUNCH(each_sum<Store>, blocks_for(from.count, kThreads / kWarp), kThreads, stream_of(context))
    (from, store);
    return;
  }
  for_each_block(context, from.count, [=] __device__(auto team, int64_t i) {
    float sum = 0.0f;
    for (int64_t part = team.rank(); part < from.parts; part += team.kWidth)
      sum += from.at[part * from.count + i];
    sum = team.sum(sum);
    if (team.rank() == 0) store(sum, i);
  });
}

// y[i] = finish(sum of the parts, i)
template <class T, class F>
void sum_parts(Context& context, const PartialSums& from, T* y, F finish) {
  store_sums(context, from, [=] __device__(float sum, int64_t i) { y[i] = finish(sum, i); });
}
struct AsItIs {
  FASTCNN_INLINED float operator()(float sum, int64_t) const { return sum; }
};
template <class T>
void sum_parts(Context& context, const PartialSums& from, T* y) {
  sum_parts(context, from, y, AsItIs{});
}

// Where a product puts its sums as they are: a split one its parts; one that widens y itself, of which they
// are the only part. Null: nowhere.
inline float* parts_of(const Prepared& p, bool split, const Operands& o, const Context& context) {
  if (split) return static_cast<float*>(context.workspace);
  return p.op.storage == Storage::kWidening ? output(o, 0) : nullptr;
}
// y, of Ts or widened, from its parts.
template <class T>
void add_parts(Context& context, const Prepared& p, const PartialSums& from, const Operands& o) {
  if (p.op.storage == Storage::kWidening)
    sum_parts(context, from, output(o, 0));
  else
    sum_parts(context, from, output<T>(o, 0));
}

// How a sum of `length` terms for each of `outputs` is cut: few parts of at least kLeastPart terms, so that
// there is work for a whole GPU.
constexpr int64_t kLeastPart = 64, kEnoughThreads = 1 << 16;
struct Cut {
  int64_t parts, each;
};
inline Cut cut_sum(int64_t outputs, int64_t length) {
  int64_t parts = ceil_div(kEnoughThreads, outputs);
  const int64_t most = ceil_div(length, kLeastPart);
  parts = parts < most ? parts : most;
  const int64_t each = ceil_div(length, parts < 1 ? 1 : parts);
  return {ceil_div(length, each), each};
}

// Few terms in all: one launch, in which a team takes an output, saves more than its scattered reads cost.
constexpr int64_t kFewTerms = 1 << 17, kShortSum = 4096;
inline bool is_small_sum(int64_t outputs, int64_t length) {
  return length > 1 && length <= kShortSum && outputs <= kFewTerms / length;
}

// store(sum over t below length of term(i, t), i), a thread to each output and part; neighbouring outputs
// should be neighbours in memory. The workspace has room for parts * outputs, if parts > 1.
template <class Term, class Store>
void store_sums_of(Context& context, int64_t outputs, int64_t length, Term term, Store store) {
  if (is_small_sum(outputs, length))
    return for_each_row(context, outputs, length, [=] __device__(auto team, int64_t i) {
      float sum = 0.0f;
      for (int64_t t = team.rank(); t < length; t += team.kWidth) sum += term(i, t);
      sum = team.sum(sum);
      if (team.rank() == 0) store(sum, i);
    });
  const Cut cut = cut_sum(outputs, length);
  float* const to = static_cast<float*>(context.workspace);
  const bool whole = cut.parts == 1;
  for_each(context, outputs * cut.parts, [=] __device__(int64_t i) {
    const int64_t part = i / outputs, at = i - part * outputs;
    const int64_t begin = part * cut.each, end = begin + cut.each < length ? begin + cut.each : length;
    float sum = 0.0f;
    for (int64_t t = begin; t < end; ++t) sum += term(at, t);
    if (whole)
      store(sum, at);
    else
      to[i] = sum;
  });
  if (!whole) store_sums(context, {to, outputs, cut.parts}, store);
}
inline size_t sum_terms_bytes(int64_t outputs, int64_t length) {
  const Cut cut = cut_sum(outputs, length);
  return cut.parts > 1 && !is_small_sum(outputs, length) ? sizeof(float) * size_t(outputs * cut.parts) : 0;
}

// y[i] = finish(that sum, i)
template <class T, class Term, class F>
void sum_terms(Context& context, int64_t outputs, int64_t length, T* y, Term term, F finish) {
  store_sums_of(context, outputs, length, term,
                [=] __device__(float sum, int64_t i) { y[i] = finish(sum, i); });
}

// db[c] = sum over rows of dy[rows, cols]
template <class T>
void column_sum(Context& context, const T* dy, int64_t rows, int64_t cols, float* db) {
  sum_terms(
      context, cols, rows, db, [=] __device__(int64_t c, int64_t row) { return float(dy[row * cols + c]); },
      AsItIs{});
}

FASTCNN_FORMULAS_END

// SPDX-License-Identifier: Apache-2.0
// Where csrc/cuda/strip.h puts the elements of a strip: each in a place of its own, fours from global memory
// side by side, and neither the lanes that bring fours nor those that read an instruction's operands meet in
// a bank. And walk.h's divisions by a multiplication.
#include "cuda/strip.h"

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <random>
#include <set>

namespace {

using namespace fastcnn::cuda;

bool right = true;
void expect(bool holds, const char* what, int kOuter, bool inner_fast) {
  if (!holds) std::printf("%s, %d wide, inner fast %d\n", what, kOuter, inner_fast), right = false;
}

constexpr int kBanks = 32, kLanesOf16Bytes = 8;  // which share one turn of the banks

template <bool kInnerFast, int kOuter, int kSize>
void check() {
  constexpr int kSixteen = 16 / kSize, kDepth = kStripK * 4 / kSize;
  std::set<int> places;
  for (int outer = 0; outer < kOuter; ++outer)
    for (int k = 0; k < kDepth; ++k) places.insert(strip_place<kInnerFast, kOuter, kSize>(outer, k));
  expect(int(places.size()) == kOuter * kDepth && *places.begin() == 0 &&
             *places.rbegin() == kOuter * kDepth - 1,
         "places are not those of the strip", kOuter, kInnerFast);

  // Fours: whole, aligned, all of them once; eight lanes in eight groups of banks.
  std::set<int> fours;
  for (int four = 0; four < kOuter * kStripK / 4; ++four) {
    const StripPlace at = strip_sixteen<kInnerFast, kOuter, kSize>(four);
    const int place = strip_place<kInnerFast, kOuter, kSize>(at.outer, at.k);
    expect(place % kSixteen == 0, "a four is not aligned", kOuter, kInnerFast);
    for (int j = 1; j < kSixteen; ++j)
      expect(strip_place<kInnerFast, kOuter, kSize>(at.outer + (kInnerFast ? 0 : j),
                                                    at.k + (kInnerFast ? j : 0)) == place + j,
             "a four is torn", kOuter, kInnerFast);
    fours.insert(place);
    if (four % kLanesOf16Bytes == 0) {
      std::set<int> banks;
      for (int lane = 0; lane < kLanesOf16Bytes; ++lane) {
        const StripPlace with = strip_sixteen<kInnerFast, kOuter, kSize>(four + lane);
        banks.insert(strip_place<kInnerFast, kOuter, kSize>(with.outer, with.k) / kSixteen % (kBanks / 4));
      }
      expect(banks.size() == kLanesOf16Bytes, "lanes that write meet in a bank", kOuter, kInnerFast);
    }
  }
  expect(int(fours.size()) == kOuter * kStripK / 4, "some fours are brought twice", kOuter, kInnerFast);

  for (int outer = 0; outer < kOuter; outer += 8)
    for (int k = 0; k < kDepth; k += kSize == 2 ? 8 : 4) {
      std::set<int> banks;
      if (kInnerFast || kSize == 2)  // eight rows of 16 bytes, along the sum or across
        for (int row = 0; row < 8; ++row)
          banks.insert(strip_place<kInnerFast, kOuter, kSize>(outer + (kInnerFast ? row : 0),
                                                              k + (kInnerFast ? 0 : row)) /
                       kSixteen % 8);
      else  // a float for each lane
        for (int lane = 0; lane < 32; ++lane)
          banks.insert(strip_place<kInnerFast, kOuter, kSize>(outer + lane / 4, k + lane % 4) % kBanks);
      expect(banks.size() == (kInnerFast || kSize == 2 ? 8 : 32), "lanes that read meet in a bank", kOuter,
             kInnerFast);
    }
}

void check_divisors() {
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    const int32_t by = 1 + int32_t(random() >> 1 >> random() % 31) % INT32_MAX;
    const Divisor divisor = Divisor::of(by);
    for (const int32_t n :
         {int32_t(random() >> 1), int32_t(random() >> 1 >> random() % 31), 0, by - 1, by, INT32_MAX})
      if (n / divisor != n / by) {
        std::printf("%d / %d is %d\n", n, by, n / divisor);
        right = false;
        return;
      }
  }
}

}  // namespace

int main() {
  check<true, 128, 4>(), check<true, 64, 4>(), check<false, 128, 4>(), check<false, 64, 4>();
  check<true, 128, 2>(), check<true, 64, 2>(), check<false, 128, 2>(), check<false, 64, 2>();
  check_divisors();
  std::printf(right ? "right\n" : "wrong\n");
  return !right;
}

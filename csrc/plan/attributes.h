// SPDX-License-Identifier: Apache-2.0
// What the user wrote of one node, by key. python/network.cpp reads it from a dict; the rules of operators
// ask for what belongs to them. Every function throws an Error that names the layer, the key, what came and
// what was wanted.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "validate_conv.h"

namespace fastcnn {

class Attributes {
 public:
  virtual ~Attributes() = default;
  virtual bool has(const char* key) const = 0;
  virtual int64_t whole(const char* key) const = 0;
  virtual double real(const char* key) const = 0;
  virtual bool flag(const char* key) const = 0;
  virtual std::string text(const char* key) const = 0;
  // The position of the value among the names.
  virtual int choice(const char* key, std::initializer_list<const char*> names) const = 0;
  // One number for both axes, or two.
  virtual void pair(const char* key, int64_t out[2]) const = 0;
  virtual std::vector<int64_t> list(const char* key) const = 0;
  // One number for all axes, or one for each.
  virtual void sizes(const char* key, int rank, int64_t* out) const = 0;
  // From "strides", "padding", and "dilation_rate", "groups" and "output_padding" where there are any.
  virtual ConvWindow conv_window(int rank, bool causal) const = 0;
};

}  // namespace fastcnn

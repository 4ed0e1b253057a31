// SPDX-License-Identifier: Apache-2.0
// How a failure travels: as a Status across the device boundary (plain C), as an Error inside plan/ and
// python/. The codes name the Python exceptions that python/module.cpp turns them into.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace fastcnn {

enum class Code : int32_t { kOk, kShape, kArgument, kDType, kDevice, kMemory, kLost };

struct Status {
  Code code;
  char message[400];
};

struct Error : std::runtime_error {
  Error(Code c, const std::string& message) : std::runtime_error(message), code(c) {}
  Code code;
};

// fail(Code::kShape, "%s: x has rank %d, wanted 4", op, rank)
[[noreturn]] __attribute__((format(printf, 2, 3))) inline void fail(Code code, const char* format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  throw Error(code, text);
}

inline void check(const Status& status) {
  if (status.code != Code::kOk) throw Error(status.code, status.message);
}

}  // namespace fastcnn

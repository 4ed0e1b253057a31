// SPDX-License-Identifier: Apache-2.0
#include "pool_window.h"

#include <algorithm>

namespace fastcnn {
PoolWindow pool_window(const char* op, int axes, const PoolArguments& arguments) {
  PoolWindow window;
  sizes(op, "pool_size", arguments.pool_size, axes, window.size);
  const py::handle strides = arguments.strides.is_none() ? arguments.pool_size : arguments.strides;
  const py::int_ groups(1);
  window.walk =
      conv_window(op, axes, {strides, arguments.padding, arguments.dilation_rate, groups, py::none(), false});
  window.ceil_mode = truth(op, "ceil_mode", arguments.ceil_mode);
  window.count_include_pad = truth(op, "count_include_pad", arguments.count_include_pad);
  return window;
}

void adaptive_size(const char* op, py::handle value, int axes, const int64_t* x, int64_t* out) {
  if (!is_sequence(value)) {
    std::fill_n(out, axes, whole_number(op, "output_size", value));
    return;
  }
  const auto items = py::reinterpret_borrow<py::sequence>(value);
  if (static_cast<int>(items.size()) != axes)
    fail(Code::kArgument, "%s: output_size has %zu entries, wanted %d", op, items.size(), axes);
  for (int i = 0; i < axes; ++i) {
    const py::object item(items[i]);
    out[i] = item.is_none() ? x[1 + i] : whole_number(op, "output_size", item);
  }
}

}  // namespace fastcnn

// SPDX-License-Identifier: Apache-2.0
#include "conv_window.h"

#include <algorithm>

namespace fastcnn {
namespace {

void explicit_padding(const char* op, py::handle value, ConvWindow* window) {
  const int rank = window->rank;
  window->padding = ConvWindow::kExplicit;
  const bool nested = is_sequence(value) && PySequence_Size(value.ptr()) == rank &&
                      is_sequence(py::object(py::reinterpret_borrow<py::sequence>(value)[0]));
  if (!nested) {
    sizes(op, "padding", value, rank, window->before);
    std::copy(window->before, window->before + rank, window->after);
    return;
  }
  const auto sides = py::reinterpret_borrow<py::sequence>(value);
  for (int i = 0; i < rank; ++i) {
    int64_t pair[2];
    whole_numbers(op, "padding (before, after)", py::object(sides[i]), 2, pair);
    window->before[i] = pair[0], window->after[i] = pair[1];
  }
}

}  // namespace

void sizes(const char* op, const char* argument, py::handle value, int rank, int64_t* out) {
  if (is_sequence(value)) return whole_numbers(op, argument, value, rank, out);
  std::fill_n(out, rank, whole_number(op, argument, value));
}

ConvWindow conv_window(const char* op, int rank, const ConvArguments& arguments) {
  ConvWindow window;
  window.rank = rank;
  sizes(op, "strides", arguments.strides, rank, window.strides);
  sizes(op, "dilation_rate", arguments.dilation_rate, rank, window.dilation_rate);
  if (!PyUnicode_Check(arguments.padding.ptr())) {
    explicit_padding(op, arguments.padding, &window);
  } else if (arguments.causal) {
    const ConvWindow::Kind kinds[] = {ConvWindow::kValid, ConvWindow::kSame, ConvWindow::kCausal};
    window.padding = kinds[choice(op, "padding", arguments.padding, {"valid", "same", "causal"})];
  } else {
    window.padding =
        choice(op, "padding", arguments.padding, {"valid", "same"}) ? ConvWindow::kSame : ConvWindow::kValid;
  }
  window.groups = whole_number(op, "groups", arguments.groups);
  window.output_padding_given = !arguments.output_padding.is_none();
  if (window.output_padding_given)
    sizes(op, "output_padding", arguments.output_padding, rank, window.output_padding);
  return window;
}

}  // namespace fastcnn

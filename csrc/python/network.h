// SPDX-License-Identifier: Apache-2.0
// A network as Python describes it, a list of dictionaries, turned into the layers that plan/graph.h reads.
#pragma once
#include <vector>

#include "../plan/graph.h"
#include "array.h"

namespace fastcnn {

// The entry of this name; throws ArgumentError if there is none.
py::object required(const char* op, const py::dict& dict, const char* key);

// The items of a list or tuple.
py::list list_of(const py::handle& value, const char* op, const char* argument);

// Types are checked here, values by build_graph().
std::vector<Layer> read_layers(const py::list& nodes);
// None: the last node.
std::vector<int64_t> read_outputs(const py::handle& outputs);

}  // namespace fastcnn

// SPDX-License-Identifier: Apache-2.0
// Arrays in a GPU's memory: views of CuPy's arrays and of what CuPy takes without a copy, memory from CuPy's
// pool, steps on CuPy's current stream. CuPy and fastcnn's object for GPUs are loaded with the first such
// array; whatever is missing is a DeviceError that says so.
#pragma once
#include "../plan/place.h"
#include "array.h"

namespace fastcnn {

// Exact NumPy arrays are not asked.
bool is_on_gpu(py::handle value);
ArrayView gpu_view(const char* op, const char* argument, py::handle value);

// New memory for an array, of bfloat16 if of kU16; `what` is for the message.
Array gpu_array(const char* op, const char* what, Sizes shape, DType dtype);
py::object to_numpy(const ArrayView& v);

const Backend& gpu_backend();
// For models; throws what is missing.
Place gpu_place();
// The kernels alone, whether there is a GPU or not.
const Backend& gpu_kernels();
// Of the steps that run_on_gpu() is given from now on.
void set_gpu_precision(py::handle precision);
void run_on_gpu(OpDescriptor op, Storage storage, const Operands& operands, const RunScalars* scalars);
// Whether all of these, in a GPU's memory, are from 0 to last.
bool gpu_within(const int32_t* numbers, int64_t count, int32_t last);
// Between the memory of a GPU and any other; complete on return.
void gpu_copy(void* to, const void* from, size_t bytes);

}  // namespace fastcnn

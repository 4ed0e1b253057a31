// SPDX-License-Identifier: Apache-2.0
// A native session as Python holds it: with the arrays that it reads and writes, and the function that
// measures outputs with an external loss.
#pragma once
#include <memory>

#include "../plan/session.h"
#include "array.h"

namespace fastcnn {

struct PySessionArguments {
  py::handle mode, x, y, out, batch_size, sample_weight, external, where;
};

class PySession {
 public:
  PySession(const std::shared_ptr<Model>& model, const PySessionArguments& from);

  int64_t run(py::handle order, py::handle begin, py::handle seconds, py::handle rates, py::handle end);
  // The shape of a sample of each output's targets as layers mix them in training; None where none does.
  py::list mixed_shapes() const;
  // Where they go in a session that writes predictions too: dense float32 [as many rows as those, *shape].
  void write_mixed(py::handle mixed);
  Session& session() { return *session_; }

 private:
  void write_to(const char* op, const py::tuple& outs, int64_t rows, Inputs inputs);
  void measure_by(py::handle function);
  void measure(py::handle function, size_t output, int64_t batch, const float* predictions, float* gradient,
               LossResult* result) const;

  const std::shared_ptr<Model> model_;
  py::list keep_;
  std::unique_ptr<Session> session_;
  int64_t rows_ = 0;  // that are written
};

// One value, or a tuple of them: of a model with several inputs or outputs.
py::tuple one_or_several(py::handle value);
Mode mode_of(const char* op, py::handle mode);

void bind_session(py::module_& m);

}  // namespace fastcnn

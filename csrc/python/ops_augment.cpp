// SPDX-License-Identifier: Apache-2.0
// Augmentation outside of a plan: the operator of one node on an array of images, with the numbers that a
// seed and a step give, its gradient, and samples mixed in pairs.
#include <algorithm>

#include "../cpu/cpu.h"
#include "../plan/operator.h"
#include "eager.h"
#include "gpu.h"
#include "network.h"
#include "ops.h"

namespace fastcnn {
namespace {

// The last node of an input and an augmentation of it.
Node last_node(const py::list& nodes) {
  Graph graph = build_graph(read_layers(nodes), {});
  const Node& node = graph.nodes.back();
  const Step step = node.forward.step;
  if (graph.nodes.size() != 2 ||
      (step != Step::k_affine_fwd && step != Step::k_adjust_fwd && step != Step::k_erase))
    fail(Code::kArgument, "augment: %zu nodes came, wanted an input and an augmentation", graph.nodes.size());
  return node;
}

RunScalars scalars_of(int64_t seed, int64_t step) {
  if (seed < 0 || step < 0)
    fail(Code::kArgument, "augment: seed is %lld and step %lld, wanted 0 or more",
         static_cast<long long>(seed), static_cast<long long>(step));
  return {static_cast<uint64_t>(step), static_cast<uint64_t>(seed), 0};
}

std::vector<int64_t> batch_of(int64_t n, const std::vector<int64_t>& sample) {
  std::vector<int64_t> shape = {n};
  shape.insert(shape.end(), sample.begin(), sample.end());
  element_count("augment", "the result", shape.data(), static_cast<int>(shape.size()));
  return shape;
}

std::vector<int64_t> input_of(const py::list& nodes) {
  return build_graph(read_layers(nodes), {}).nodes[0].shape;
}

Array augment(const py::list& nodes, py::handle x, int64_t seed, int64_t step, bool training,
              py::handle out) {
  const Node node = last_node(nodes);
  const RunScalars scalars = scalars_of(seed, step);
  const ArrayView v = float_view("augment", "x", x, 4);
  expect_shape("augment", v, batch_of(v.shape[0], input_of(nodes)).data());
  const OpDescriptor op = for_batch(augmentation(node, training), v.shape[0]);
  Array y = output("augment", out, batch_of(v.shape[0], node.shape), {&v}), keep;
  if (op.step == Step::k_none)
    copy_view(v, y.mutable_data());
  else
    run(v, op, {{dense(v, &keep)}, {y.mutable_data()}}, &scalars);
  return y;
}

Array augment_bwd(const py::list& nodes, py::handle dy, py::handle x, int64_t seed, int64_t step,
                  py::handle out) {
  const char* op_name = "augment_bwd";
  const Node node = last_node(nodes);
  const RunScalars scalars = scalars_of(seed, step);
  const ArrayView v = float_view(op_name, "dy", dy, 4), xv = float_view(op_name, "x", x, 4);
  expect_shape(op_name, xv, batch_of(xv.shape[0], input_of(nodes)).data());
  expect_shape(op_name, v, batch_of(xv.shape[0], node.shape).data());
  bool reads_x = false;
  const OpDescriptor op = for_batch(augmentation_bwd(node, &reads_x), v.shape[0]);
  Array dx = output(op_name, out, shape_of(xv), {&v, &xv}), keep, keep_x;
  if (op.step == Step::k_none)
    copy_view(v, dx.mutable_data());
  else
    run(v, op, {{dense(v, &keep), dense(xv, &keep_x)}, {dx.mutable_data()}}, &scalars);
  return dx;
}

// What a batch of n samples draws: partners [n], weights [n], and boxes [n,4] or None.
py::tuple mix_draw(const py::list& nodes, int64_t n, int64_t seed, int64_t step) {
  Graph graph = build_graph(read_layers(nodes), {});
  const Node& node = graph.nodes.back();
  if (graph.nodes.size() != 2 || node.forward.step != Step::k_mix)
    fail(Code::kArgument, "mix_draw: %zu nodes came, wanted an input and a mixing", graph.nodes.size());
  const RunScalars scalars = scalars_of(seed, step);
  if (n < 1) fail(Code::kArgument, "mix_draw: n is %lld, wanted 1 or more", static_cast<long long>(n));
  OpDescriptor op = for_batch(node.forward, n);
  op.step = Step::k_mix_draw;
  py::array_t<int64_t> index(n), boxes({op.mix.boxed ? n : 0, int64_t{4}});
  py::array_t<float> weight(n);
  run_eager(cpu::backend(), op, {{}, {index.mutable_data(), weight.mutable_data(), boxes.mutable_data()}},
            &scalars);
  return py::make_tuple(index, weight, op.mix.boxed ? py::object(boxes) : py::none());
}

// A dense array of whole numbers of the host, each at least 0 and at most `most` of its column.
ArrayView checked(const char* argument, py::handle value, std::initializer_list<int64_t> shape,
                  const std::vector<int64_t>& most) {
  ArrayView v = view("mix", argument, value);
  if (v.on_gpu) v = view("mix", argument, to_numpy(v));
  if (v.dtype != DType::kI64 || !is_dense(v) || v.rank != static_cast<int>(shape.size()) ||
      !std::equal(shape.begin(), shape.end(), v.shape))
    fail(Code::kShape, "mix: %s has shape %s, wanted %s of dense int64", argument,
         ShapeText(v.shape, v.rank).text, ShapeText(shape.begin(), static_cast<int>(shape.size())).text);
  const auto data = reinterpret_cast<const int64_t*>(v.data);
  const int64_t count = element_count("mix", argument, v.shape, v.rank);
  for (int64_t i = 0; i < count; ++i)
    if (data[i] < 0 || data[i] > most[static_cast<size_t>(i) % most.size()])
      fail(Code::kArgument, "mix: %s holds %lld, wanted 0 to %lld", argument, static_cast<long long>(data[i]),
           static_cast<long long>(most[static_cast<size_t>(i) % most.size()]));
  return v;
}

// The numbers beside the samples.
const int64_t* beside(const ArrayView& samples, const ArrayView& numbers, Array* keep) {
  const auto data = reinterpret_cast<const int64_t*>(numbers.data);
  if (!samples.on_gpu) return data;
  const int64_t bytes =
      element_count("mix", numbers.argument, numbers.shape, numbers.rank) * int64_t{sizeof(int64_t)};
  *keep = gpu_array("mix", numbers.argument, {bytes}, DType::kU8);
  gpu_copy(keep->mutable_data(), data, static_cast<size_t>(bytes));
  return static_cast<const int64_t*>(keep->data());
}

// Samples and weight, or samples [N,H,W,C] and box [N,4]: top, bottom, left, right; or their gradient, for
// which the index names every sample once.
Array mix_step(Step step, const ArrayView& v, py::handle index, py::handle weight, py::handle box,
               py::handle out) {
  const int64_t n = v.shape[0];
  OpDescriptor op = make_op(step);
  op.mix.n = n, op.mix.h = op.mix.w = 1, op.mix.c = element_count("mix", v.argument, v.shape, v.rank) / n;
  op.mix.boxed = !box.is_none();
  const ArrayView pairs = checked("index", index, {n}, {n - 1});
  ArrayView box_view{};
  if (step == Step::k_mix_bwd) {
    std::vector<bool> named(static_cast<size_t>(n));
    const auto partners = reinterpret_cast<const int64_t*>(pairs.data);
    for (int64_t i = 0; i < n; ++i) named[static_cast<size_t>(partners[i])] = true;
    if (std::find(named.begin(), named.end(), false) != named.end())
      fail(Code::kArgument, "mix_bwd: index names a sample twice, wanted every sample once");
  }
  const int64_t* boxes = nullptr;
  Array keep, keep_w, keep_pairs, keep_boxes;
  if (op.mix.boxed) {
    if (v.rank != 4)
      fail(Code::kShape, "mix: %s has rank %d, wanted 4, [N,H,W,C], for a box", v.argument, v.rank);
    op.mix.h = v.shape[1], op.mix.w = v.shape[2], op.mix.c = v.shape[3];
    box_view = checked("box", box, {n, 4}, {op.mix.h, op.mix.h, op.mix.w, op.mix.w});
    boxes = beside(v, box_view, &keep_boxes);
  }
  const float* weights = nullptr;
  if (!op.mix.boxed) {
    const ArrayView w = float_view("mix", "weight", weight, 1);
    same_place("mix", {&v, &w});
    expect_shape("mix", w, {n});
    weights = static_cast<const float*>(dense(w, &keep_w));
  }
  Array y = output("mix", out, shape_of(v), {&v});
  run(v, op, {{dense(v, &keep), beside(v, pairs, &keep_pairs), weights, boxes}, {y.mutable_data()}});
  return y;
}

Array mix(py::handle x, py::handle index, py::handle weight, py::handle box, py::handle out) {
  return mix_step(Step::k_mix, any_rank_view("mix", "x", x), index, weight, box, out);
}

Array mix_bwd(py::handle dy, py::handle index, py::handle weight, py::handle box, py::handle out) {
  return mix_step(Step::k_mix_bwd, any_rank_view("mix_bwd", "dy", dy), index, weight, box, out);
}

}  // namespace

void bind_augment_ops(py::module_& m) {
  m.def("augment", &augment, py::arg("nodes"), py::arg("x"), py::arg("seed"), py::arg("step"),
        py::arg("training"), py::arg("out"));
  m.def("augment_bwd", &augment_bwd, py::arg("nodes"), py::arg("dy"), py::arg("x"), py::arg("seed"),
        py::arg("step"), py::arg("out"));
  m.def("mix", &mix, py::arg("x"), py::arg("index"), py::arg("weight"), py::arg("box"), py::arg("out"));
  m.def("mix_bwd", &mix_bwd, py::arg("dy"), py::arg("index"), py::arg("weight"), py::arg("box"),
        py::arg("out"));
  m.def("mix_draw", &mix_draw, py::arg("nodes"), py::arg("n"), py::arg("seed"), py::arg("step"));
}

}  // namespace fastcnn

// SPDX-License-Identifier: Apache-2.0
// Functions of the module that only fastcnn calls, with handles by position: def() in place of pybind11's
// m.def(), which looks for names, overloads and conversions that they do not have.
#pragma once
#include <pybind11/pybind11.h>

#include <string>
#include <utility>

namespace fastcnn {

namespace py = pybind11;

// A function with what Python holds of it; both stay for good, as the module does.
template <class F>
struct Function {
  std::string name;
  F f;
  PyMethodDef method;
};

template <class F, class... Arguments>
struct Caller {
  template <size_t... i>
  static PyObject* give(const F& f, PyObject* const* arguments, std::index_sequence<i...>) {
    using Result = decltype(f(Arguments(arguments[i])...));
    return py::detail::make_caster<Result>::cast(f(Arguments(arguments[i])...), py::return_value_policy::move,
                                                 py::handle())
        .ptr();
  }

  static PyObject* call(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    const auto* function = static_cast<const Function<F>*>(PyCapsule_GetPointer(self, nullptr));
    if (count != sizeof...(Arguments))
      return PyErr_Format(PyExc_TypeError, "%s: %zd arguments came, wanted %zd", function->name.c_str(),
                          count, static_cast<Py_ssize_t>(sizeof...(Arguments)));
    try {
      return give(function->f, arguments, std::index_sequence_for<Arguments...>());
    } catch (py::error_already_set& error) {
      error.restore();
    } catch (...) {
      py::detail::try_translate_exceptions();
    }
    return nullptr;
  }
};

template <class F, class R, class... Arguments>
Caller<F, Arguments...> caller_of(R (*)(Arguments...));
template <class F, class C, class R, class... Arguments>
Caller<F, Arguments...> caller_of(R (C::*)(Arguments...) const);
template <class F>
auto caller(F f, int) -> decltype(caller_of<F>(&F::operator()));
template <class F>
auto caller(F f, long) -> decltype(caller_of<F>(f));

template <class F>
void def(py::module_& m, const std::string& name, F f) {
  auto* const function = new Function<F>{name, f, {}};
  const auto call = reinterpret_cast<void (*)()>(&decltype(caller(f, 0))::call);
  function->method = {function->name.c_str(), reinterpret_cast<PyCFunction>(call), METH_FASTCALL, nullptr};
  const py::capsule self(function);
  const py::object module = m.attr("__name__");
  m.add_object(name.c_str(), py::reinterpret_steal<py::object>(
                                 PyCFunction_NewEx(&function->method, self.ptr(), module.ptr())));
}

}  // namespace fastcnn

# SPDX-License-Identifier: Apache-2.0
"""What proves and times the kernels: float64 references, cases, comparison, guarded buffers.

Shared by the tests and the benchmarks, and free to use on any other implementation of the same operators.
"""

# SPDX-License-Identifier: Apache-2.0
"""What the benchmark programs share: tasks, workers, interleaved timing, answer checks, reports."""

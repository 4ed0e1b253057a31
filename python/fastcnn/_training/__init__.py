# SPDX-License-Identifier: Apache-2.0
"""What compile, fit, evaluate and predict of a model are made of."""

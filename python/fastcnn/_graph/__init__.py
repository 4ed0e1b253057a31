# SPDX-License-Identifier: Apache-2.0
"""Layers called on symbols: the walk through them, the native network it makes and its table."""

# SPDX-License-Identifier: Apache-2.0
"""Files: safetensors with checksums (`safetensors`), and whole models in one such file (`model`).

No pickle and no code in files; everything that is read is untrusted; everything is written in one step.
"""

from __future__ import annotations

from fastcnn.io.model import load_model as load_model
from fastcnn.io.model import load_weights as load_weights
from fastcnn.io.model import save_model as save_model
from fastcnn.io.model import save_weights as save_weights
from fastcnn.io.safetensors import read_safetensors as read_safetensors
from fastcnn.io.safetensors import write_safetensors as write_safetensors

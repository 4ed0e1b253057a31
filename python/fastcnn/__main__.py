# SPDX-License-Identifier: Apache-2.0
"""``python -m fastcnn``: the command where no script is installed."""

import sys

from fastcnn.cli import main

sys.exit(main())

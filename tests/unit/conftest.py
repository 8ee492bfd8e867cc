# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets `import ansible_collections.aurora.cluster…` find this checkout, by the link `make tools` makes."""

from __future__ import annotations

import sys
from pathlib import Path

COLLECTIONS = Path(__file__).parents[2] / ".cache" / "collections"
if COLLECTIONS.is_dir():
    sys.path.insert(0, str(COLLECTIONS))

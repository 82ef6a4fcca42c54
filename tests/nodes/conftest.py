"""The node layer is tested as a part of the package `comfyui_headsup`, which is a view of the repository."""

from __future__ import annotations

import sys

from support.pack import PACKAGE_PARENT, link_package

link_package()
sys.path.insert(0, str(PACKAGE_PARENT))

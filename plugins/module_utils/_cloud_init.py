# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What cloud-init is going to do to the hosts file at the next boot."""

from __future__ import annotations

import glob
import os
import re

SETTING = re.compile(r"^[\"']?manage_etc_hosts[\"']?\s*:\s*[\"']?([A-Za-z]+)", re.MULTILINE)
OFF = ("false", "no", "off")


def manage_etc_hosts(root="/"):
    """Return (value, file) of the setting in force, or None where cloud-init leaves the hosts file alone.

    cloud-init reads its own file, then the directory of additions in order, then what the instance was given.
    """
    etc = os.path.join(root, "etc", "cloud")
    if os.path.exists(os.path.join(etc, "cloud-init.disabled")):
        return None
    found = None
    additions = sorted(glob.glob(os.path.join(glob.escape(os.path.join(etc, "cloud.cfg.d")), "*.cfg")))
    instance = os.path.join(root, "var", "lib", "cloud", "instance", "cloud-config.txt")
    for path in [os.path.join(etc, "cloud.cfg"), *additions, instance]:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                values = SETTING.findall(stream.read())
        except OSError:
            continue
        if values:
            found = values[-1].lower(), path
    return None if found is None or found[0] in OFF else found

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What cloud-init is going to do to the hosts file at the next boot."""

from __future__ import annotations

import glob
import os
import re

KEY = r"[\"']?manage_etc_hosts[\"']?[ \t]*:[ \t]*[\"']?([A-Za-z0-9]*)"
BLOCK_STYLE = re.compile(r"^" + KEY, re.MULTILINE)
FLOW_STYLE = re.compile(r"(?:^|[{,]\s*)" + KEY, re.MULTILINE)
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
# Every other value means that the file is left alone.
ON = ("true", "1", "yes", "on", "template", "localhost")
# What outranks /etc/cloud, the strongest last.
RUNTIME = os.path.join("run", "cloud-init", "cloud.cfg")
INSTANCE = os.path.join("var", "lib", "cloud", "instance")
INSTANCE_FILES = ("vendor-cloud-config.txt", "vendor2-cloud-config.txt", "cloud-config.txt")


def manage_etc_hosts(root: str = "/") -> tuple[str, str] | None:
    """Return (value, file) of the setting in force, or None where cloud-init leaves the hosts file alone.

    cloud-init reads its own file, the directory of additions in order, what was found out at boot, and what the
    instance was given: by the vendor, then by the user.
    """
    etc = os.path.join(root, "etc", "cloud")
    if os.path.exists(os.path.join(etc, "cloud-init.disabled")):
        return None
    additions = sorted(glob.glob(os.path.join(glob.escape(os.path.join(etc, "cloud.cfg.d")), "*.cfg")))
    later = [RUNTIME, *(os.path.join(INSTANCE, name) for name in INSTANCE_FILES)]
    found = None
    for path in [os.path.join(etc, "cloud.cfg"), *additions, *(os.path.join(root, name) for name in later)]:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = COMMENT.sub("", stream.read())
        except OSError:
            continue
        style = FLOW_STYLE if re.match(r"\s*(---\s*)?\{", text) else BLOCK_STYLE
        values = style.findall(text)
        if values:
            found = values[-1].lower(), path
    return found if found and found[0] in ON else None


def warning(hosts: str, loopback: str, root: str = "/") -> str | None:
    """What undoes a change of the file hosts at the next boot, in words, or None; loopback is hosts_file's option."""
    setting = manage_etc_hosts(root)
    if not setting:
        return None
    value, origin = setting
    if value != "localhost":
        undone = f"write {hosts} anew, without this block,"
    elif loopback == "release":
        undone = "put the machine's own name back on a loopback line"
    else:
        return None
    # The files of /etc/cloud are outranked by all others.
    place = "there or in" if origin.startswith(os.path.join(root, "etc", "")) else "in"
    return (
        f"cloud-init will {undone} at the next boot, because {origin} says manage_etc_hosts: {value}; "
        f"set manage_etc_hosts: false {place} the machine's user data"
    )

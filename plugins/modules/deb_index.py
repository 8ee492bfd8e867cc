#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: deb_index
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: Make a directory of .deb files an apt source
description:
  - Writes the file C(Packages) that apt needs to install from a directory of C(.deb) files, with nothing but C(dpkg-deb), which
    every Debian machine has.
  - The directory is then usable as C(deb [trusted=yes] file:DIRECTORY ./).
options:
  path:
    description: The directory.
    type: path
    required: true
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: debian
"""

EXAMPLES = r"""
- name: Index the packages copied to this machine
  aurora.cluster.deb_index:
    path: /var/lib/aurora-cluster/packages
"""

RETURN = r"""
packages:
  description: Name and version of every package in the directory, in the order of the file names.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "mesos", "version": "1.11.0-1"}]
"""

import hashlib
import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def stanza(control: str, filename: str, size: int, checksum: str) -> str:
    """Return one entry of a Packages file: the package's own control fields and where its file is."""
    return f"{control.strip()}\nFilename: ./{filename}\nSize: {size}\nSHA256: {checksum}\n"


def field(control: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*)$", control, re.MULTILINE)
    return found.group(1) if found else ""


def main() -> None:
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = module.params["path"]
    if not os.path.isdir(path):
        module.fail_json(msg=f"path: {path} is not a directory on this machine.")
    stanzas, packages = [], []
    for filename in sorted(os.listdir(path)):
        if not filename.endswith(".deb"):
            continue
        full = os.path.join(path, filename)
        control = module.run_command(["dpkg-deb", "--field", full], check_rc=True)[1]
        stanzas.append(stanza(control, filename, os.path.getsize(full), sha256(full)))
        packages.append({"name": field(control, "Package"), "version": field(control, "Version")})
    wanted = "\n".join(stanzas).encode()
    index = os.path.join(path, "Packages")
    current = None
    if os.path.exists(index):
        with open(index, "rb") as stream:
            current = stream.read()
    changed = wanted != current
    if changed and not module.check_mode:
        with tempfile.NamedTemporaryFile(dir=module.tmpdir, delete=False) as stream:
            stream.write(wanted)
        os.chmod(stream.name, 0o644)
        module.atomic_move(stream.name, index)
    module.exit_json(changed=changed, packages=packages)


if __name__ == "__main__":
    main()

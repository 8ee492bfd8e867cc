#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: listening_ports_info
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: Tell which TCP ports are listened on, and by whom
description:
  - Lists the listening TCP sockets of a Linux machine with the process that holds each and the systemd unit it belongs to.
  - Reads C(/proc) only, so the machine needs neither C(ss) nor C(netstat).
options:
  ports:
    description: The ports to tell about. Without it, all of them.
    type: list
    elements: int
notes:
  - Processes of other users are seen by root alone. For those RV(listening[].pid), RV(listening[].command) and
    RV(listening[].unit) are null otherwise.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: linux
"""

EXAMPLES = r"""
- name: See whether a Mesos master could listen
  aurora.cluster.listening_ports_info:
    ports: [5050]
  register: taken

- name: Tell who does
  ansible.builtin.debug:
    msg: "port {{ item.port }} is held by {{ item.command }}, pid {{ item.pid }}, unit {{ item.unit }}"
  loop: "{{ taken.listening }}"
"""

RETURN = r"""
listening:
  description: The listening sockets, ordered by port and address.
  returned: always
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
      sample: 5050
    address:
      description: The address listened on; V(0.0.0.0) and V(::) are all of them.
      type: str
      sample: 0.0.0.0
    pid:
      description: One process that holds the socket; the first of several.
      type: int
      sample: 812
    command:
      description: The name of that process.
      type: str
      sample: mesos-master
    unit:
      description: The systemd unit of that process.
      type: str
      sample: mesos-master.service
"""

import os
import re
import socket
import struct

from ansible.module_utils.basic import AnsibleModule

LISTEN = "0A"


def parse_address(text: str) -> str:
    """Return the address that /proc writes as words of hexadecimal digits in the machine's byte order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack("=%dI" % len(words), *words)
    return socket.inet_ntop(socket.AF_INET6 if len(words) == 4 else socket.AF_INET, packed)


def parse_sockets(text: str) -> list[dict]:
    """Return port, address and inode of the listening sockets in the text of /proc/net/tcp or tcp6."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != LISTEN:
            continue
        address, port = fields[1].split(":")
        found.append({"port": int(port, 16), "address": parse_address(address), "inode": fields[9]})
    return found


def parse_unit(text: str) -> str | None:
    """Return the innermost unit in the text of /proc/PID/cgroup, in either version's form."""
    for line in text.splitlines():
        controllers, path = line.split(":", 2)[1:]
        if controllers in ("", "name=systemd"):
            units = [part for part in path.split("/") if re.search(r"\.(service|scope)$", part)]
            if units:
                return units[-1]
    return None


def read(*parts: str) -> str:
    """Return a file's text, or nothing where it is gone or not for us: processes end while we look."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def find_holders(proc: str, inodes: set[str]) -> dict[str, int]:
    """Return the process that holds each of the sockets."""
    holders = {}
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        directory = os.path.join(proc, str(pid), "fd")
        try:
            descriptors = os.listdir(directory)
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                target = os.readlink(os.path.join(directory, descriptor))
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inodes:
                holders.setdefault(target[8:-1], pid)
    return holders


def listening(ports: list[int] | None, proc: str = "/proc") -> list[dict]:
    """Return the listening sockets with their holders."""
    sockets = [entry for name in ("tcp", "tcp6") for entry in parse_sockets(read(proc, "net", name))]
    if ports is not None:
        sockets = [entry for entry in sockets if entry["port"] in ports]
    holders = find_holders(proc, {entry["inode"] for entry in sockets}) if sockets else {}
    found = []
    for entry in sockets:
        pid = holders.get(entry["inode"])
        known = pid is not None
        found.append(
            {
                "port": entry["port"],
                "address": entry["address"],
                "pid": pid,
                "command": read(proc, str(pid), "comm").strip() or None if known else None,
                "unit": parse_unit(read(proc, str(pid), "cgroup")) if known else None,
            }
        )
    return sorted(found, key=lambda entry: (entry["port"], entry["address"]))


def main() -> None:
    module = AnsibleModule(
        argument_spec={"ports": {"type": "list", "elements": "int"}},
        supports_check_mode=True,
    )
    if not os.path.exists("/proc/net/tcp"):
        module.fail_json(msg="/proc/net/tcp is missing: this is not Linux, or /proc is not mounted.")
    module.exit_json(changed=False, listening=listening(module.params["ports"]))


if __name__ == "__main__":
    main()

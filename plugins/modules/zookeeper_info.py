#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: zookeeper_info
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: Ask a ZooKeeper server what it is
description:
  - Sends the four letter word C(srvr), the only one that every server since 3.5.3 answers unasked, and reads the answer.
  - A server that runs but has found no quorum answers without a mode; RV(mode) is then V(none).
  - A server that does not answer is not an error of this module. RV(mode) is then V(silent) when the time was up, which says nothing
    about whether it serves others, else V(down); RV(message) says why.
options:
  host:
    description: The server's name or address, seen from where the module runs.
    type: str
    default: localhost
  port:
    description: The server's client port.
    type: int
    default: 2181
  timeout:
    description: Seconds to wait for the connection and for the answer.
    type: int
    default: 5
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
"""

EXAMPLES = r"""
- name: Wait until the member serves
  aurora.cluster.zookeeper_info:
    port: 2181
  register: zookeeper
  until: zookeeper.mode in ['leader', 'follower', 'standalone']
  retries: 30
  delay: 2
"""

RETURN = r"""
mode:
  description: What the server is, V(leader), V(follower), V(observer), V(standalone), V(none), V(silent) or V(down).
  returned: always
  type: str
version:
  description: The server's version; empty when it gave none.
  returned: always
  type: str
  sample: 3.8.0
message:
  description: Why there is no mode; empty when there is one.
  returned: always
  type: str
"""

import re
import socket

from ansible.module_utils.basic import AnsibleModule


def parse(answer: str) -> dict[str, str]:
    """Turn the answer to srvr into mode, version and message."""
    mode = re.search(r"^Mode: *(\w+)", answer, re.MULTILINE)
    version = re.search(r"^Zookeeper version: *([\w.]+)", answer, re.MULTILINE)
    return {
        "mode": mode.group(1).lower() if mode else "none",
        "version": version.group(1) if version else "",
        "message": "" if mode else answer.strip() or "the server closed the connection without an answer",
    }


def ask(host: str, port: int, timeout: float) -> dict[str, str]:
    """Return the parsed answer; a server that cannot be asked is silent or down, never an exception."""
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(b"srvr")
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
    except OSError as error:
        mode = "silent" if isinstance(error, TimeoutError) else "down"
        return {"mode": mode, "version": "", "message": f"{host}:{port}: {error}"}
    return parse(answer.decode("utf-8", "replace"))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": "localhost"},
            "port": {"type": "int", "default": 2181},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **ask(module.params["host"], module.params["port"], module.params["timeout"]))


if __name__ == "__main__":
    main()

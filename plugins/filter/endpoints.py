# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where addresses of the ensembles are composed from inventory groups.

Daemons are given names, not addresses: the hosts file resolves them, so moving a machine is a
change of the hosts file and not of any daemon's configuration.
"""

from __future__ import annotations

import re

from ansible.errors import AnsibleFilterError


def _members(group: object, filter_name: str) -> list[str]:
    if isinstance(group, str) or not isinstance(group, (list, tuple)) or not group:
        raise AnsibleFilterError(
            f"{filter_name} needs the members of a group (a list of host names), got {group!r}. "
            "Put at least one host into the inventory's group."
        )
    return [str(name) for name in group]


def zk_endpoints(group: list[str], port: int = 2181) -> str:
    """Return host:port,host:port of an ensemble's members, in the inventory's order."""
    return ",".join(f"{name}:{port}" for name in _members(group, "zk_endpoints"))


def zk_url(group: list[str], path: str, port: int = 2181) -> str:
    """Return zk://host:port,host:port/path, the form Mesos and Aurora take."""
    if not str(path).startswith("/") or str(path).endswith("/"):
        raise AnsibleFilterError(f"zk_url needs a path like /mesos (leading slash, no trailing one), got {path!r}.")
    return f"zk://{zk_endpoints(group, port)}{path}"


def without_userinfo(text: str) -> str:
    """Return a text that a person reads without the user and password of any URL in it."""
    return re.sub(r"://[^/\s]*@", "://", text)


def quorum(group: list[str]) -> int:
    """Return the smallest majority of a group's members: 1 of 1, 2 of 3, 3 of 5."""
    return len(_members(group, "quorum")) // 2 + 1


class FilterModule:
    def filters(self) -> dict[str, object]:
        return {
            "zk_endpoints": zk_endpoints,
            "zk_url": zk_url,
            "without_userinfo": without_userinfo,
            "quorum": quorum,
        }

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From Ansible's hostvars to the plain data that the preflight checks work on."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleError
from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_inventory import Unresolved, cluster_hosts
from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_variables import role_of
from jinja2 import Undefined, UndefinedError

ADDRESS_VARIABLES = ("ansible_host", "ansible_port", "cluster_address")


def plain_groups(groups):
    return {str(name): [str(host) for host in members] for name, members in groups.items()}


def plain(value):
    """Return ordinary dictionaries and lists: Ansible's own carry all variables with them, whenever they are copied.

    Raises UndefinedError for a template that has no value.
    """
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def plain_hosts(hostvars, groups, roles):
    """Return, for each machine of the cluster, what the inventory sets for it and the checks look at.

    hostvars templates a value when it is read, and a value may refer to what only exists inside a role.
    """
    hosts = {}
    for host in cluster_hosts(groups):
        variables = hostvars[host]
        hosts[host] = {}
        for name in variables:
            if name in ADDRESS_VARIABLES or role_of(name, roles):
                try:
                    hosts[host][name] = plain(variables[name])
                except (AnsibleError, UndefinedError) as error:
                    hosts[host][name] = Unresolved(" ".join(str(error.__cause__ or error).split()))
    return hosts


def literal_defaults(roles):
    return {name: value for role in roles.values() for name, value in role.defaults.items()}

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_problems
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: Tell what is wrong with an inventory before any machine is touched
description:
  - Looks at the whole inventory, whatever C(--limit) says, and at the package files on the controller.
  - It finds empty groups, even ensembles, shared and missing addresses, bad or missing C(zookeeper_id), quorums that are no
    majority, ports that two components of a host share, variables that no role takes, values of the wrong type, unknown
    or malformed flags in C(<role>_options), and packages that are missing or do not match their checksum.
positional: _input, groups
options:
  _input:
    description: The variables of all hosts, that is C(hostvars).
    type: dict
    required: true
  groups:
    description: The members of all groups, that is C(groups).
    type: dict
    required: true
seealso:
  - plugin: aurora.cluster.machine_problems
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Stop before the first change when the inventory cannot work
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ hostvars | aurora.cluster.cluster_problems(groups) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: One line for each problem, naming the host or group, the variable and what to do. Empty when all is well.
  type: list
  elements: str
  sample:
    - "group zookeeper: has 2 members (zk1, zk2), …"
"""

from ansible_collections.aurora.cluster.plugins.plugin_utils import (
    _preflight_hostvars,
    _preflight_inventory,
    _preflight_variables,
)


def cluster_problems(hostvars, groups):
    groups = _preflight_hostvars.plain_groups(groups)
    roles = _preflight_variables.load_roles()
    hosts = _preflight_hostvars.plain_hosts(hostvars, groups, roles)
    problems = _preflight_inventory.Problems(hosts)
    _preflight_inventory.check_inventory(hosts, groups, _preflight_hostvars.literal_defaults(roles), problems)
    _preflight_variables.check_role_variables(hosts, groups, roles, problems)
    return problems.lines()


class FilterModule:
    def filters(self):
        return {"cluster_problems": cluster_problems}

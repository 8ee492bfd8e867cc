# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: machine_problems
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: Tell what is wrong with the machines before any of them is changed
description:
  - Looks at what a first, read-only look at each machine found. With O(seen) of kind V(answers) it finds the machines that
    do not answer or lack Python; with V(details) it finds other systems than Debian with systemd, ports that are held by
    another program, and wishes for cgroups where the machine has none that Mesos knows.
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
  seen:
    description:
      - What to look at in the variables of each of O(hosts).
      - V(answers) looks at the registered result C(__preflight_answer).
      - V(details) looks at the facts and at the registered results C(__preflight_ports) and C(__preflight_mounts).
    type: str
    choices: [answers, details]
    required: true
  hosts:
    description: The machines that were looked at, that is C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
seealso:
  - plugin: aurora.cluster.cluster_problems
    plugin_type: filter
  - module: aurora.cluster.listening_ports_info
"""

EXAMPLES = r"""
- name: Stop when a machine does not answer
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ hostvars | aurora.cluster.machine_problems(groups, seen='answers', hosts=ansible_play_hosts_all) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: One line for each problem, naming the host, the variable and what to do. Empty when all is well.
  type: list
  elements: str
  sample:
    - "host mesos-master: port 5050 (mesos_master_port) is held by nginx (pid 812, unit nginx.service): stop it, or set mesos_master_port"
"""

import base64

from ansible.errors import AnsibleFilterError
from ansible_collections.aurora.cluster.plugins.plugin_utils import (
    _preflight_hostvars,
    _preflight_inventory,
    _preflight_machines,
    _preflight_variables,
)


def machine_problems(hostvars, groups, seen, hosts):
    groups = _preflight_hostvars.plain_groups(groups)
    roles = _preflight_variables.load_roles()
    variables = _preflight_hostvars.plain_hosts(hostvars, groups, roles)
    problems = _preflight_inventory.Problems(hosts)
    if seen == "answers":
        answers = {host: hostvars[host]["__preflight_answer"] for host in hosts}
        _preflight_machines.check_reachable(variables, answers, problems)
        return problems.lines()
    if seen != "details":
        raise AnsibleFilterError("machine_problems: seen is %r, not answers or details" % seen)
    defaults = _preflight_hostvars.literal_defaults(roles)
    for host in hosts:
        facts = hostvars[host]["ansible_facts"]
        _preflight_machines.check_system(facts, host, problems)
        if facts["effective_user_id"] == 0:  # nobody else sees who listens
            listening = hostvars[host]["__preflight_ports"]["listening"]
            _preflight_machines.check_taken_ports(host, variables, groups, defaults, listening, problems)
        content = hostvars[host]["__preflight_mounts"].get("content")  # read where an agent is to have cgroups
        if content is not None:
            mounts = base64.b64decode(content).decode()
            _preflight_machines.check_cgroups(variables[host], mounts, host, problems)
    return problems.lines()


class FilterModule:
    def filters(self):
        return {"machine_problems": machine_problems}

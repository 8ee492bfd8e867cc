# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: missing_controllers
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: The cgroup v1 hierarchies that Mesos 1.11 needs and a machine lacks
description:
  - Mesos 1.11 contains tasks by cgroup v1 alone, with the controllers cpu, cpuacct, freezer and memory.
  - A hierarchy that is mounted read-only counts as lacking.
options:
  _input:
    description: The text of the machine's C(/proc/mounts).
    type: str
    required: true
"""

EXAMPLES = r"""
launcher: "{{ (mounts.content | b64decode | aurora.cluster.missing_controllers | length == 0) | ternary('linux', 'posix') }}"
"""

RETURN = r"""
_value:
  description: Names of controllers. Empty when all are there.
  type: list
  elements: str
"""

from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_machines import missing_controllers


class FilterModule:
    def filters(self):
        return {"missing_controllers": missing_controllers}

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudstack_instances
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: The machines of a cluster on a CloudStack cloud
description:
  - Makes the machines of a cluster what they are asked to be, all of them at once. What is missing is deployed, what is
    stopped is started, and deployments run side by side.
  - A machine belongs to the cluster when it carries the tag C(aurora_cluster) with the value of O(cluster), which each machine gets
    as soon as its deployment has begun. No other machine is ever changed or removed.
  - Names are looked up and checked before anything is changed, and all that is wrong is reported at once.
  - When the deployment of one machine fails the others go on. The module then fails and names the machine and the reason; the next
    run deploys what is missing. A machine that never ran, because its deployment failed, is removed then.
  - Zone, offering, template, networks and groups of a machine that exists are not changed. A warning tells where they differ.
options:
  cluster:
    description:
      - The name of the cluster. It is the value of the tag C(aurora_cluster).
    type: str
    required: true
  state:
    description:
      - With V(present), the wanted machines are there and run.
      - With V(absent), the machines named in O(machines) are not there. Without O(machines), none of the cluster's is, nor its
        security group, nor its key pair.
      - The key pair goes only if its name is O(cluster), or that behind C(aurora-cluster-), if it is O(key_pair.public_key), and if no
        other machine carries it.
    type: str
    choices: [present, absent]
    default: present
  machines:
    description:
      - The wanted machines, all of them.
      - With O(state=absent), only O(machines[].name) matters.
    type: list
    elements: dict
    suboptions:
      name:
        description: The machine's name, its host name as well.
        type: str
        required: true
      groups:
        description: The groups of the inventory it shall be in. They become the tag C(aurora_role), separated by commas.
        type: list
        elements: str
        default: []
      zone:
        description: The zone, by name or id. Needed when O(state=present).
        type: str
      offering:
        description: The service offering, by name or id. Needed when O(state=present).
        type: str
      template:
        description: The template, by name or id. Needed when O(state=present).
        type: str
      root_disk:
        description: The size of the root disk in GB. The template's own, if left out.
        type: int
      networks:
        description: The networks, by name or id, the default one first. A Basic zone has none to choose from.
        type: list
        elements: str
        default: []
      security_groups:
        description: Security groups that are there already, by name or id, besides O(security_group).
        type: list
        elements: str
        default: []
      affinity_groups:
        description: Affinity groups that are there already, by name or id.
        type: list
        elements: str
        default: []
      key_pair:
        description: The name of a key pair that is there already, in place of O(key_pair).
        type: str
      user_data:
        description: User data, usually for cloud-init, as plain text. It may hold secrets, and is neither shown nor logged.
        type: str
      tags:
        description: More tags. Tags that are not named here are left as they are.
        type: dict
        default: {}
      least_memory:
        description: The memory in MB that the offering must have at least.
        type: int
        default: 0
  purge:
    description:
      - Remove machines of the cluster that are not in O(machines).
    type: bool
    default: false
  key_pair:
    description: The ssh key pair that lets a user into the machines.
    type: dict
    suboptions:
      name:
        description: Its name in the cloud.
        type: str
        required: true
      public_key:
        description:
          - The public key to register under this name. Without it, the key pair has to be there.
          - A cloud takes a key once. One that is registered under another name is used by that name, and stays.
        type: str
  security_group:
    description:
      - The security group of the cluster. It is made, gets exactly the rules that follow from these options, and every machine
        is put into it.
      - The machines of the group may reach each other, by any protocol and port.
    type: dict
    suboptions:
      name:
        description: Its name in the cloud. A group that this cluster did not make is refused.
        type: str
        required: true
      admin_cidrs:
        description: The networks whose users may reach O(security_group.admin_ports). Needed when O(state=present).
        type: list
        elements: str
      admin_ports:
        description: TCP ports, and ranges such as V(31000-32000).
        type: list
        elements: str
        default: ["22"]
      peer_cidrs:
        description: Let these networks in everywhere, instead of the group itself. Needed in projects.
        type: list
        elements: str
        default: []
  project:
    description: The project all of it is in, by name or id. The account's own machines, if left out.
    type: str
  expunge:
    description:
      - Expunge machines when they are destroyed, so that their names and disks are free at once. Where the account may not, they
        are destroyed only, with a warning.
    type: bool
    default: true
  job_timeout:
    description:
      - Seconds until all machines must be as wanted. All waiting ends then, and nothing more is begun. Jobs go on in the cloud, and the
        next run finds what they came to.
    type: int
    default: 900
notes:
  - While it waits, the system's log on the machine it runs on tells for which machines and how long, when that changes and every 30
    seconds. C(journalctl -f | grep cloudstack_instances) shows it.
extends_documentation_fragment:
  - aurora.cluster.cloudstack
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: posix
"""

EXAMPLES = r"""
- name: Two machines, reachable by ssh from one network
  aurora.cluster.cloudstack_instances:
    cluster: blue
    key_pair:
      name: blue
      public_key: "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
    security_group:
      name: blue
      admin_cidrs: [203.0.113.0/24]
      admin_ports: ["22", "5050", "8081"]
    machines:
      - name: mesos-master
        groups: [zookeeper, mesos_master]
        zone: ch-gva-2
        offering: Medium
        template: Debian 12
      - name: mesos-slave1
        groups: [mesos_slave]
        zone: ch-gva-2
        offering: Large
        template: Debian 12
        root_disk: 50

- name: Remove one of them
  aurora.cluster.cloudstack_instances:
    cluster: blue
    state: absent
    machines:
      - name: mesos-slave1

- name: Remove all that the cluster has
  aurora.cluster.cloudstack_instances:
    cluster: blue
    state: absent
    key_pair:
      name: blue
      public_key: "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
    security_group:
      name: blue
"""

RETURN = r"""
machines:
  description: The machines of the cluster as they are afterwards, or as they are now in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The machine's name.
      type: str
    id:
      description: Its id in the cloud.
      type: str
    state:
      description: Its state, as the cloud calls it.
      type: str
    zone:
      description: The zone it is in.
      type: str
    offering:
      description: The service offering.
      type: str
    template:
      description: The template it was made from.
      type: str
    address:
      description: The address of its default card.
      type: str
    public_address:
      description: Its public address, if it has one of its own.
      type: str
    tags:
      description: Its tags.
      type: dict
deployed:
  description: Names of the machines that were deployed, or would be.
  returned: success, and after a failed change
  type: list
  elements: str
started:
  description: Names of the machines that were started, or would be.
  returned: success, and after a failed change
  type: list
  elements: str
destroyed:
  description: Names of the machines that were destroyed, or would be. One that never ran and is deployed anew is among them.
  returned: success, and after a failed change
  type: list
  elements: str
failed_parts:
  description: Why machines, or the security group, are not as wanted, by name.
  returned: when something failed
  type: dict
calls:
  description: How many requests the cloud got.
  returned: success, and after a failed change
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import CloudStackError
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_instances import Run
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_settings import ARGUMENT_SPEC
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_wanted import Problems

MACHINE_SPEC = {
    "name": {"type": "str", "required": True},
    "groups": {"type": "list", "elements": "str", "default": []},
    "zone": {"type": "str"},
    "offering": {"type": "str"},
    "template": {"type": "str"},
    "root_disk": {"type": "int"},
    "networks": {"type": "list", "elements": "str", "default": []},
    "security_groups": {"type": "list", "elements": "str", "default": []},
    "affinity_groups": {"type": "list", "elements": "str", "default": []},
    "key_pair": {"type": "str", "no_log": False},
    "user_data": {"type": "str", "no_log": True},
    "tags": {"type": "dict", "default": {}},
    "least_memory": {"type": "int", "default": 0},
}
SPEC = {
    **ARGUMENT_SPEC,
    "cluster": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "machines": {"type": "list", "elements": "dict", "options": MACHINE_SPEC},
    "purge": {"type": "bool", "default": False},
    "key_pair": {
        "type": "dict",
        "no_log": False,
        "options": {"name": {"type": "str", "required": True}, "public_key": {"type": "str", "no_log": False}},
    },
    "security_group": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "admin_cidrs": {"type": "list", "elements": "str"},
            "admin_ports": {"type": "list", "elements": "str", "default": ["22"]},
            "peer_cidrs": {"type": "list", "elements": "str", "default": []},
        },
    },
    "project": {"type": "str"},
    "expunge": {"type": "bool", "default": True},
    "job_timeout": {"type": "int", "default": 900},
}


class Module(AnsibleModule):
    def _log_invocation(self):
        # The log shows a list as Python writes it, and there a text of several lines is not the one to be left out.
        texts = [machine.get("user_data") for machine in self.params["machines"] or []]
        self.no_log_values.update(repr(text)[1:-1] for text in texts if text)
        super()._log_invocation()


def main():
    module = Module(argument_spec=SPEC, supports_check_mode=True)
    try:
        Run(module).run()
    except Problems as error:
        text = "\n".join(f"- {problem}" for problem in error.problems)
        module.fail_json(msg=f"Nothing was changed in the cloud:\n{text}")
    except CloudStackError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

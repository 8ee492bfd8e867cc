#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hosts_file
short_description: Keep a named block of entries in a hosts file
version_added: 0.1.0
author:
  - The aurora.cluster authors (!UNKNOWN)
description:
  - Keeps one block of addresses and names in a hosts file, between two marker lines that carry the block's name, and
    leaves every byte outside the block as it is.
  - The list given is the whole of the block. An entry that is no longer in the list vanishes from the file.
  - The file is replaced by a rename, so that a program reading it sees the old file or the new one. Only where a
    rename is impossible, as with a bind-mounted file in a container, is the file written in place.
  - Runs that want to change the same file wait for each other. The lock is a file beside the hosts file, called
    C(.hosts.aurora-cluster.lock) for C(/etc/hosts), which is there only during a change. What another program writes
    meanwhile is not overwritten, the change is made anew on top of it.
options:
  path:
    description:
      - The hosts file.
      - A missing file is created with mode C(0644) and a warning.
    type: path
    default: /etc/hosts
  block:
    description:
      - The name of the block. Blocks of different names live side by side in one file.
      - Up to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit.
    type: str
    required: true
  entries:
    description:
      - The entries of the block, all of them. Required with O(state=present).
      - Entries of one address are folded into one. The block is sorted by address, IPv4 first.
    type: list
    elements: dict
    suboptions:
      address:
        description:
          - An IPv4 or IPv6 address. An IPv6 address must not carry a scope.
        type: str
        required: true
      names:
        description:
          - The host names of the address, the canonical one first.
          - Names have to follow RFC 1123. C(localhost) and its kin are refused.
        type: list
        elements: str
        required: true
  duplicates:
    description:
      - What to do when O(entries) gives a name two addresses of the same family.
      - With V(fail), nothing is changed and the error names the entries.
      - With V(warn), both are written and a warning names them. With V(allow), both are written.
    type: str
    choices: [fail, warn, allow]
    default: fail
  state:
    description:
      - With V(present), the block holds exactly O(entries).
      - With V(absent), the block is removed, and names taken off other lines return to them.
    type: str
    choices: [present, absent]
    default: present
  format:
    description:
      - With V(line_per_address), an address and all its names share a line.
      - With V(line_per_name), each name has a line of its own.
    type: str
    choices: [line_per_address, line_per_name]
    default: line_per_address
  loopback:
    description:
      - What to do when a name of O(entries) stands outside the block on a line of C(127.0.0.0/8) or C(::1), as the
        machine's own name often does. The resolver takes the first line it finds, so a daemon binds to loopback then.
      - With V(keep), the line stays and a warning names it.
      - With V(release), the names of O(entries) are taken off such lines, no others. A line keeps its place and
        remembers in a comment what it was. The names return when the block no longer claims them.
    type: str
    choices: [keep, release]
    default: keep
  on_conflict:
    description:
      - What to do when a name of O(entries) stands outside the block with an address, of either family, that the
        block does not give it. Loopback addresses are the business of O(loopback).
      - With V(fail), nothing is changed and the error names the lines.
      - With V(warn), the lines stay and a warning names them.
      - With V(replace), the names are taken off those lines in the way of O(loopback=release), and return likewise.
        It does not reach into another block of this module and fails there.
    type: str
    choices: [fail, warn, replace]
    default: fail
  adopt:
    description:
      - Blocks of other programs to take over. This block takes their place, with O(state=absent) they are removed.
      - Blocks that are not in the file are ignored. Damaged ones are refused.
    type: list
    elements: dict
    default: []
    suboptions:
      writer:
        description:
          - The program that wrote the block.
        type: str
        choices: [vagrant_hostmanager, blockinfile]
        required: true
      id:
        description:
          - The id of a vagrant-hostmanager block. Without it the block without an id is meant, with V(any) every block
            of vagrant-hostmanager.
        type: str
      marker:
        description:
          - The O(ignore:marker) of M(ansible.builtin.blockinfile).
        type: str
        default: "# {mark} ANSIBLE MANAGED BLOCK"
      marker_begin:
        description:
          - What stands for C({mark}) in the line before the block.
        type: str
        default: BEGIN
      marker_end:
        description:
          - What stands for C({mark}) in the line after the block.
        type: str
        default: END
  backup:
    description:
      - Keep a copy of the old file beside it when it is changed. A refused change leaves none.
    type: bool
    default: false
  follow:
    description:
      - Edit the file a symbolic link points to and keep the link. When V(false), a symbolic link is refused.
    type: bool
    default: true
  validate:
    description:
      - A command that has to succeed before the file is replaced. C(%s) stands for the path of the new file.
    type: str
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
seealso:
  - module: ansible.builtin.blockinfile
  - plugin: aurora.cluster.hosts_entries
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Names of a cluster
  aurora.cluster.hosts_file:
    block: example
    entries:
      - address: 192.0.2.11
        names: [zk1.example.org, zk1]
      - address: 2001:db8::11
        names: [zk1.example.org, zk1]
    loopback: release

- name: Names of all machines of the inventory
  aurora.cluster.hosts_file:
    block: example
    entries: "{{ groups['aurora_cluster'] | aurora.cluster.hosts_entries(hostvars) }}"

- name: Take over what vagrant-hostmanager and blockinfile left
  aurora.cluster.hosts_file:
    block: example
    entries: "{{ cluster_entries }}"
    adopt:
      - writer: vagrant_hostmanager
      - writer: blockinfile
        marker: "# {mark} cluster hosts"
    backup: true

- name: Remove the names
  aurora.cluster.hosts_file:
    block: example
    state: absent
"""

RETURN = r"""
path:
  description: The file that was looked at, behind symbolic links.
  returned: success
  type: str
  sample: /etc/hosts
block:
  description: The name of the block.
  returned: success
  type: str
  sample: example
entries:
  description: What the block holds, in the order of the file.
  returned: success
  type: list
  elements: dict
  sample:
    - address: 192.0.2.11
      names: [zk1.example.org, zk1]
added:
  description: Addresses and names that were not in the block, or not in a block that was adopted.
  returned: success
  type: list
  elements: dict
  sample: []
removed:
  description: Addresses and names that no longer are in the block.
  returned: success
  type: list
  elements: dict
  sample: []
kept:
  description: Addresses and names that were there and still are.
  returned: success
  type: list
  elements: dict
  sample: []
released:
  description: Names that are off other lines because the block claims them, with the line's number before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - line: 2
      address: 127.0.1.1
      names: [zk1]
adopted:
  description: The lines of the blocks of other programs that were taken over.
  returned: success
  type: list
  elements: dict
  sample:
    - first_line: 3
      last_line: 9
atomic:
  description: Whether the file was replaced by a rename.
  returned: when the file was written
  type: bool
  sample: true
backup_file:
  description: The copy of the old file.
  returned: when the file was changed and O(backup=true)
  type: str
  sample: /etc/hosts.4711.2026-01-01@12:00:00~
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aurora.cluster.plugins.module_utils._cloud_init import warning as cloud_init_warning
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError, normalise
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_file import (
    Request,
    check_block_name,
    make_plan,
    to_text,
)
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_write import read, resolve, update

HOSTS = "/etc/hosts"


def argument_spec() -> dict:
    return {
        "path": {"type": "path", "default": HOSTS},
        "block": {"type": "str", "required": True},
        "entries": {
            "type": "list",
            "elements": "dict",
            "options": {
                "address": {"type": "str", "required": True},
                "names": {"type": "list", "elements": "str", "required": True},
            },
        },
        "duplicates": {"type": "str", "choices": ["fail", "warn", "allow"], "default": "fail"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "format": {"type": "str", "choices": ["line_per_address", "line_per_name"], "default": "line_per_address"},
        "loopback": {"type": "str", "choices": ["keep", "release"], "default": "keep"},
        "on_conflict": {"type": "str", "choices": ["fail", "warn", "replace"], "default": "fail"},
        "adopt": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "writer": {"type": "str", "choices": ["vagrant_hostmanager", "blockinfile"], "required": True},
                "id": {"type": "str"},
                "marker": {"type": "str", "default": "# {mark} ANSIBLE MANAGED BLOCK"},
                "marker_begin": {"type": "str", "default": "BEGIN"},
                "marker_end": {"type": "str", "default": "END"},
            },
        },
        "backup": {"type": "bool", "default": False},
        "follow": {"type": "bool", "default": True},
        "validate": {"type": "str"},
    }


def run(module: AnsibleModule) -> None:
    params = module.params
    present = params["state"] == "present"
    check_block_name(params["block"])
    request = Request(
        block=params["block"],
        entries=normalise(params["entries"], params["duplicates"], module.warn) if present else [],
        state=params["state"],
        format=params["format"],
        loopback=params["loopback"],
        on_conflict=params["on_conflict"],
        adopt=params["adopt"],
    )
    path = resolve(params["path"], params["follow"])
    result = {}

    old = read(path)
    try:
        plan = make_plan(old or b"", request)
    except HostsError:
        # Another run may be writing in place at this moment: only what is read under the lock is final.
        if module.check_mode:
            raise
        plan = None
    if not module.check_mode and (plan is None or plan.content != (old or b"")):
        old, plan, result = update(
            module, path, lambda old: make_plan(old or b"", request), params["validate"], params["backup"]
        )

    changed = plan.content != (old or b"")
    if changed and old is None:
        module.warn(f"{path} did not exist and is created")
    warnings = list(plan.warnings)
    if present and params["path"] == HOSTS:
        warnings.append(cloud_init_warning(HOSTS, params["loopback"]))
    for warning in filter(None, warnings):
        module.warn(warning)
    if module._diff:
        result["diff"] = {
            "before_header": path,
            "before": to_text(old or b""),
            "after_header": path,
            "after": to_text(plan.content),
        }
    module.exit_json(
        changed=changed,
        path=path,
        block=request.block,
        entries=plan.entries,
        added=plan.added,
        removed=plan.removed,
        kept=plan.kept,
        released=plan.released,
        adopted=plan.adopted,
        # The result holds the entries already, and a copy of ten thousand costs more than all the rest.
        invocation={"module_args": {name: value for name, value in params.items() if name != "entries"}},
        **result,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ["entries"])],
        supports_check_mode=True,
    )
    try:
        run(module)
    except HostsError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        remedy = "; set become: true" if isinstance(exc, PermissionError) else ""
        module.fail_json(msg=f"cannot edit {module.params['path']}: {exc}{remedy}")


if __name__ == "__main__":
    main()

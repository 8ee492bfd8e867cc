# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The entries of a hosts file, composed from the inventory for one reader."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import (
    HostsError,
    as_dicts,
    check_name,
    is_address,
    normalise,
)

DOCUMENTATION = r"""
  name: hosts_entries
  author: The aurora.cluster authors
  version_added: 0.1.0
  short_description: Compose the entries of a hosts file from the inventory
  description:
    - Turns host names of the inventory into the O(aurora.cluster.hosts_file#module:entries) of
      M(aurora.cluster.hosts_file).
    - Which address of a host is taken depends on the reader. Peers usually want the private one, the controller the one
      it connects to, so O(candidates) is an ordered list and each reader gets a list of its own.
    - Only the inventory is asked. A host that does not answer at the moment stays listed, one that left the inventory
      vanishes, and C(--limit) does not matter.
    - The names of a host are its inventory name and what its variable C(hosts_aliases) lists, with O(domain) the fully
      qualified name before them. An alias that is the inventory name and a domain goes before it likewise.
  positional: _input, hostvars
  options:
    _input:
      description: Names of inventory hosts, as in C(groups['aurora_cluster']).
      type: list
      elements: str
      required: true
    hostvars:
      description: The variables of all hosts, the magic variable C(hostvars).
      type: dict
      required: true
    candidates:
      description:
        - Names of host variables to look for an address in, the first that holds one wins. A dot reaches into a
          variable, as in C(ansible_facts.default_ipv4.address).
        - A list holds several addresses of a host, for instance one of each family.
        - A value that is no address, such as a DNS name, is passed over. So is a loopback address, unless
          there is just one host.
      type: list
      elements: str
      default: [cluster_address, ansible_host]
    on_missing:
      description:
        - What to do with a host no candidate gives an address of.
        - With V(skip), a warning names the hosts that are left out.
      type: str
      choices: [fail, skip]
      default: fail
    duplicates:
      description:
        - What to do when a name is given two addresses of the same family, as an alias of two hosts is. See
          O(aurora.cluster.hosts_file#module:duplicates), which has to allow it too.
      type: str
      choices: [fail, warn, allow]
      default: fail
    domain:
      description: A domain that makes inventory names fully qualified. A name that already ends in it is shortened.
      type: str
      default: ""
"""

EXAMPLES = r"""
peers: "{{ groups['aurora_cluster'] | aurora.cluster.hosts_entries(hostvars) }}"

controller: "{{ groups['aurora_cluster'] | aurora.cluster.hosts_entries(hostvars, candidates=['ansible_host']) }}"

qualified: "{{ groups['aurora_cluster'] | aurora.cluster.hosts_entries(hostvars, domain='example.org') }}"
# => [{"address": "192.0.2.11", "names": ["zk1.example.org", "zk1"]}]
"""

RETURN = r"""
  _value:
    description: The entries, valid, folded and sorted by address.
    type: list
    elements: dict
"""


def _look_up(variables: Mapping, candidate: str) -> Any:
    """The value of a variable, a dot reaching into it; None where there is none."""
    value = variables
    for key in candidate.split("."):
        try:
            value = value[key]
        except (KeyError, TypeError, IndexError):
            return None
    return value


def _addresses(variables: Mapping, candidate: str, alone: bool) -> list[str]:
    value = _look_up(variables, candidate)
    values = value if isinstance(value, (list, tuple)) else [value]
    return [
        str(item)
        for item in values
        if isinstance(item, str) and is_address(item) and (alone or not ipaddress.ip_address(str(item)).is_loopback)
    ]


def _names(host: str, variables: Mapping, domain: str) -> list[str]:
    """The names of a host, qualified ones first, or raise HostsError."""
    name = str(host)
    short = name
    if domain and name.lower().endswith("." + domain.lower()):
        short = name[: -len(domain) - 1]
    names = [f"{short}.{domain}", short] if domain else [name]
    if is_address(name):
        short, names = None, []
    aliases = _look_up(variables, "hosts_aliases") or []
    if not isinstance(aliases, (list, tuple)):
        raise HostsError("hosts_aliases must be a list of names")
    for alias in aliases:
        if not isinstance(alias, str):
            raise HostsError(f"hosts_aliases: {alias!r} is no text, put it in quotation marks")
    names += [str(alias) for alias in aliases]
    if not names:
        raise HostsError("the inventory name is an address; name the host, or list names in hosts_aliases")
    if short:
        names.sort(key=lambda item: not item.lower().startswith(short.lower() + "."))
    return [check_name(item) for item in names]


def hosts_entries(
    hosts: list[str],
    hostvars: Mapping[str, Mapping],
    candidates: Sequence[str] = ("cluster_address", "ansible_host"),
    on_missing: str = "fail",
    domain: str = "",
    duplicates: str = "fail",
) -> list[dict]:
    """Return [{address, names}] of hosts, or raise AnsibleFilterError naming every host that is wrong."""
    if isinstance(hosts, str) or not isinstance(hosts, (list, tuple)):
        raise AnsibleFilterError(f"hosts_entries needs a list of host names, got {hosts!r}")
    if on_missing not in ("fail", "skip"):
        raise AnsibleFilterError(f"hosts_entries: on_missing must be fail or skip, got {on_missing!r}")
    if isinstance(candidates, str) or not candidates:
        raise AnsibleFilterError("hosts_entries: candidates must be a list of variable names")
    if duplicates not in ("fail", "warn", "allow"):
        raise AnsibleFilterError(f"hosts_entries: duplicates must be fail, warn or allow, got {duplicates!r}")
    entries, problems, left_out = [], [], []
    for host in hosts:
        variables = hostvars[host]
        try:
            names = _names(host, variables, str(domain or "").strip("."))
        except HostsError as exc:
            problems.append(f"{host}: {exc}")
            continue
        found = (_addresses(variables, candidate, len(hosts) == 1) for candidate in candidates)
        addresses = next((item for item in found if item), [])
        if not addresses:
            left_out.append(str(host))
        entries.extend({"address": address, "names": names} for address in addresses)
    asked = ", ".join(candidates)
    if on_missing == "fail":
        problems += [f"{host}: none of {asked} holds an address; set one of them" for host in left_out]
    if problems:
        raise AnsibleFilterError("hosts_entries: " + "; ".join(problems))
    display = Display()
    if left_out:
        display.warning(f"hosts_entries: left out, because none of {asked} holds an address: {', '.join(left_out)}")
    try:
        folded = normalise(entries, duplicates, lambda text: display.warning(f"hosts_entries: {text}"))
    except HostsError as exc:
        raise AnsibleFilterError(f"hosts_entries: {exc}") from exc
    return as_dicts([(address, name) for address, names in folded for name in names])


class FilterModule:
    def filters(self):
        return {"hosts_entries": hosts_entries}

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an inventory must be for a cluster to come out of it: groups, names, addresses, ids, quorums, ports.

Pure functions over plain data: `hosts` maps each host name to the variables the inventory sets for it,
`groups` maps each group's name to its members.
"""

from __future__ import annotations

from collections import defaultdict

from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import (
    HostsError,
    check_address,
    check_name,
)

TOP_GROUP = "aurora_cluster"
REQUIRED_GROUPS = ("zookeeper", "mesos_master", "mesos_slave", "aurora_scheduler")
COMPONENT_GROUPS = (*REQUIRED_GROUPS, "devtools")
ENSEMBLES = ("zookeeper", "mesos_master", "aurora_scheduler")
QUORUMS = {
    "mesos_master_quorum": "mesos_master",
    "aurora_scheduler_log_quorum_size": "aurora_scheduler",
}
# What the others compose from zookeeper_client_port, unless it is set.
CLIENTS = {
    "mesos_master": "mesos_master_zk",
    "mesos_slave": "mesos_slave_master",
    "aurora_scheduler": "aurora_scheduler_zk_endpoints",
    "devtools": "devtools_zk_port",
}
# Component, its ports' variables and the unit that listens on them.
PORTS = {
    "zookeeper": {
        "zookeeper_client_port": "zookeeper.service",
        "zookeeper_peer_port": "zookeeper.service",
        "zookeeper_election_port": "zookeeper.service",
    },
    "mesos_master": {"mesos_master_port": "mesos-master.service"},
    "mesos_slave": {
        "mesos_slave_port": "mesos-agent.service",
        "mesos_slave_observer_port": "thermos.service",
    },
    "aurora_scheduler": {
        "aurora_scheduler_http_port": "aurora-scheduler.service",
        "aurora_scheduler_libprocess_port": "aurora-scheduler.service",
    },
}


class Unresolved:
    """The value of a variable that is set to a template which has no answer before its role runs, and the reason."""

    def __init__(self, reason=""):
        self.reason = reason


class Problems:
    """Problems in the order they were found, each with the hosts that share it."""

    def __init__(self, all_hosts=()):
        self._all_hosts = list(all_hosts)
        self._found = {}

    def add(self, text, host=None):
        hosts = self._found.setdefault(text, [])
        if host is not None and host not in hosts:
            hosts.append(host)

    def lines(self):
        return ["%s%s" % (self._prefix(hosts), text) for text, hosts in self._found.items()]

    def _prefix(self, hosts):
        if not hosts:
            return ""
        if len(hosts) == 1:
            return "host %s: " % hosts[0]
        if len(hosts) == len(self._all_hosts):
            return "all %d hosts: " % len(hosts)
        return "hosts %s: " % ", ".join(hosts)


def as_int(value):
    """Return the number a variable holds, or None where it holds none; role specs take numbers written as text."""
    if isinstance(value, bool):
        return None
    try:
        return int(str(value))
    except ValueError:
        return None


def cluster_hosts(groups):
    """Return the machines of the cluster in the inventory's order."""
    members = dict.fromkeys(groups.get(TOP_GROUP, []))
    for group in COMPONENT_GROUPS:
        members.update(dict.fromkeys(groups.get(group, [])))
    return list(members)


def check_groups(groups, problems):
    top = set(groups.get(TOP_GROUP, []))
    for group in REQUIRED_GROUPS:
        if not groups.get(group):
            state = "is empty" if group in groups else "is missing"
            problems.add("group %s %s: put at least one host into it" % (group, state))
    for group in COMPONENT_GROUPS:
        outside = [host for host in groups.get(group, []) if host not in top]
        if outside:
            problems.add(
                "group %s: %s not in the group %s: make %s one of its children"
                % (group, "%s %s" % (", ".join(outside), "is" if len(outside) == 1 else "are"), TOP_GROUP, group)
            )
    placed = {host for group in COMPONENT_GROUPS for host in groups.get(group, [])}
    for host in groups.get(TOP_GROUP, []):
        if host not in placed:
            problems.add(
                "is in %s but in none of its component groups: put it into one of %s, or remove it"
                % (TOP_GROUP, ", ".join(COMPONENT_GROUPS)),
                host,
            )
    for group in ENSEMBLES:
        members = groups.get(group, [])
        if members and len(members) % 2 == 0:
            problems.add(
                "group %s: has %d members (%s), and an even number of voters survives no more failures than one fewer: "
                "add a host or remove one, so that it has 1, 3, 5, …" % (group, len(members), ", ".join(members))
            )


def check_names(groups, problems):
    for host in cluster_hosts(groups):
        try:
            check_name(host)
        except HostsError as error:
            problems.add(
                "the name goes into every machine's hosts file, but %s: rename it in the inventory" % error, host
            )


def check_addresses(hosts, groups, problems):
    homes = defaultdict(list)
    doors = defaultdict(list)
    for host in cluster_hosts(groups):
        variables = hosts[host]
        name = "cluster_address" if "cluster_address" in variables else "ansible_host"
        address = variables.get(name)
        if isinstance(address, Unresolved):
            problems.add(
                "%s is set to a template that has no value (%s): set it to the machine's address"
                % (name, address.reason),
                host,
            )
            continue
        if not address:
            problems.add(
                "has no address: set ansible_host, or cluster_address where its peers reach it elsewhere", host
            )
            continue
        try:
            homes[check_address(address)].append(host)
        except HostsError as error:
            problems.add("%s: %s; set cluster_address to the address its peers reach it at" % (name, error), host)
        door = variables.get("ansible_host")
        if door and not isinstance(door, Unresolved):
            doors[str(door), str(variables.get("ansible_port") or 22)].append(host)
    for address, sharing in homes.items():
        if len(sharing) > 1:
            problems.add(
                "hosts %s have one address, %s: give each its own cluster_address (default: ansible_host)"
                % (" and ".join(sharing), address)
            )
    shared = [set(sharing) for sharing in homes.values()]
    for (door, port), sharing in doors.items():
        if len(sharing) > 1 and set(sharing) not in shared:
            problems.add(
                "hosts %s are reached at one place, %s port %s: give each its own ansible_host or ansible_port"
                % (" and ".join(sharing), door, port)
            )


def check_zookeeper_ids(hosts, groups, problems):
    members = groups.get("zookeeper", [])
    if len(members) < 2:
        return
    taken = defaultdict(list)
    for host in members:
        value = hosts[host].get("zookeeper_id")
        if isinstance(value, Unresolved):
            continue
        if value is None:
            problems.add(
                "zookeeper_id is not set, and an ensemble of %d needs one for each member: set it to a number from 1 to "
                "255 that no other member has and that never changes" % len(members),
                host,
            )
            continue
        number = as_int(value)
        if number is None or not 1 <= number <= 255:
            problems.add("zookeeper_id is %r: set it to a number from 1 to 255" % value, host)
        else:
            taken[number].append(host)
    for number, sharing in taken.items():
        if len(sharing) > 1:
            problems.add(
                "hosts %s: zookeeper_id is %d on all of them: give each its own" % (", ".join(sharing), number)
            )


def check_quorums(hosts, groups, problems):
    """A quorum that the user sets must be a majority of the whole group, on each member the same."""
    for variable, group in QUORUMS.items():
        members = groups.get(group, [])
        values = {}
        for host in members:
            number = as_int(hosts[host].get(variable, 0))
            if number:
                values[host] = number
        majority = len(members) // 2 + 1
        for host, number in values.items():
            if not majority <= number <= len(members):
                problems.add(
                    "%s is %d, but the group %s has %d members: set it to %d, or leave it out"
                    % (variable, number, group, len(members), majority),
                    host,
                )
        if len(set(values.values())) > 1:
            problems.add(
                "group %s: its members disagree on %s (%s): set it once for the group"
                % (group, variable, ", ".join("%s: %d" % item for item in values.items()))
            )


def check_client_port(hosts, groups, defaults, problems):
    """The port that ZooKeeper's clients are told must be the one it listens on, also where it is set for one group."""

    def seen_by(host):
        return as_int(hosts[host].get("zookeeper_client_port", defaults.get("zookeeper_client_port")))

    served = {seen_by(host) for host in groups.get("zookeeper", [])}
    for group, variable in CLIENTS.items():
        for host in groups.get(group, []):
            if variable not in hosts[host] and served - {seen_by(host)}:
                problems.add(
                    "zookeeper_client_port is %s there and %s in the group zookeeper: set it once, for the group %s"
                    % (seen_by(host), " and ".join(sorted(map(str, served))), TOP_GROUP),
                    host,
                )


def wanted_ports(host, hosts, groups, defaults):
    """Return (variable, port, unit) for each port that the components on a host will listen on."""
    wanted = []
    for component, ports in PORTS.items():
        if host not in groups.get(component, []):
            continue
        for variable, unit in ports.items():
            number = as_int(hosts[host].get(variable, defaults.get(variable)))
            if number is not None:
                wanted.append((variable, number, unit))
    return wanted


def check_ports(hosts, groups, defaults, problems):
    for host in cluster_hosts(groups):
        users = defaultdict(list)
        for variable, number, _unit in wanted_ports(host, hosts, groups, defaults):
            if not 1 <= number <= 65535:
                problems.add("%s is %d: set it to a number from 1 to 65535" % (variable, number), host)
            users[number].append(variable)
        for number, variables in users.items():
            if len(variables) > 1:
                problems.add("%s are all %d: give each a port of its own" % (" and ".join(variables), number), host)


def check_inventory(hosts, groups, defaults, problems):
    check_groups(groups, problems)
    check_names(groups, problems)
    check_addresses(hosts, groups, problems)
    check_zookeeper_ids(hosts, groups, problems)
    check_quorums(hosts, groups, problems)
    check_client_port(hosts, groups, defaults, problems)
    check_ports(hosts, groups, defaults, problems)

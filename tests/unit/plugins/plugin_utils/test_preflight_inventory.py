# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.plugin_utils import _preflight_inventory as preflight

DEFAULTS = {"mesos_master_port": 5050, "mesos_slave_port": 5051, "zookeeper_client_port": 2181}


def cluster(**sizes):
    """Return hosts and groups of a cluster with that many members of each group; one of each when not told."""
    hosts, groups = {}, {"aurora_cluster": []}
    for group in preflight.COMPONENT_GROUPS:
        prefix = group.replace("_", "-")
        groups[group] = [f"{prefix}{number}" for number in range(1, sizes.get(group, 1) + 1)]
        for number, host in enumerate(groups[group], start=1):
            groups["aurora_cluster"].append(host)
            hosts[host] = {"ansible_host": f"10.0.0.{len(hosts) + 1}"}
            if group == "zookeeper":
                hosts[host]["zookeeper_id"] = number
    return hosts, groups


def problems_of(hosts, groups):
    problems = preflight.Problems(hosts)
    preflight.check_inventory(hosts, groups, DEFAULTS, problems)
    return problems.lines()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_sound_inventory_has_no_problem(size):
    assert problems_of(*cluster(zookeeper=size, mesos_master=size, aurora_scheduler=size, mesos_slave=2)) == []


def test_all_machines_may_be_one():
    hosts = {"one": {"ansible_host": "10.0.0.1"}}
    groups = {group: ["one"] for group in ("aurora_cluster", *preflight.COMPONENT_GROUPS)}
    assert problems_of(hosts, groups) == []


@pytest.mark.parametrize("group", preflight.REQUIRED_GROUPS)
def test_an_empty_group(group):
    (line,) = problems_of(*cluster(**{group: 0}))
    assert line == f"group {group} is empty: put at least one host into it"


def test_a_missing_group():
    hosts, groups = cluster(mesos_slave=0)
    del groups["mesos_slave"]
    assert problems_of(hosts, groups) == ["group mesos_slave is missing: put at least one host into it"]


def test_no_devtools_box_is_no_problem():
    assert problems_of(*cluster(devtools=0)) == []


@pytest.mark.parametrize("group", preflight.ENSEMBLES)
@pytest.mark.parametrize("size", [2, 4])
def test_an_even_ensemble(group, size):
    (line,) = problems_of(*cluster(**{group: size}))
    assert f"group {group}: has {size} members" in line
    assert f"{group.replace('_', '-')}{size}" in line


def test_a_group_outside_the_cluster():
    hosts, groups = cluster()
    groups["aurora_cluster"].remove("mesos-slave1")
    (line,) = problems_of(hosts, groups)
    assert line.startswith("group mesos_slave: mesos-slave1 is not in the group aurora_cluster")


def test_a_machine_without_a_component():
    hosts, groups = cluster()
    hosts["spare"] = {"ansible_host": "10.0.0.99"}
    groups["aurora_cluster"].append("spare")
    (line,) = problems_of(hosts, groups)
    assert line.startswith("host spare: is in aurora_cluster but in none of its component groups")


def test_two_machines_with_one_address():
    hosts, groups = cluster()
    hosts["mesos-slave1"]["cluster_address"] = hosts["mesos-master1"]["ansible_host"]
    (line,) = problems_of(hosts, groups)
    assert line.startswith("hosts mesos-master1 and mesos-slave1 have one address, 10.0.0.2")
    assert "cluster_address" in line


def test_two_machines_behind_one_door():
    hosts, groups = cluster(mesos_slave=2)
    for number, host in enumerate(groups["mesos_slave"], start=1):
        hosts[host] = {"ansible_host": "192.0.2.1", "cluster_address": f"10.1.0.{number}"}
    (line,) = problems_of(hosts, groups)
    assert line.startswith("hosts mesos-slave1 and mesos-slave2 are reached at one place, 192.0.2.1 port 22")
    hosts["mesos-slave2"]["ansible_port"] = 2222
    assert problems_of(hosts, groups) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "has no address: set ansible_host"),
        ({"ansible_host": "node.example.org"}, "ansible_host: 'node.example.org' is not an IPv4 or IPv6 address"),
        ({"ansible_host": "10.0.0.77", "cluster_address": "10.0.0.999"}, "cluster_address: '10.0.0.999' is not"),
        (
            {"cluster_address": preflight.Unresolved("no x")},
            "cluster_address is set to a template that has no value (no x)",
        ),
    ],
)
def test_an_address_that_is_none(variables, said):
    hosts, groups = cluster()
    hosts["mesos-slave1"] = variables
    (line,) = problems_of(hosts, groups)
    assert line.startswith(f"host mesos-slave1: {said}")


def test_a_name_that_no_hosts_file_takes():
    hosts, groups = cluster()
    hosts["mesos_slave1"] = hosts.pop("mesos-slave1")
    for members in groups.values():
        members[:] = ["mesos_slave1" if host == "mesos-slave1" else host for host in members]
    (line,) = problems_of(hosts, groups)
    assert line.startswith("host mesos_slave1: ")
    assert "RFC 1123" in line


def test_a_lone_zookeeper_needs_no_id():
    hosts, groups = cluster()
    del hosts["zookeeper1"]["zookeeper_id"]
    assert problems_of(hosts, groups) == []


@pytest.mark.parametrize("value", [0, 256, -1, "one", True, 1.5, ""])
def test_an_id_out_of_range(value):
    hosts, groups = cluster(zookeeper=3)
    hosts["zookeeper2"]["zookeeper_id"] = value
    (line,) = problems_of(hosts, groups)
    assert line == f"host zookeeper2: zookeeper_id is {value!r}: set it to a number from 1 to 255"


def test_missing_and_shared_ids():
    hosts, groups = cluster(zookeeper=5)
    del hosts["zookeeper1"]["zookeeper_id"], hosts["zookeeper5"]["zookeeper_id"]
    hosts["zookeeper3"]["zookeeper_id"] = "2"
    missing, shared = problems_of(hosts, groups)
    assert missing.startswith("hosts zookeeper1, zookeeper5: zookeeper_id is not set")
    assert shared == "hosts zookeeper2, zookeeper3: zookeeper_id is 2 on all of them: give each its own"


@pytest.mark.parametrize(
    ("size", "quorum", "sound"), [(3, 2, True), (3, 3, True), (3, 1, False), (5, 2, False), (3, 4, False)]
)
def test_a_quorum_is_a_majority_of_the_whole_group(size, quorum, sound):
    hosts, groups = cluster(mesos_master=size)
    for host in groups["mesos_master"]:
        hosts[host]["mesos_master_quorum"] = quorum
    lines = problems_of(hosts, groups)
    if sound:
        assert lines == []
    else:
        (line,) = lines
        assert f"mesos_master_quorum is {quorum}, but the group mesos_master has {size} members" in line


def test_members_that_disagree_on_the_quorum():
    hosts, groups = cluster(mesos_master=3)
    hosts["mesos-master1"]["mesos_master_quorum"] = 2
    hosts["mesos-master2"]["mesos_master_quorum"] = 3
    (line,) = problems_of(hosts, groups)
    assert "disagree on mesos_master_quorum (mesos-master1: 2, mesos-master2: 3)" in line


def test_two_components_of_a_host_with_one_port():
    hosts, groups = cluster()
    groups["mesos_slave"] = ["mesos-master1"]
    groups["aurora_cluster"].remove("mesos-slave1")
    hosts["mesos-master1"]["mesos_slave_port"] = 5050
    (line,) = problems_of(hosts, groups)
    assert (
        line == "host mesos-master1: mesos_master_port and mesos_slave_port are all 5050: give each a port of its own"
    )


def test_a_port_out_of_range():
    hosts, groups = cluster()
    hosts["mesos-master1"]["mesos_master_port"] = 70000
    assert problems_of(hosts, groups) == [
        "host mesos-master1: mesos_master_port is 70000: set it to a number from 1 to 65535"
    ]


def test_a_client_port_that_only_the_servers_are_told():
    hosts, groups = cluster(mesos_slave=2)
    hosts["zookeeper1"]["zookeeper_client_port"] = "2182"
    hosts["devtools1"]["devtools_zk_port"] = 2182
    (line,) = problems_of(hosts, groups)
    assert line == (
        "hosts mesos-master1, mesos-slave1, mesos-slave2, aurora-scheduler1: zookeeper_client_port is 2181 there and "
        "2182 in the group zookeeper: set it once, for the group aurora_cluster"
    )


def test_a_client_port_that_all_are_told():
    hosts, groups = cluster(zookeeper=3)
    for variables in hosts.values():
        variables["zookeeper_client_port"] = 2182
    assert problems_of(hosts, groups) == []


def test_hosts_that_share_a_problem_share_a_line():
    problems = preflight.Problems(["a", "b", "c"])
    for text, hosts in [("one", "a"), ("two", "ab"), ("all", "abc")]:
        for host in hosts:
            problems.add(text, host)
    problems.add("nobody's")
    assert problems.lines() == ["host a: one", "hosts a, b: two", "all 3 hosts: all", "nobody's"]

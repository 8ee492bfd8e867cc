# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.aurora.cluster.plugins.filter.hosts_entries import FilterModule

hosts_entries = FilterModule().filters()["hosts_entries"]

HOSTVARS = {
    "zk1": {"ansible_host": "192.0.2.1", "cluster_address": "10.0.0.1"},
    "m1": {"ansible_host": "192.0.2.2", "hosts_aliases": ["mesos", "www.example.org"]},
    "m2": {"ansible_host": "m2.example.net", "cluster_address": "fd00::3"},
}


def listed(entries):
    return {name: entry["address"] for entry in entries for name in entry["names"]}


@pytest.fixture
def warnings(monkeypatch):
    told = []
    monkeypatch.setattr(Display, "warning", lambda _display, text: told.append(text))
    return told


def test_peers_and_the_controller_are_given_different_addresses():
    assert hosts_entries(["zk1", "m1"], HOSTVARS) == [
        {"address": "10.0.0.1", "names": ["zk1"]},
        {"address": "192.0.2.2", "names": ["m1", "mesos", "www.example.org"]},
    ]
    assert hosts_entries(["zk1", "m1"], HOSTVARS, candidates=["ansible_host"])[0]["address"] == "192.0.2.1"


def test_a_candidate_that_is_a_name_is_passed_over():
    found = hosts_entries(["m2", "zk1"], HOSTVARS, candidates=["ansible_host", "cluster_address"])
    assert listed(found) == {"m2": "fd00::3", "zk1": "192.0.2.1"}


def test_a_missing_address_is_told_for_every_host():
    with pytest.raises(AnsibleFilterError) as caught:
        hosts_entries(["zk1", "m1", "m2"], HOSTVARS, candidates=["public_ip", "cluster_address"][:1])
    for host in ("zk1", "m1", "m2"):
        assert f"{host}: none of public_ip holds an address; set one of them" in str(caught.value)


def test_a_missing_address_can_be_skipped_and_is_told(warnings):
    hostvars = {**HOSTVARS, "m3": {}}
    found = hosts_entries(["m1", "zk1", "m3"], hostvars, ["cluster_address", "public_ip"], on_missing="skip")
    assert listed(found) == {"zk1": "10.0.0.1"}
    assert warnings == ["hosts_entries: left out, because none of cluster_address, public_ip holds an address: m1, m3"]


def test_nothing_is_told_where_every_host_has_an_address(warnings):
    hosts_entries(["zk1", "m1"], HOSTVARS, on_missing="skip")
    assert warnings == []


def test_candidates_reach_into_variables_and_lists():
    hostvars = {
        "a": {"ansible_facts": {"default_ipv4": {"address": "10.0.0.9"}}},
        "b": {"cluster_address": ["10.0.0.8", "fd00::8", "not an address"]},
        "c": {"ansible_facts": {"default_ipv4": {}}, "cluster_address": "10.0.0.7"},
    }
    found = hosts_entries(list(hostvars), hostvars, ["ansible_facts.default_ipv4.address", "cluster_address"])
    assert [(entry["address"], entry["names"]) for entry in found] == [
        ("10.0.0.7", ["c"]),
        ("10.0.0.8", ["b"]),
        ("10.0.0.9", ["a"]),
        ("fd00::8", ["b"]),
    ]


def test_a_loopback_address_is_for_a_machine_alone():
    hostvars = {"a": {"ansible_host": "127.0.0.1", "cluster_address": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}}
    candidates = ["ansible_host", "cluster_address"]
    assert listed(hosts_entries(["a", "b"], hostvars, candidates)) == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert listed(hosts_entries(["a"], hostvars, candidates)) == {"a": "127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "domain", "aliases", "names"),
    [
        ("zk1", "example.org", [], ["zk1.example.org", "zk1"]),
        ("zk1", ".example.org.", [], ["zk1.example.org", "zk1"]),
        ("zk1.example.org", "example.org", [], ["zk1.example.org", "zk1"]),
        ("zk1.example.org", "", [], ["zk1.example.org"]),
        ("zk1.eu", "example.org", [], ["zk1.eu.example.org", "zk1.eu"]),
        ("zk1", "", ["www.example.org", "zk10.example.org", "ZK1.example.org", "zk1.lan"],
         ["ZK1.example.org", "zk1.lan", "zk1", "www.example.org", "zk10.example.org"]),
        ("zk1", "example.org", ["www", "zk1.lan"], ["zk1.example.org", "zk1.lan", "zk1", "www"]),
        ("10.0.0.1", "", ["b", "10.example.org"], ["b", "10.example.org"]),
    ],
)  # fmt: skip
def test_the_fully_qualified_name_comes_first(host, domain, aliases, names):
    hostvars = {host: {"ansible_host": "10.0.0.1", "hosts_aliases": aliases}}
    assert hosts_entries([host], hostvars, domain=domain)[0]["names"] == names


def test_hosts_that_share_an_address_share_an_entry():
    hostvars = {name: {"ansible_host": "10.0.0.1"} for name in ("a", "b")}
    assert hosts_entries(["a", "b"], hostvars) == [{"address": "10.0.0.1", "names": ["a", "b"]}]


@pytest.mark.parametrize(
    ("host", "variables", "told"),
    [
        ("mesos_master", {}, "mesos_master: 'mesos_master' is not a host name"),
        ("10.0.0.1", {}, "the inventory name is an address; name the host, or list names in hosts_aliases"),
        ("a", {"hosts_aliases": "b"}, "a: hosts_aliases must be a list"),
        ("a", {"hosts_aliases": ["localhost"]}, "a: 'localhost' is reserved"),
        ("a", {"hosts_aliases": ["b c"]}, "a: 'b c' is not a host name"),
        ("a", {"hosts_aliases": [False]}, "a: hosts_aliases: False is no text, put it in quotation marks"),
        ("a", {"hosts_aliases": ["b", 7]}, "a: hosts_aliases: 7 is no text"),
    ],
)
def test_bad_names_are_told_with_their_host(host, variables, told):
    with pytest.raises(AnsibleFilterError, match=told):
        hosts_entries([host], {host: {"ansible_host": "10.0.0.1", **variables}})


def test_an_inventory_of_addresses_can_have_names():
    hostvars = {"10.0.0.1": {"ansible_host": "10.0.0.1", "hosts_aliases": ["zk1"]}}
    assert listed(hosts_entries(["10.0.0.1"], hostvars)) == {"zk1": "10.0.0.1"}


def test_an_alias_of_two_hosts_is_refused_unless_allowed(warnings):
    hostvars = {
        name: {"ansible_host": f"10.0.0.{number}", "hosts_aliases": ["www"]} for number, name in enumerate("ab")
    }
    with pytest.raises(AnsibleFilterError, match=r"www is given two addresses, .* \(duplicates=allow lets"):
        hosts_entries(["a", "b"], hostvars)
    both = [{"address": "10.0.0.0", "names": ["a", "www"]}, {"address": "10.0.0.1", "names": ["b", "www"]}]
    assert hosts_entries(["a", "b"], hostvars, duplicates="allow") == both
    assert warnings == []
    assert hosts_entries(["a", "b"], hostvars, duplicates="warn") == both
    assert warnings == ["hosts_entries: entries: entry 2: www is given two addresses, 10.0.0.0 and 10.0.0.1"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("zk1", HOSTVARS), "needs a list of host names"),
        ((["zk1"], HOSTVARS, "ansible_host"), "candidates must be a list"),
        ((["zk1"], HOSTVARS, []), "candidates must be a list"),
        ((["zk1"], HOSTVARS, ["ansible_host"], "ignore"), "on_missing must be fail or skip"),
        ((["zk1"], HOSTVARS, ["ansible_host"], "fail", "", True), "duplicates must be fail, warn or allow"),
    ],
)
def test_wrong_arguments_are_refused(arguments, told):
    with pytest.raises(AnsibleFilterError, match=told):
        hosts_entries(*arguments)

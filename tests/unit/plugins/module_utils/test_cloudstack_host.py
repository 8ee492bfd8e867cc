# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import itertools
import json

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_host import (
    Host,
    OddMachine,
    address,
    choose_name,
    distinct,
    facts,
    host_from_row,
)
from hypothesis import given
from hypothesis import strategies as st

PREFERENCES = {
    "hostnames": ["name"],
    "ansible_host": ["public", "port_forward", "default", "ipv6"],
    "cluster_address": ["default", "ipv6", "network:backend"],
    "prefix": "cloudstack_",
    "role_tag": "aurora_role",
}
ROW = {
    "id": "6fc14967-a848-4483-9eee-a6bd71dcc6a1",
    "name": "web1",
    "displayname": "Web 1",
    "account": "alice",
    "domainid": "d",
    "domain": "ROOT",
    "state": "Running",
    "haenable": False,
    "zoneid": "z",
    "zonename": "gva-2",
    "templatename": "Debian 12",
    "serviceofferingname": "Small",
    "cpunumber": 2,
    "cpuspeed": 2198,
    "memory": 4096,
    "hypervisor": "KVM",
    "keypairs": "mine,theirs",
    "securitygroup": [{"id": "1", "name": "default"}, {"id": "2", "name": "cluster"}],
    "affinitygroup": [{"id": "3", "name": "apart"}],
    "tags": [{"key": "aurora_role", "value": "mesos-master,zookeeper"}, {"key": "note", "value": ""}],
    "nic": [
        {"id": "n2", "networkname": "backend", "ipaddress": "10.2.0.5", "isdefault": False},
        {
            "id": "n1",
            "networkname": "front",
            "networkid": "7",
            "ipaddress": "10.1.0.5",
            "ip6address": "2001:db8::5",
            "isdefault": True,
            "secondaryip": [{"id": "s", "ipaddress": "10.1.0.6"}],
        },
    ],
}


def host(row=None, forwards=(), **preferences):
    return host_from_row(ROW if row is None else row, forwards, **{**PREFERENCES, **preferences})


def changed(**fields):
    row = {**copy.deepcopy(ROW), **fields}
    return {key: value for key, value in row.items() if value is not ...}


def test_a_machine_as_the_documentation_has_it():
    found = host()
    assert (found.name, found.roles, found.warnings) == ("web1", ["mesos_master", "zookeeper"], [])
    variables = found.variables
    assert variables["ansible_host"] == variables["cluster_address"] == "10.1.0.5"
    assert "ansible_port" not in variables
    assert variables["cloudstack_key_pairs"] == ["mine", "theirs"]
    assert variables["cloudstack_security_groups"] == ["cluster", "default"]
    assert variables["cloudstack_affinity_groups"] == ["apart"]
    assert variables["cloudstack_tags"] == {"aurora_role": "mesos-master,zookeeper", "note": ""}
    assert variables["cloudstack_state"] == "running"
    assert variables["cloudstack_memory_mb"] == 4096
    assert variables["cloudstack_nics"][1]["secondary_ips"] == ["10.1.0.6"]


def test_every_variable_is_there_whatever_the_row_lacks():
    full = host().variables
    bare = host({"id": "1", "name": "x"}).variables
    assert full.keys() - bare.keys() == {"ansible_host", "cluster_address"}
    assert bare["cloudstack_zone"] is None
    assert bare["cloudstack_nics"] == bare["cloudstack_key_pairs"] == []
    assert bare["cloudstack_tags"] == {}
    assert bare["cloudstack_state"] == "unknown"


@pytest.mark.parametrize(
    ("nics", "address", "warned"),
    [
        (..., None, True),
        ([], None, True),
        (None, None, True),
        ("none", None, True),
        ([None, "x", {}], None, True),
        ([{"isdefault": True}], None, True),
        # The default card has no address: the other one is taken only if a preference names its network.
        ([{"isdefault": True}, {"networkname": "other", "ipaddress": "10.0.0.1"}], None, True),
        ([{"isdefault": True, "ip6address": "2001:db8::1"}], "2001:db8::1", False),
        ([{"ipaddress": "10.0.0.1"}, {"ipaddress": "10.0.0.2"}], "10.0.0.1", False),
        ([{"ipaddress": "10.0.0.1"}, {"ipaddress": "10.0.0.2", "isdefault": "true"}], "10.0.0.2", False),
        ({"ipaddress": "10.0.0.3", "isdefault": True}, "10.0.0.3", False),
        ([{"isdefault": True, "ipaddress": "-oProxyCommand=evil"}], None, True),
        ([{"isdefault": True, "ipaddress": "0.0.0.0"}], None, True),
    ],
)
def test_cards_of_all_kinds(nics, address, warned):
    found = host(changed(nic=nics))
    assert found.variables.get("ansible_host") == address
    assert bool(found.warnings) == warned


def test_the_default_card_comes_before_the_others_also_for_ipv6():
    nics = [{"ip6address": "2001:db8::1"}, {"ip6address": "2001:db8::2", "isdefault": True}]
    assert host(changed(nic=nics), ansible_host=["ipv6"]).variables["ansible_host"] == "2001:db8::2"


def test_ids_may_be_numbers():
    variables = host(changed(id=17, zoneid=1, projectid=5)).variables
    assert (variables["cloudstack_id"], variables["cloudstack_zone_id"], variables["cloudstack_project_id"]) == (
        "17",
        "1",
        "5",
    )


def test_numbers_may_be_text_and_odd_ones_are_unknown():
    found = facts({"id": 1, "cpunumber": "4", "memory": "lots", "cpuspeed": None, "haenable": "true"})
    assert (found["cpus"], found["memory_mb"], found["cpu_mhz"], found["ha_enabled"]) == (4, None, None, True)


@pytest.mark.parametrize("value", ["yes", "1.10", "0123", "null", "a: b", "@foo", "{{ x }}", "ünïcode", "x\ny: z"])
def test_text_stays_the_text_it_is(value):
    row = changed(displayname=value, templatename=value, tags=[{"key": "k", "value": value}])
    variables = host(row).variables
    assert variables["cloudstack_displayname"] == variables["cloudstack_template"] == value
    assert variables["cloudstack_tags"] == {"k": value}
    assert "y" not in variables


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"name": "web-1.example_x"}, "web-1.example_x"),
        ({"name": "no"}, "no"),
        ({"name": "123"}, "123"),
        ({"name": "größe"}, "größe"),
        ({"name": "two words"}, "id-1"),
        ({"name": "a:b"}, "id-1"),
        ({"name": "web[1:3]"}, "id-1"),
        ({"name": "-v"}, "id-1"),
        ({"name": "../../etc/passwd"}, "id-1"),
        ({"name": "x\n"}, "id-1"),
        ({"name": ""}, "id-1"),
        ({}, "id-1"),
        ({"name": "localhost"}, "id-1"),
        ({"name": "LOCALHOST"}, "id-1"),
        ({"name": "127.0.0.1"}, "id-1"),
        ({"name": "all"}, "id-1"),
        ({"name": "x" * 254}, "id-1"),
    ],
)
def test_a_name_that_would_mean_something_else_is_passed_over(row, expected):
    assert choose_name(facts({"id": "id-1", **row}), ["name"]) == expected


@pytest.mark.parametrize("row", [None, "text", 5, [], {}, {"name": "a b"}, {"name": "localhost", "id": None}])
def test_what_no_host_can_be_made_of_says_so(row):
    with pytest.raises(OddMachine, match=r"listing holds|has no usable name"):
        host_from_row(row, (), **PREFERENCES)


def rule(**fields):
    return {
        "ipaddress": "192.0.2.1",
        "protocol": "TCP",
        "publicport": "2201",
        "publicendport": "2201",
        "privateport": "22",
        "privateendport": "22",
        **fields,
    }


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule()], ("192.0.2.1", 2201)),
        ([rule(publicport=2201, privateport=22)], ("192.0.2.1", 2201)),
        ([rule(privateport="20", privateendport="30", publicport="2020", publicendport="2030")], ("192.0.2.1", 2022)),
        ([rule(privateport="80", privateendport="80")], ("10.1.0.5", None)),
        ([rule(protocol="udp")], ("10.1.0.5", None)),
        ([rule(state="Deleting")], ("10.1.0.5", None)),
        ([rule(publicport=None)], ("10.1.0.5", None)),
        ([rule(ipaddress=None)], ("10.1.0.5", None)),
        # Which of several is taken does not depend on the order they come in.
        ([rule(publicport="9999"), rule()], ("192.0.2.1", 2201)),
    ],
)
def test_forwarded_ports(rules, expected):
    variables = host(forwards=rules).variables
    assert (variables["ansible_host"], variables.get("ansible_port")) == expected


@pytest.mark.parametrize("text", ["fe80::1%x\nansible_connection: local", "fe80::1%;touch x", "fe80::1%eth0", "%"])
def test_an_address_with_a_percent_sign_is_none(text):
    assert address(text) is None
    assert address(text, 6) is None


def test_a_static_nat_address_comes_from_the_row_or_from_a_card():
    assert host(changed(publicip="192.0.2.9")).variables["ansible_host"] == "192.0.2.9"
    nics = [{"ipaddress": "10.0.0.1", "publicip": "192.0.2.8", "isdefault": True}]
    assert host(changed(nic=nics)).variables["ansible_host"] == "192.0.2.8"


def named(*pairs):
    return [Host(ident, name, {}, [], []) for name, ident in pairs]


def test_doubles_get_their_ids_in_whatever_order_they_come():
    hosts = named(("web", "11111111-a"), ("db", "22222222-b"), ("web", "33333333-c"))
    expected = {"web-11111111", "web-33333333", "db"}
    for order in (hosts, hosts[::-1]):
        found, doubles = distinct(order)
        assert {one.name for one in found} == expected
        assert doubles == ["web"]


def test_doubles_with_alike_ids_or_a_taken_name_are_told_apart_all_the_same():
    found, _doubles = distinct(named(("web", "11111111-a"), ("web", "11111111-b")))
    assert {one.name for one in found} == {"web-11111111-a", "web-11111111-b"}
    found, _doubles = distinct(named(("web", "11111111-a"), ("web", "22222222-b"), ("web-11111111", "33333333-c")))
    assert len({one.name for one in found}) == 3


@pytest.mark.parametrize("ids", [("", ""), ("1", "1"), ("", "1"), ("", "", "1", "1")])
def test_names_are_distinct_whatever_the_ids(ids):
    hosts = [Host(ident, "web", {"number": number}, [], []) for number, ident in enumerate(ids)]
    hosts += [Host("9", "web-2", {}, [], []), Host("8", "web-1", {}, [], [])]
    for order in itertools.permutations(hosts):
        found, doubles = distinct(list(order))
        assert doubles == ["web"]
        assert len({host.name for host in found}) == len(hosts)
        assert all(choose_name({"name": host.name}, ["name"]) == host.name for host in found)
        assert {host.name for host in found if host.id in ("8", "9")} == {"web-1", "web-2"}
        # Who is called what does not depend on the order.
        assert sorted((host.name, str(host.variables)) for host in found) == sorted(
            (host.name, str(host.variables)) for host in distinct(hosts)[0]
        )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*ROW, "publicip", "project"]), anything), st.lists(anything, max_size=3))
def test_no_row_whatever_makes_it_fall_over(fields, nics):
    row = {**ROW, "nic": nics, **fields}
    try:
        found = host(row)
    except OddMachine:
        return
    assert found.variables.keys() >= {f"cloudstack_{key}" for key in facts({})}
    json.dumps(found.variables)

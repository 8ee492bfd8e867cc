# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.errors import AnsibleOptionsError, AnsibleParserError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.aurora.cluster.plugins.inventory.cloudstack import InventoryModule


def test_the_groups_are_there_before_there_is_a_machine(double, read):
    assert read().groups == {"cloudstack": [], "aurora_cluster": []}


def test_only_files_of_its_name_are_its_own(tmp_path):
    for name, own in {
        "cloudstack.yml": True,
        "cloudstack.yaml": True,
        "blue.cloudstack.yml": True,
        "blue.cloudstack.yaml": True,
        "mycloudstack.yml": False,
        "cloudstack.yml.bak": False,
        "hosts.yml": False,
    }.items():
        (tmp_path / name).write_text("plugin: aurora.cluster.cloudstack\n")
        assert InventoryModule().verify_file(str(tmp_path / name)) is own, name
    assert not InventoryModule().verify_file(str(tmp_path / "missing.cloudstack.yml"))


def test_a_tagged_cloud_is_a_cluster(double, read):
    double.add_machine("zk1", tags={"aurora_role": "zookeeper"})
    double.add_machine("m1", tags={"aurora_role": "mesos-master, aurora_scheduler"})
    double.add_machine("other", tags={"owner": "somebody"})
    seen = read()
    assert seen.groups == {
        "cloudstack": ["m1", "other", "zk1"],
        "aurora_cluster": ["m1", "zk1"],
        "zookeeper": ["zk1"],
        "mesos_master": ["m1"],
        "aurora_scheduler": ["m1"],
    }
    assert seen.warnings == []


def test_a_machine_called_like_its_group_keeps_its_variables(double, read):
    double.add_machine("a", tags={"aurora_role": "zookeeper"})
    double.add_machine("zookeeper", address="10.200.0.9", tags={"aurora_role": "zookeeper"})
    seen = read("compose: {role: \"'quorum'\"}\ngroups: {zookeeper: true, big: cloudstack_memory_mb > 1}")
    assert seen.vars("zookeeper")["ansible_host"] == "10.200.0.9"
    assert seen.vars("zookeeper")["role"] == "quorum"
    assert seen.groups["zookeeper"] == seen.groups["big"] == ["a", "zookeeper"]
    assert not {"ansible_host", "role"} & seen.inventory.groups["zookeeper"].vars.keys()


def test_group_tag_and_prefix_can_have_other_names(double, read):
    double.add_machine("zk1", tags={"rolle": "zookeeper"})
    seen = read(group="wolke", cluster_group="verbund", role_tag="rolle", hostvars_prefix="cs_")
    assert seen.groups == {"wolke": ["zk1"], "verbund": ["zk1"], "zookeeper": ["zk1"]}
    assert seen.vars("zk1")["cs_zone"] == "basic"


def test_a_tag_cannot_take_groups_that_are_not_its_own(double, read):
    double.add_machine("x", tags={"aurora_role": "all,ungrouped,cloudstack,9lives,zookeeper"})
    double.add_machine("y", tags={"aurora_role": "aurora_cluster"})
    seen = read()
    assert seen.groups == {"cloudstack": ["x", "y"], "aurora_cluster": ["x", "y"], "zookeeper": ["x"]}
    [warning] = seen.warnings
    for word in ("'all'", "'ungrouped'", "'cloudstack'", "'9lives'", "machine 'x'"):
        assert word in warning


def fill(double):
    """A machine for each thing that can be filtered by."""
    double.add_machine("basic", tags={"cluster": "blue"})
    double.add_machine("advanced", zone="advanced", tags={"cluster": "green", "tier": "1"})
    double.add_machine("stopped", state="Stopped")
    double.add_machine("in-blue", project="blue", tags={"cluster": "blue", "tier": "2"})
    double.add_machine("in-green", project="green")
    double.add_machine("bobs", account="bob")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "advanced basic in-blue in-green"),
        ({"projects": ["none"]}, "advanced basic"),
        ({"projects": ["blue"]}, "in-blue"),
        ({"projects": ["blue", "green"]}, "in-blue in-green"),
        ({"projects": ["none", "green"]}, "advanced basic in-green"),
        ({"zones": ["basic"]}, "basic in-blue in-green"),
        ({"zones": ["advanced-sg", "advanced"]}, "advanced"),
        ({"states": ["stopped"]}, "stopped"),
        ({"states": ["running", "stopped"], "projects": ["none"]}, "advanced basic stopped"),
        ({"states": []}, "advanced basic in-blue in-green stopped"),
        ({"account": "alice"}, "advanced basic"),
        ({"account": "nobody"}, ""),
        ({"domain": "ROOT"}, "advanced basic in-blue in-green"),
        ({"tags": {"cluster": "blue"}}, "basic in-blue"),
        ({"tags": {"cluster": "blue", "tier": "2"}}, "in-blue"),
        ({"tags": {"tier": 1}}, "advanced"),
        ({"tags": {"cluster": ["blue", "green"], "tier": ["1", "2", "3"]}}, "advanced in-blue"),
        ({"include": "zonename == 'advanced'"}, "advanced"),
        ({"include": "project", "exclude": "tags[?key=='tier']"}, "in-green"),
        ({"exclude": "starts_with(name, 'in-')"}, "advanced basic"),
    ],
    ids=str,
)
def test_filters(double, read, options, names):
    fill(double)
    assert read(**options).names == names.split()


def test_an_administrator_sees_all_accounts(double, read, monkeypatch):
    fill(double)
    for name, value in double.environment("admin").items():
        monkeypatch.setenv(name, value)
    assert set(read().names) == {"advanced", "basic", "bobs", "in-blue", "in-green"}
    assert read(account="bob").names == ["bobs"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zones": ["advancd"]}, ["listZones", "no zone 'advancd'", "Near matches: advanced, advanced-sg"]),
        ({"projects": ["blu"]}, ["no project 'blu'", "Near matches: blue"]),
        ({"domain": "Elsewhere"}, ["no domain 'Elsewhere'", "There are: ROOT"]),
        ({"account": "alice", "projects": ["blue"]}, ["`account` and `projects` exclude each other"]),
        ({"tags": {"a": None}}, ["`tags` has no value for 'a'"]),
        ({"include": "zonename = 'x'"}, ["`include` is no JMESPath expression"]),
        ({"exclude": "nosuch(name)", "strict": True}, ["`exclude`", "nosuch"]),
        ({"hostnames": ["label"]}, ["`hostnames` cannot use 'label'", "tag:KEY"]),
        ({"hostnames": []}, ["`hostnames` is empty"]),
        ({"ansible_host": ["network"]}, ["`ansible_host` cannot use 'network'", "network:NETWORK"]),
        ({"ansible_host": ["default:x"]}, ["`ansible_host` cannot use 'default:x'"]),
        ({"cluster_address": ["port_forward:ssh"]}, ["`cluster_address` cannot use 'port_forward:ssh'"]),
        ({"hostvars_prefix": ""}, ["`hostvars_prefix` is ''"]),
        ({"hostvars_prefix": "my-"}, ["`hostvars_prefix` is 'my-'"]),
        ({"group": "all"}, ["`group` is 'all'"]),
        ({"cluster_group": "a b"}, ["`cluster_group` is 'a b'"]),
        ({"key": "alice-key", "secret": "wrong-secret"}, ["(401)", "Check the key (from option `key`)"]),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_file_is_one_clear_error(double, read, options, words):
    double.add_machine("x")
    with pytest.raises(AnsibleParserError) as caught:
        read(**options)
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value).replace("its secret", "")


def test_a_state_that_does_not_exist_is_refused(double, read):
    with pytest.raises(AnsibleOptionsError, match=r"Invalid value \['runing'\] for config 'states'"):
        read(states=["runing"])


def test_a_file_without_credentials_says_where_they_could_be(read, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("ENDPOINT", "KEY", "SECRET"):
        monkeypatch.delenv(f"CLOUDSTACK_{name}", raising=False)
    with pytest.raises(AnsibleParserError, match=r"cloudstack\.yml: The CloudStack connection lacks endpoint and key"):
        read()


def test_a_retired_endpoint_and_a_proxy_are_told_apart(double, read):
    double.server.answers = "retired"
    with pytest.raises(AnsibleParserError, match=r"This API is deprecated.*\(403\)\. .*Exoscale closed"):
        read()
    double.server.intercept = None
    double.server.answers = "cloudstack"
    double.server.intercept = lambda command, params: (200, "text/html", "<title>Captive portal</title>")
    with pytest.raises(AnsibleParserError, match="saying 'Captive portal'"):
        read()


# Names


def test_names_follow_the_preferences_and_fall_back_to_the_id(double, read):
    double.add_machine("a", displayname="Frontend", tags={"fqdn": "a.example.org"})
    double.add_machine("b", displayname="two words")
    odd = double.add_machine("localhost", displayname="all")
    seen = read(hostnames=["tag:fqdn", "displayname", "name"])
    assert seen.names == sorted(["a.example.org", "b", odd["id"]])


def test_two_machines_of_one_name_are_both_there(double, read):
    rows = [double.add_machine("web", zone="basic"), double.add_machine("web", zone="advanced")]
    seen = read()
    assert seen.names == sorted(f"web-{row['id'][:8]}" for row in rows)
    assert seen.warnings == [
        "Several machines are called web. They are listed with their ids, or else numbers, behind the name."
    ]


def test_two_machines_of_one_name_without_ids_are_both_there(double, read):
    for zone in ("basic", "advanced"):
        double.add_machine("web", zone=zone, id="")
    seen = read()
    assert seen.names == ["web", "web-2"]
    assert {seen.vars(name)["cloudstack_zone"] for name in seen.names} == {"basic", "advanced"}
    [warning] = seen.warnings
    assert warning.startswith("Several machines are called web.")


@pytest.mark.parametrize("method", ["POST", "Get"])
def test_the_method_may_be_spelled_in_capitals(double, read, monkeypatch, method):
    double.add_machine("m")
    monkeypatch.setenv("CLOUDSTACK_METHOD", method)
    assert read().names == ["m"]


def test_a_method_that_there_is_not_is_refused_by_the_name_of_its_variable(double, read, monkeypatch):
    monkeypatch.setenv("CLOUDSTACK_METHOD", "put")
    with pytest.raises(
        AnsibleParserError, match=r"'put' of CLOUDSTACK_METHOD cannot be used\. It has to be get or post"
    ):
        read()


@pytest.mark.parametrize("text", ["fe80::1%x\nansible_connection: local", "fe80::1%;touch x", "fe80::1%eth0"])
def test_an_address_carries_no_text_along(double, read, text):
    double.add_machine("m", address=None)["nic"][0]["ip6address"] = text
    seen = read()
    assert seen.vars("m")["cloudstack_default_ipv6"] is None
    assert not {"ansible_host", "cluster_address"} & seen.vars("m").keys()
    assert len(seen.warnings) == 1


def test_two_machines_of_one_name_are_refused_if_asked(double, read):
    for zone in ("basic", "advanced"):
        double.add_machine("web", zone=zone)
    with pytest.raises(AnsibleParserError, match=r"several machines are called web\. .*hostnames.*duplicate_names"):
        read(duplicate_names="refuse")


# Addresses


def test_addresses_follow_the_preferences(double, read):
    storage = double.cloud.by_name("network", "storage")
    row = double.add_machine("m", zone="advanced", address="10.201.0.5")
    row["nic"][0]["ip6address"] = "2001:DB8::5"
    second = {"networkid": storage["id"], "networkname": "storage", "ipaddress": "10.202.0.5", "isdefault": False}
    row["nic"].insert(0, second)
    forwards = {
        "ipaddress": "192.0.2.1",
        "virtualmachineid": row["id"],
        "protocol": "tcp",
        "state": "Active",
        "privateport": "20",
        "privateendport": "25",
        "publicport": "2220",
        "publicendport": "2225",
        "account": "alice",
    }
    double.cloud.add("portforwardingrule", forwards)
    double.server.alter = lambda command, answer: (
        {"listportforwardingrulesresponse": {"count": 1, "portforwardingrule": [forwards]}}
        if command == "listPortForwardingRules"
        else answer
    )

    def found(*preferences):
        seen = read(ansible_host=list(preferences), cluster_address=["network:storage", "default"]).vars("m")
        assert seen["cluster_address"] == "10.202.0.5"
        return seen["ansible_host"], seen.get("ansible_port")

    assert found("default") == ("10.201.0.5", None)
    assert found("public", "network:storage") == ("10.202.0.5", None)
    assert found(f"network:{storage['id']}") == ("10.202.0.5", None)
    assert found("ipv6") == ("2001:db8::5", None)
    assert found("port_forward") == ("192.0.2.1", 2222)
    assert found("port_forward:8080", "default") == ("10.201.0.5", None)
    row["publicip"] = "192.0.2.77"
    assert found("public", "default") == ("192.0.2.77", None)


def test_rules_are_listed_only_if_they_are_wanted(double, read):
    double.add_machine("m")
    read()
    assert double.cloud.calls["listPortForwardingRules"] == 0
    assert double.cloud.calls["listVirtualMachines"] == 2


def test_what_the_server_can_sort_out_it_is_asked_to(double, read):
    asked = {}
    double.server.intercept = lambda command, params: asked.setdefault(command, params) and None
    double.add_machine("m", tags={"cluster": "blue"})
    read(zones=["basic"], domain="ROOT", account="alice", tags={"cluster": "blue"}, ansible_host=["port_forward"])
    zone, domain = double.cloud.by_name("zone", "basic")["id"], double.cloud.by_name("domain", "ROOT")["id"]
    wanted = {"zoneid": zone, "domainid": domain, "isrecursive": "true", "account": "alice", "state": "Running"}
    assert wanted.items() <= asked["listVirtualMachines"].items()
    assert asked["listVirtualMachines"]["tags[0].value"] == "blue"
    # Rules have neither zone nor state nor the machine's tags.
    rules = asked["listPortForwardingRules"]
    assert rules["domainid"] == domain
    assert not {"zoneid", "state", "tags[0].key"} & rules.keys()


def test_a_machine_without_address_stays_and_costs_one_warning(double, read):
    double.add_machine("wire", zone="advanced", network="wire")
    double.add_machine("fine")
    seen = read()
    assert seen.names == ["fine", "wire"]
    assert "ansible_host" not in seen.vars("wire")
    [warning] = seen.warnings
    assert "machine 'wire'" in warning
    assert "no address for ansible_host and cluster_address" in warning


# Text stays text


def test_values_are_never_templated(double, read):
    """Neither while the inventory is made nor when a play uses them."""
    hostile = "{{ lookup('pipe', 'echo pwned') }}"
    double.add_machine("m", displayname=hostile, tags={"note": hostile, "aurora_role": hostile})
    seen = read(
        "compose: {copy: cloudstack_displayname, joined: \"'x ' ~ cloudstack_tags.note\"}\n"
        "keyed_groups: [{key: cloudstack_displayname, prefix: n}]"
    )
    variables = seen.vars("m")
    assert variables["cloudstack_displayname"] == variables["copy"] == hostile
    assert variables["joined"] == f"x {hostile}"
    templar = Templar(loader=DataLoader(), variables=variables)
    for name in ("cloudstack_displayname", "copy", "joined"):
        use = TrustedAsTemplate().tag("{{ %s }}" % name)
        assert "lookup(" in templar.template(use)
    assert not TrustedAsTemplate.is_tagged_on(variables["cloudstack_displayname"])


def test_what_an_option_fetches_by_a_lookup_is_used(double, read, monkeypatch):
    double.add_machine("m")
    monkeypatch.delenv("CLOUDSTACK_SECRET")
    monkeypatch.setenv("ELSEWHERE", "alice-secret")
    assert read(secret="{{ lookup('ansible.builtin.env', 'ELSEWHERE') }}").names == ["m"]


# Odd answers of the server


def test_a_server_with_small_pages_throttling_and_a_moving_list(double, read):
    for number in range(25):
        double.add_machine(f"m{number:02}")
    double.server.page_size = 4
    assert len(read().names) == 25


def test_an_old_server_that_does_not_know_the_details(double, read):
    double.add_machine("m")
    text = json.dumps(
        {"listvirtualmachinesresponse": {"errorcode": 431, "errortext": "The details parameter contains a bad value"}}
    )
    double.server.intercept = lambda command, params: (
        (431, "application/json", text) if "affgrp" in params.get("details", "") else None
    )
    assert read().names == ["m"]


def test_a_cloud_without_projects_says_how_to_do_without(double, read):
    double.add_machine("m")
    text = json.dumps({"listvirtualmachinesresponse": {"errorcode": 431, "errortext": "Invalid projectid -1"}})
    double.server.intercept = lambda command, params: (431, "application/json", text) if "projectid" in params else None
    with pytest.raises(AnsibleParserError, match=r"Invalid projectid -1.*`projects: \[none\]`"):
        read()
    assert read(projects=["none"]).names == ["m"]

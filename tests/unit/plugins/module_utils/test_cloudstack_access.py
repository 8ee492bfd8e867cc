# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a security group: compared before anything is added, because a cloud refuses one it has already."""

from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import from_options
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_access import (
    SecurityGroup,
    fingerprint,
    rule_of,
    rule_text,
    wanted_rules,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_wanted import Problems
from doubles.cloudstack import Double


@pytest.fixture
def double():
    with Double() as double:
        yield double


@pytest.fixture
def cloud(double, monkeypatch):
    monkeypatch.setenv("CLOUDSTACK_POLL_INTERVAL", "0.02")
    return from_options(double.options())


def group(cloud, cidrs=("203.0.113.0/24",), ports=("22",)):
    found = SecurityGroup(cloud, {}, "blue", "blue")
    found.check(list(cidrs), list(ports), [])
    return found


def test_rules_are_few_and_exact(cloud, double):
    made = group(cloud, ports=["22", "31000-32000"])
    made.create()
    made.begin()
    made.finish()
    rows = double.cloud.by_name("securitygroup", "blue")["ingressrule"]
    assert sorted(rule_text(rule_of(row)) for row in rows) == [
        "icmp from group blue",
        "tcp 1-65535 from group blue",
        "tcp 22 from 203.0.113.0/24",
        "tcp 31000-32000 from 203.0.113.0/24",
        "udp 1-65535 from group blue",
    ]
    assert {row["account"] for row in rows if "securitygroupname" in row} == {"alice"}


def test_a_second_time_nothing_is_added(cloud, double):
    for _time in range(2):
        again = group(cloud)
        again.create()
        again.begin()
        again.finish()
    assert (again.to_add, again.to_remove) == (set(), set())
    assert double.cloud.calls["authorizeSecurityGroupIngress"] == 4
    assert double.cloud.calls["createSecurityGroup"] == 1


def test_what_is_no_longer_wanted_is_closed(cloud, double):
    first = group(cloud, cidrs=["203.0.113.0/24", "198.51.100.7"])
    first.create()
    first.begin()
    first.finish()
    second = group(cloud, cidrs=["192.0.2.0/24"])
    assert sorted(map(rule_text, second.to_remove)) == ["tcp 22 from 198.51.100.7/32", "tcp 22 from 203.0.113.0/24"]
    second.begin()
    second.finish()
    rows = double.cloud.by_name("securitygroup", "blue")["ingressrule"]
    assert [row["cidr"] for row in rows if "cidr" in row] == ["192.0.2.0/24"]


def test_numbers_that_come_as_text_are_the_same_rule():
    row = {"protocol": "TCP", "startport": "22", "endport": "22", "cidr": "192.0.2.0/24", "ruleid": "1"}
    assert {rule_of(row)} == wanted_rules(["192.0.2.0/24"], ["22"], [])


@pytest.mark.parametrize("port", ["", "0", "65536", "23-22", "ssh", "22,80"])
def test_ports_that_are_none(port):
    with pytest.raises(Problems, match="is no port"):
        wanted_rules(["192.0.2.0/24"], [port], [])


def test_fingerprints_are_those_of_the_cloud():
    # ssh-keygen -l -E md5 prints the same.
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbMK0yMzSIqQ5Cb5mRZhUX8QC3Kpg3h3rSgTJ2Z8sYk x"
    assert fingerprint(key) == "86:59:86:ce:b3:0b:bc:3b:34:cd:0c:55:49:ef:ac:af"

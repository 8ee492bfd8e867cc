# SPDX-License-Identifier: GPL-3.0-or-later
"""Wishes that cannot be fulfilled: one clear error, before anything is changed."""

from __future__ import annotations

import pytest
from doubles.cloudstack.wishes import machine, wish, writes


def refused(run, double, text, **options):
    result = run(**options)
    assert result["failed"], result
    assert text in result["msg"]
    assert writes(double) == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"offering": "Smal"}, "no offering 'Smal' that this key can see. Near matches: Small"),
        ({"template": "Debian"}, "no template 'Debian' that this key can see. Near matches: Debian 1"),
        ({"zone": "basics"}, "no zone 'basics' that this key can see. Near matches: basic"),
        ({"zone": "advanced", "networks": ["clusters"]}, "no network 'clusters'"),
        ({"zone": None, "template": ""}, "a: zone and template missing"),
        ({"least_memory": 1500}, "has 1024 MB of memory, and 1500 MB are needed. Large enough: Large, Medium"),
        ({"networks": ["cluster"]}, "is a Basic one and has no networks"),
        ({"zone": "advanced"}, "has no security groups"),
        ({"security_groups": ["web"]}, "no security group 'web'"),
        ({"affinity_groups": ["apart"]}, "no affinity group 'apart' that this key can see. There are none."),
        ({"key_pair": "laptop"}, "no key pair 'laptop'"),
        ({"user_data": "x" * 30000}, "and requests sent by POST carry 32768"),
        ({"name": "mesos_master"}, "a machine's name is made of letters"),
        ({"tags": {"aurora_role": "x"}}, "leave them out"),
    ],
)
def test_bad_machines(run, double, fields, text):
    refused(
        run,
        double,
        text,
        **{**wish(), "machines": [machine("a", **fields) if "name" not in fields else {**machine("a"), **fields}]},
    )


def test_all_problems_at_once(run, double):
    machines = [machine("a", offering="Huge"), machine("b", offering="Huge"), machine("c", template="BSD")]
    result = run(**{**wish(), "machines": machines})
    assert "a, b: There is no offering 'Huge'" in result["msg"] or "a, b: there is no offering 'Huge'" in result["msg"]
    assert "c: " in result["msg"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"machines": []}, "none are wanted"),
        ({"cluster": "my cluster"}, "is no name"),
        ({"machines": [machine("a"), machine("a")]}, "is wanted twice"),
        ({"security_group": {"name": "blue"}}, "admin_cidrs is empty"),
        ({"security_group": {"name": "blue", "admin_cidrs": ["203.0.113.7/24"]}}, "is no network"),
        ({"security_group": {"name": "blue", "admin_cidrs": ["::/0"], "admin_ports": ["0"]}}, "'0' is no port"),
        ({"security_group": {"name": "default", "admin_cidrs": ["203.0.113.7"]}}, "this cluster did not make"),
        ({"key_pair": {"name": "blue", "public_key": "not a key"}}, "no ssh public key"),
        ({"key_pair": {"name": "blue"}}, "no public_key to register"),
    ],
)
def test_bad_options(run, double, options, text):
    refused(run, double, text, **{**wish("a"), **options})


def test_a_template_of_an_ambiguous_name(run, double):
    twin = dict(double.cloud.by_name("template", "Debian 12"), id="another-id")
    double.cloud.rows["template"].append(twin)
    refused(run, double, "is ambiguous. Give one of the ids", **wish("a"))
    assert run(**{**wish(), "machines": [machine("a", template="another-id")]})["deployed"] == ["a"]


def test_a_name_that_a_stranger_has(run, double):
    double.add_machine("a")
    refused(run, double, "does not belong to this cluster", **wish("a"))


def test_two_of_ours_with_one_name(run, double):
    for _time in range(2):
        double.add_machine("a", tags={"aurora_cluster": "blue"})
    refused(run, double, "2 machines of this cluster have this name", **wish("a"))

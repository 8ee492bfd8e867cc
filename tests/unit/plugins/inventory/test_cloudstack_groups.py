# SPDX-License-Identifier: GPL-3.0-or-later
"""compose, groups and keyed_groups, and what becomes of a machine for which they fail."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleParserError


def test_groups_see_what_compose_made(double, read):
    double.add_machine("m", offering="Large")
    seen = read(
        compose={"gib": "cloudstack_memory_mb // 1024"},
        groups={"big": "gib >= 8", "small": "gib < 8"},
        keyed_groups=[{"key": "cloudstack_zone", "prefix": "zone"}, {"key": "cloudstack_tags", "prefix": "tag"}],
    )
    assert seen.vars("m")["gib"] == 8
    assert seen.groups == {"cloudstack": ["m"], "aurora_cluster": [], "big": ["m"], "zone_basic": ["m"]}


def test_an_expression_that_always_fails_is_told_once(double, read):
    for name in ("a", "b"):
        double.add_machine(name)
    seen = read(compose={"x": "nosuch.thing"}, groups={"y": "cloudstack_memory_mb"})
    assert len(seen.warnings) == 2
    assert "`compose` 'x' fails for 2 machines, a for one" in seen.warnings[0]
    assert "`groups` 'y' fails for 2 machines" in seen.warnings[1]


def test_an_expression_that_fails_now_and_then_is_not(double, read):
    double.add_machine("a", tags={"tier": "1"})
    double.add_machine("b")
    seen = read(compose={"tier": "cloudstack_tags.tier"})
    assert seen.vars("a")["tier"] == "1"
    assert seen.warnings == []


@pytest.mark.parametrize(
    "options",
    [
        {"compose": {"x": "nosuch"}},
        {"groups": {"x": "nosuch"}},
        {"groups": {"x": "cloudstack_memory_mb"}},
        {"keyed_groups": [{"key": "nosuch"}]},
        {"include": "starts_with(nosuch, 'x')"},
    ],
    ids=str,
)
def test_strict_makes_any_failure_an_error(double, read, options):
    double.add_machine("m")
    with pytest.raises(AnsibleParserError, match=r"`\w+` .*machine m"):
        read(strict=True, **options)


def test_a_number_as_a_group_says_what_to_do(double, read):
    double.add_machine("m")
    seen = read(keyed_groups=[{"key": "cloudstack_cpus"}, {"key": "cloudstack_zone", "prefix": "zone"}])
    assert seen.groups["zone_basic"] == ["m"]
    [warning] = seen.warnings
    assert "`keyed_groups` 'cloudstack_cpus' fails for 1 machines, m for one" in warning
    assert "A number has to pass through" in warning


def keyed_below(parent):
    return [{"key": "cloudstack_tags.team", "prefix": "", "separator": "", "parent_group": parent}]


def test_a_tag_that_would_put_a_group_into_itself_costs_a_warning(double, read):
    double.add_machine("good", tags={"team": "red", "aurora_role": "zookeeper"})
    double.add_machine("odd", tags={"team": "teams", "aurora_role": "mesos_slave"})
    seen = read(keyed_groups=keyed_below("teams"))
    assert seen.names == ["good", "odd"]
    assert (seen.groups["red"], seen.groups["zookeeper"], seen.groups["mesos_slave"]) == (["good"], ["good"], ["odd"])
    [warning] = seen.warnings
    assert "`keyed_groups` 'cloudstack_tags.team below teams' fails for 1 machines, odd for one" in warning
    with pytest.raises(AnsibleParserError, match="machine odd"):
        read(keyed_groups=keyed_below("teams"), strict=True)


def test_a_role_above_the_cluster_costs_a_warning(double, read):
    """Another source says that the cluster is part of production, and a tag that production is part of the cluster."""
    double.add_machine("good", tags={"aurora_role": "zookeeper"})
    double.add_machine("odd", tags={"aurora_role": "production,mesos_slave"})

    def before(inventory):
        for group in ("production", "aurora_cluster"):
            inventory.add_group(group)
        inventory.add_child("production", "aurora_cluster")

    seen = read(before=before)
    assert seen.names == ["good", "odd"]
    assert (seen.groups["zookeeper"], seen.groups["mesos_slave"]) == (["good"], ["odd"])
    [warning] = seen.warnings
    assert "`role_tag` 'production' fails for 1 machines, odd for one" in warning
    with pytest.raises(AnsibleParserError, match="`role_tag` 'production' fails for machine odd"):
        read(before=before, strict=True)


def test_a_filter_that_fails_on_a_machine_is_not_true_for_it(double, read):
    double.add_machine("a", group="web")
    double.add_machine("b")
    included = read(include="starts_with(group, 'w')")
    assert included.names == ["a"]
    assert "`include` \"starts_with(group, 'w')\" fails for 1 machines, b for one" in included.warnings[0]
    assert read(exclude="starts_with(group, 'w')").names == ["b"]

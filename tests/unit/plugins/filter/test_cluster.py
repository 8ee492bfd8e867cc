# SPDX-License-Identifier: GPL-3.0-or-later
"""The table and the URLs that `make status` shows."""

from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.filter.cluster import cluster_table, cluster_units, interfaces

GROUPS = {
    "aurora_cluster": ["head", "worker", "tools"],
    "zookeeper": ["head"],
    "mesos_master": ["head"],
    "mesos_slave": ["worker"],
    "aurora_scheduler": ["head"],
    "devtools": ["tools"],
}
HOSTVARS = {
    "head": {"ansible_host": "10.70.0.2", "mesos_master_port": 5151},
    "worker": {"ansible_host": "10.70.0.3"},
    "tools": {},
}


def test_a_machine_is_asked_for_the_units_of_all_its_groups_and_for_ssh_without_any():
    assert cluster_units(["devtools", "mesos_slave", "zookeeper"]) == ["zookeeper", "mesos-agent", "thermos"]
    assert cluster_units(["devtools"]) == ["ssh"]


def test_interfaces_have_the_ports_that_the_hosts_set():
    assert interfaces(GROUPS, HOSTVARS) == [
        "Mesos master      http://10.70.0.2:5151/",
        "Aurora scheduler  http://10.70.0.2:8081/scheduler",
        "Thermos observer  http://10.70.0.3:1338/",
    ]
    assert interfaces({}, {}) == []


def table(answers: dict[str, dict]) -> list[str]:
    hostvars = {
        name: {**HOSTVARS[name], "answer": answers[name]} if name in answers else HOSTVARS[name] for name in HOSTVARS
    }
    return cluster_table(GROUPS, hostvars, "answer")


def test_the_table_has_a_row_for_every_machine():
    assert table(
        {
            "head": {"rc": 0, "stdout_lines": ["active"] * 3},
            "worker": {"rc": 3, "stdout_lines": ["active", "failed"]},
            "tools": {"rc": 0, "stdout_lines": ["active"]},
        }
    ) == [
        "MACHINE  ADDRESS    ROLE                                     STATE",
        "head     10.70.0.2  zookeeper,mesos_master,aurora_scheduler  running",
        "worker   10.70.0.3  mesos_slave                              thermos failed",
        "tools    tools      devtools                                 running",
    ]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"rc": 3, "stdout_lines": ["inactive", "failed"]}, "mesos-agent inactive, thermos failed"),
        ({"unreachable": True, "msg": "Connection refused"}, "unreachable"),
        (
            {"failed": True, "msg": "The module interpreter was not found.\nSee stderr."},
            "unknown: The module interpreter was not found.",
        ),
        (
            {"rc": 1, "stdout_lines": [], "stderr": "Failed to connect to bus", "msg": "non-zero return code"},
            "unknown: Failed to connect to bus",
        ),
        ({"rc": 0, "stdout_lines": ["active"]}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_only_a_whole_answer_is_taken_for_running(answer, state):
    assert table({"worker": answer})[2].endswith(f"  {state}")


def test_a_machine_outside_the_limit_was_not_asked():
    assert table({})[1].endswith("  not asked")

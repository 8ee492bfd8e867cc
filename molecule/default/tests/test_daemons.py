# SPDX-License-Identifier: GPL-3.0-or-later
"""Units, ports and files on the machines, asked on the machines."""

from __future__ import annotations

import pytest
from conftest import CLUSTER

DAEMONS = {
    "zookeeper": [("zookeeper", 2181, "zookeeper")],
    "mesos-master": [("mesos-master", 5050, "mesos")],
    "mesos-slave1": [("mesos-agent", 5051, "root"), ("thermos", 1338, "root")],
    "mesos-slave2": [("mesos-agent", 5051, "root"), ("thermos", 1338, "root")],
    "aurora-scheduler": [("aurora-scheduler", 8081, "aurora")],
    "devtools": [],
}


EACH = [(name, *daemon) for name, daemons in DAEMONS.items() for daemon in daemons]


@pytest.mark.parametrize(("name", "unit", "port", "user"), EACH)
def test_daemon_runs_as_its_user_and_starts_at_boot(name, unit, port, user):
    host = CLUSTER.machine(name)
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled
    pid = host.check_output(f"systemctl show --property=MainPID --value {unit}")
    assert host.check_output(f"stat --format=%U /proc/{pid}") == user
    assert f":{port} " in host.check_output(f"ss -Hltnp | grep 'pid={pid},'")


@pytest.mark.parametrize(("name", "unit", "port", "user"), EACH)
def test_settings_are_read_and_not_for_everyone(name, unit, port, user):
    host = CLUSTER.machine(name)
    settings = host.file(f"/etc/default/{unit}-cluster")
    assert (settings.mode, settings.user, settings.group) == (0o640, "root", user)
    host.run_expect([0], f"sha256sum --check --status /run/aurora-cluster/{unit}.service.sha256")


@pytest.mark.parametrize("name", list(DAEMONS))
def test_machine_has_no_failed_unit(name):
    assert CLUSTER.machine(name).check_output("systemctl --failed --plain --no-legend") == ""


@pytest.mark.parametrize("name", list(DAEMONS))
def test_every_name_resolves_to_the_machine_of_that_name(name):
    for other in DAEMONS:
        found = CLUSTER.machine(name).check_output(f"getent ahostsv4 {other} | head -n 1 | cut -d ' ' -f 1")
        assert found == CLUSTER.addresses[other]


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("mesos-master", ["mesos-agent", "mesos-slave"]),
        ("mesos-slave1", ["mesos-master", "mesos-slave"]),
        ("mesos-slave2", ["mesos-master", "mesos-slave"]),
    ],
)
def test_units_of_another_role_are_masked(name, units):
    for unit in units:
        assert CLUSTER.machine(name).run(f"systemctl is-enabled {unit}").stdout.strip() == "masked"

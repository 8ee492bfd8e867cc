# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.plugin_utils import _preflight_machines as preflight
from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_inventory import Problems

DEBIAN = {
    "os_family": "Debian",
    "distribution": "Debian",
    "service_mgr": "systemd",
    "architecture": "x86_64",
    "python": {"version": {"major": 3, "minor": 11}},
    "user_id": "debian",
    "effective_user_id": 0,
}
NGINX = {"port": 5050, "address": "0.0.0.0", "pid": 812, "command": "nginx", "unit": "nginx.service"}
DEFAULTS = {"mesos_master_port": 5050, "zookeeper_client_port": 2181}
V1 = "".join(
    f"cgroup /sys/fs/cgroup/{name} cgroup rw,nosuid,nodev,noexec,relatime,{name} 0 0\n"
    for name in ("cpu,cpuacct", "freezer", "memory")
)
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"
NAMED = "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n"


def test_silent_machines_are_named_with_their_addresses():
    problems = Problems()
    preflight.check_reachable(
        {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}, "c": {}},
        {
            "a": {"unreachable": True, "msg": "Task failed.\nConnection refused"},
            "b": {"rc": 0, "stdout": "Python 3.11.2"},
            "c": {"rc": 127, "stdout": "sh: 1: python3: not found\r\n"},
        },
        problems,
    )
    silent, bare = problems.lines()
    assert silent.startswith(
        "host a: does not answer at 10.0.0.1 (ansible_host): Connection refused: start the machine"
    )
    assert bare == "host c: has no working python3 (sh: 1: python3: not found): install the package python3"


def test_debian_with_systemd_is_what_we_want():
    problems = Problems()
    preflight.check_system(DEBIAN, "a", problems)
    assert problems.lines() == []


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("os_family", "RedHat", "the roles install Debian packages"),
        ("service_mgr", "sysvinit", "its services are run by sysvinit"),
        ("effective_user_id", 1000, "tasks run there as debian, and the roles need root: set ansible_become to true"),
        ("architecture", "riscv64", "its processor is riscv64"),
        ("python", {"version": {"major": 3, "minor": 7}}, "its Python is 3.7: install 3.9 or newer"),
    ],
)
def test_another_system(fact, value, said):
    problems = Problems()
    preflight.check_system({**DEBIAN, fact: value}, "a", problems)
    (line,) = problems.lines()
    assert line.startswith("host a: ")
    assert said in line


@pytest.mark.parametrize(
    ("groups", "variables", "listening", "said"),
    [
        (["mesos_master"], {}, [NGINX], "port 5050 (mesos_master_port) is held by nginx (pid 812, unit nginx.service)"),
        (["mesos_master"], {}, [{**NGINX, "unit": "mesos-master.service"}], None),
        (["mesos_master"], {"mesos_master_port": 5055}, [NGINX], None),
        (["mesos_master"], {"mesos_master_port": "5055"}, [{**NGINX, "port": 5055}], "port 5055 (mesos_master_port)"),
        (["zookeeper"], {}, [NGINX], None),
        (["mesos_master"], {}, [{**NGINX, "pid": None, "command": None, "unit": None}], "held by an unknown process"),
    ],
)
def test_ports(groups, variables, listening, said):
    problems = Problems()
    members = {group: ["a"] for group in groups}
    preflight.check_taken_ports("a", {"a": variables}, members, DEFAULTS, listening, problems)
    if said is None:
        assert problems.lines() == []
    else:
        (line,) = problems.lines()
        assert line.startswith("host a: ")
        assert said in line


@pytest.mark.parametrize(
    ("variables", "mounts", "said"),
    [
        ({}, V2, None),
        ({"mesos_slave_launcher": "auto"}, V2, None),
        ({"mesos_slave_launcher": "linux"}, V1, None),
        ({"mesos_slave_launcher": "linux"}, V2, "mesos_slave_launcher is linux"),
        ({"mesos_slave_launcher": "linux"}, V1.replace("rw", "ro"), "mesos_slave_launcher is linux"),
        ({"mesos_slave_launcher": "linux"}, V2 + NAMED, "mesos_slave_launcher is linux"),
        ({"mesos_slave_isolation": ["posix/cpu"]}, V2, None),
        ({"mesos_slave_isolation": ["cgroups/cpu", "cgroups/mem"]}, V1, None),
        ({"mesos_slave_isolation": ["cgroups/cpu", "posix/mem"]}, V2, "mesos_slave_isolation asks for cgroups/cpu,"),
    ],
)
def test_cgroups(variables, mounts, said):
    problems = Problems()
    preflight.check_cgroups(variables, mounts, "a", problems)
    if said is None:
        assert problems.lines() == []
    else:
        (line,) = problems.lines()
        assert line.startswith(f"host a: {said}")
        assert "no writable hierarchy of it for cpu, cpuacct, freezer, memory" in line

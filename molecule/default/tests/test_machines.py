# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines as this computer's: their size, how one gets to them, where their packages come from."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import CLUSTER
from scenario import PLAIN, ROOT

CACHE_LOG = Path("/var/cache/aurora-cluster/apt-log/apt-cacher.log")
INVENTORY = yaml.safe_load(CLUSTER.inventory.read_text())["aurora_cluster"]["children"]
MACHINES = {name: settings for group in INVENTORY.values() for name, settings in group["hosts"].items()}


def kernels_memory_limit(pid: str) -> int | None:
    """The least limit of a process's cgroup and of those above it; None where the kernel has no memory controller."""
    groups = {}
    for line in Path("/proc", pid, "cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        groups[controllers] = path.lstrip("/")
    if "memory" in groups:
        tree, file, group = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", groups["memory"]
    else:
        tree, file, group = Path("/sys/fs/cgroup"), "memory.max", groups.get("", "")
    files = [directory / file for directory in (tree / group, *(tree / group).parents) if (directory / file).exists()]
    found = [file.read_text().strip() for file in files]
    return min((int(limit) for limit in found if limit != "max"), default=None)


@pytest.mark.parametrize("name", MACHINES)
def test_the_kernel_limits_the_machines_memory_as_the_inventory_says(name):
    limit = kernels_memory_limit((CLUSTER.state / "machines" / name / "process.pid").read_text().strip())
    if limit is None:
        pytest.skip("this kernel limits no memory")
    assert limit == int(MACHINES[name]["instances_local_memory"].removesuffix("M")) * 2**20


def test_provisioning_again_changes_nothing():
    run = CLUSTER.play("playbooks/provision.yml")
    assert run.status == 0, run.said
    assert run.changed == {"localhost": 0, **dict.fromkeys(MACHINES, 0)}, run.said


def test_status_shows_six_running_machines_and_the_interfaces():
    run = CLUSTER.play("playbooks/status.yml")
    assert run.status == 0, run.said
    rows = re.findall(r"^\s+(\S+)  +([\d.]+)  +\S+  +(.+)$", run.said, re.MULTILINE)
    assert sorted(rows) == sorted((name, CLUSTER.addresses[name], "running") for name in MACHINES), run.said
    assert sorted(re.findall(r"http://\S+", run.said)) == sorted(
        f"http://{CLUSTER.addresses[name]}:{page}"
        for name, page in (
            ("mesos-master", "5050/"),
            ("aurora-scheduler", "8081/scheduler"),
            ("mesos-slave1", "1338/"),
            ("mesos-slave2", "1338/"),
        )
    )


def ssh(*arguments: str, cluster: str = os.environ["CLUSTER"]) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["tools/ssh.sh", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**PLAIN, "CLUSTER": cluster},
        timeout=30,
    )


def test_ssh_runs_a_command_on_the_machine_that_is_named():
    done = ssh("devtools", "hostname; exit 3")
    assert (done.stdout, done.returncode) == ("devtools\n", 3), done.stderr


def test_ssh_without_a_machine_or_a_set_says_what_to_do():
    assert (ssh("").returncode, set(MACHINES) - set(ssh("").stderr.split())) == (2, set())
    lost = ssh("devtools", cluster="mol-none")
    assert lost.returncode == 1
    assert "there are no machines of the cluster mol-none here" in lost.stderr


def test_a_package_that_was_installed_once_comes_out_of_the_cache():
    machine = CLUSTER.machine("zookeeper")
    assert "http://10.63.255.1:3143" in machine.check_output("apt-config dump Acquire::http::Proxy")
    said = len(CACHE_LOG.read_bytes())
    machine.check_output("cd /tmp && apt-get download libzookeeper-java && rm libzookeeper-java_*.deb")
    # I is what the cache took in, O what it gave out; other machines may be asking it meanwhile.
    lines = [line.split("|") for line in CACHE_LOG.read_bytes()[said:].decode().splitlines()]
    served = [
        (line[1], line[4].rpartition("/")[2].partition("_")[0])
        for line in lines
        if line[3] == CLUSTER.addresses["zookeeper"]
    ]
    assert served == [("O", "libzookeeper-java")]

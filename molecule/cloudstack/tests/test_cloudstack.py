# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the cloud what it deployed, the inventory what it found, and the machines what runs on them."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import testinfra
from cs import CloudStack

SCENARIO = Path(__file__).parents[1]
ROOT = SCENARIO.parents[1]
DOUBLE = Path("/var/lib/aurora-cluster/mol-cloudstack/double")
MACHINES = {
    "control": ["zookeeper", "mesos_master"],
    "agent": ["mesos_slave"],
    "scheduler": ["aurora_scheduler", "devtools"],
}
ENVIRONMENT = {**os.environ, "MOLECULE_PROJECT_DIRECTORY": str(ROOT)}


@pytest.fixture(scope="module")
def cloud():
    return CloudStack("http://127.83.67.1:8080/client/api", "alice-key", "alice-secret", poll_interval=0.2)


def rows(cloud):
    return {row["name"]: row for row in cloud.listVirtualMachines(fetch_list=True)}


def inventory(*arguments):
    command = ["ansible-inventory", "--inventory", SCENARIO / "inventory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout


def ssh(address):
    options = f"-o UserKnownHostsFile={DOUBLE}/known_hosts -o StrictHostKeyChecking=yes"
    return testinfra.get_host(f"ssh://root@{address}", ssh_identity_file=f"{DOUBLE}/ssh_key", ssh_extra_args=options)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_the_cloud_has_what_was_asked_for(cloud):
    found = rows(cloud)
    assert found.keys() == MACHINES.keys()
    for name, groups in MACHINES.items():
        tags = {tag["key"]: tag["value"] for tag in found[name]["tags"]}
        assert tags == {"aurora_cluster": "mol-cloudstack", "aurora_role": ",".join(groups)}
        assert found[name]["state"] == "Running"


def test_the_security_group_is_closed_to_the_world(cloud):
    (group,) = cloud.listSecurityGroups(securitygroupname="aurora-cluster-mol-cloudstack")["securitygroup"]
    outside = {(rule["startport"], rule["endport"], rule["cidr"]) for rule in group["ingressrule"] if "cidr" in rule}
    assert outside == {(port, port, "10.0.0.0/8") for port in (22, 5050, 5051, 8081, 1338)}
    inside = {(rule["protocol"], rule["securitygroupname"]) for rule in group["ingressrule"] if "cidr" not in rule}
    assert inside == {(protocol, group["name"]) for protocol in ("tcp", "udp", "icmp")}


def test_the_inventory_is_what_the_cloud_has(cloud):
    listed = json.loads(inventory("--list"))
    for name, groups in MACHINES.items():
        address = rows(cloud)[name]["nic"][0]["ipaddress"]
        assert json.loads(inventory("--host", name))["ansible_host"] == address
        for group in groups:
            assert name in listed[group]["hosts"]


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_has_its_address_and_lets_in_the_registered_key_alone(cloud, name):
    address = rows(cloud)[name]["nic"][0]["ipaddress"]
    machine = ssh(address)
    assert f" {address}/24 " in machine.check_output("ip -oneline address show dev host0")
    assert machine.check_output("hostname") == name
    keys = machine.check_output("cat /root/.ssh/authorized_keys /etc/ssh/cluster_authorized_keys")
    assert keys.strip() == (DOUBLE / "ssh_key.pub").read_text().strip()


def test_the_job_runs(cloud):
    scheduler = rows(cloud)["scheduler"]["nic"][0]["ipaddress"]
    control = rows(cloud)["control"]["nic"][0]["ipaddress"]
    assert get(f"http://{scheduler}:8081/vars.json")["framework_registered"] == 1
    frameworks = get(f"http://{control}:5050/state")["frameworks"]
    states = [task["state"] for framework in frameworks for task in framework["tasks"]]
    assert states == ["TASK_RUNNING"]


def test_a_machine_that_was_stopped_is_started_again(cloud):
    agent = rows(cloud)["agent"]
    cloud.stopVirtualMachine(id=agent["id"], fetch_result=True)
    assert rows(cloud)["agent"]["state"] == "Stopped"
    command = ["ansible-playbook", "--inventory", SCENARIO / "inventory", ROOT / "playbooks/provision.yml"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(cloud)["agent"]["state"] == "Running"
    assert rows(cloud)["agent"]["id"] == agent["id"]
    # It is the same machine, with its disk, and its agent registers again.
    control = rows(cloud)["control"]["nic"][0]["ipaddress"]
    deadline = time.monotonic() + 60
    while not [row for row in get(f"http://{control}:5050/slaves")["slaves"] if row["active"]]:
        assert time.monotonic() < deadline, "the agent did not come back"
        time.sleep(1)

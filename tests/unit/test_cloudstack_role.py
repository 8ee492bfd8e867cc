# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample inventory and the role as a user meets them, against a double of the cloud that CLOUDSTACK_* variables name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doubles.cloudstack import Double
from doubles.cloudstack.wishes import PUBLIC_KEY, names, writes

ROOT = Path(__file__).parents[2]
ABSENT = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.include_role:
        name: aurora.cluster.instances_cloudstack
        tasks_from: absent
"""


@pytest.fixture
def double():
    with Double() as double:
        yield double


@pytest.fixture
def sample(tmp_path):
    """A copy of the sample in which nothing is filled in but what only the user can know."""
    directory = tmp_path / "inventory"
    shutil.copytree(ROOT / "inventory/cloudstack", directory)
    file = directory / "group_vars/all/cloud.yml"
    text = file.read_text().replace("_zone: ch-gva-2", "_zone: basic").replace("_cidrs: []", "_cidrs: [203.0.113.7/32]")
    file.write_text(text)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519.pub").write_text(PUBLIC_KEY)
    return directory


@pytest.fixture
def play(double, sample, tmp_path):
    def play(playbook, *arguments, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSTACK_", "CLUSTER"))}
        program = Path(sys.executable).parent / "ansible-playbook"
        return subprocess.run(
            [program, "-i", sample, playbook, *arguments, "-e", json.dumps(variables)],
            cwd=ROOT,
            env={
                **kept,
                **double.environment(),
                "CLOUDSTACK_POLL_INTERVAL": "0.05",
                "HOME": str(tmp_path),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return play


def said(done):
    return " ".join((done.stdout + done.stderr).split())


def test_the_sample_says_what_it_would_make(play, double):
    done = play("playbooks/provision.yml", "--check", "--diff")
    assert done.returncode == 0, said(done)
    for name in ("zookeeper", "mesos-master", "mesos-slave1", "mesos-slave2", "aurora-scheduler", "devtools"):
        assert f"+ {name}:" in said(done)
    assert "tcp 22 from 203.0.113.7/32" in said(done)
    assert writes(double) == []


@pytest.mark.parametrize("confirm", [None, "", "blue", "Aurora", "aurora "])
def test_nothing_is_destroyed_without_the_users_word(play, double, confirm):
    double.add_machine("devtools", tags={"aurora_cluster": "aurora"})
    double.add_machine("web", tags={"aurora_cluster": "blue"})
    done = play("playbooks/destroy.yml", **({} if confirm is None else {"instances_cloudstack_confirm": confirm}))
    assert done.returncode == 2
    assert "This destroys devtools of the cluster aurora, with their disks. Nothing was changed." in said(done)
    assert (writes(double), names(double)) == ([], ["devtools", "web"])


def test_machines_go_although_the_key_is_lost(play, double, tmp_path):
    """Without the file of the public key nobody can tell whose the key pair is; the machines cost money."""
    double.add_machine("devtools", tags={"aurora_cluster": "aurora"})
    double.add_machine("web", tags={"aurora_cluster": "blue"})
    double.cloud.add("keypair", {"name": "aurora-cluster-aurora", "fingerprint": "00", "account": "alice"})
    (tmp_path / ".ssh/id_ed25519.pub").unlink()
    playbook = tmp_path / "absent.yml"
    playbook.write_text(ABSENT)
    done = play(playbook, instances_cloudstack_confirm="aurora")
    assert done.returncode == 0, said(done)
    assert "There is no file ~/.ssh/id_ed25519.pub to compare with: the key pair aurora-cluster-aurora stays" in said(
        done
    )
    assert (names(double), names(double, "keypair")) == (["web"], ["aurora-cluster-aurora"])


def test_a_machine_needs_the_memory_of_all_its_groups(play, double):
    machines = [
        {"name": "all", "groups": ["zookeeper", "mesos_master", "mesos_slave", "of_my_own"]},
        {"name": "few", "groups": ["zookeeper", "mesos_master"]},
    ]
    done = play(
        "playbooks/provision.yml",
        "--check",
        instances_cloudstack_machines=machines,
        instances_cloudstack_offering="Small",
    )
    assert done.returncode == 2
    assert "all: the offering Small has 1024 MB of memory, and 2048 MB are needed" in said(done)
    assert "few:" not in said(done)
    assert writes(double) == []

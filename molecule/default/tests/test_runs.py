# SPDX-License-Identifier: GPL-3.0-or-later
"""What further runs do to a live cluster: nothing, the one thing wanted, or stop with one message."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import CLUSTER
from scenario import PLAIN, ROOT


def started(master) -> str:
    return master.check_output("systemctl show --property=ActiveEnterTimestampMonotonic --value mesos-master")


def test_check_of_the_installed_collection_from_an_empty_directory_reports_no_change(tmp_path: Path):
    collections, empty = tmp_path / "collections", tmp_path / "empty"
    empty.mkdir()
    galaxy = ["ansible-galaxy", "collection"]
    subprocess.run([*galaxy, "build", "--output-path", tmp_path], check=True, cwd=ROOT, env=PLAIN)
    [archive] = tmp_path.glob("aurora-cluster-*.tar.gz")
    subprocess.run([*galaxy, "install", "-p", collections, archive], check=True, cwd=empty, env=PLAIN)
    run = CLUSTER.play("--check", "--diff", "aurora.cluster.site", cwd=empty, ANSIBLE_COLLECTIONS_PATH=str(collections))
    assert run.status == 0, run.said
    assert len(run.changed) >= 6
    assert set(run.changed.values()) == {0}, run.said


def test_a_changed_setting_restarts_its_daemon_once_and_no_other(master):
    before = started(master)
    run = CLUSTER.play("playbooks/mesos_master.yml", "-e", '{"mesos_master_options": {"offer_timeout": "5mins"}}')
    assert run.status == 0, run.said
    assert run.changed == {"mesos-master": 2}  # the environment file and the restart
    between = started(master)
    assert between != before
    back = CLUSTER.play("playbooks/mesos_master.yml")
    assert back.changed == {"mesos-master": 2}, back.said
    after = started(master)
    assert after != between
    again = CLUSTER.play("playbooks/mesos_master.yml")
    assert again.changed == {"mesos-master": 0}, again.said
    assert started(master) == after


def test_a_run_that_was_cut_off_before_the_restart_is_made_good(master):
    CLUSTER.play("playbooks/mesos_master.yml")
    # What a cut-off run leaves: files that are as they should be and a daemon that has not read them.
    master.check_output("sed -i 's/^[0-9a-f]*/0000/' /run/aurora-cluster/mesos-master.service.sha256")
    before = started(master)
    run = CLUSTER.play("playbooks/mesos_master.yml")
    assert run.changed == {"mesos-master": 1}, run.said
    assert started(master) != before


def test_a_taken_port_is_named_with_its_holder_before_any_change():
    run = CLUSTER.play("playbooks/site.yml", "-e", "mesos_master_port=22")
    assert run.status != 0
    assert "mesos-master: port 22 (mesos_master_port)" in run.said
    assert "ssh" in run.said
    assert set(run.changed.values()) == {0}


def test_machines_that_do_not_answer_are_all_named_before_any_change():
    run = CLUSTER.play("playbooks/site.yml", "-e", "ansible_port=9")
    assert run.status != 0
    for name in ("zookeeper", "mesos-master", "mesos-slave1", "mesos-slave2", "aurora-scheduler", "devtools"):
        assert f"{name}: " in run.said
    assert "ansible_host" in run.said
    assert set(run.changed.values()) == {0}


def test_a_missing_package_is_named_with_its_variable_and_nothing_is_restarted(master):
    before = started(master)
    run = CLUSTER.play("playbooks/mesos_master.yml", "-e", "mesos_master_package_version=9.9.9")
    assert run.status != 0
    assert "mesos-master: mesos_master could not install mesos 9.9.9 (mesos_master_package_name" in run.said
    assert started(master) == before

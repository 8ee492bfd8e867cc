# SPDX-License-Identifier: GPL-3.0-or-later
"""What `--diff` shows of a daemon's settings, on this computer in check mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ADDRESS = "zk://aurora:hush@zk1:2181/mesos"


@pytest.fixture
def shown(tmp_path):
    def run(environment: dict, *arguments: str) -> str:
        settings = {
            "ansible_python_interpreter": sys.executable,
            "common_unit": "aurora-cluster-unit-test.service",
            "common_unit_description": "None",
            "common_unit_user": "root",
            "common_unit_exec_start": "/bin/true",
            "common_environment_file": f"{tmp_path}/environment",
            "common_environment": environment,
            "common_installed": "1",
        }
        role = {"name": "aurora.cluster.common", "tasks_from": "daemon"}
        play = {"hosts": "localhost", "gather_facts": False, "vars": settings}
        play["tasks"] = [{"name": "Write settings", "ansible.builtin.import_role": role}]
        (tmp_path / "play.yml").write_text(json.dumps([play]))
        command = ["ansible-playbook", "-i", "localhost,", "-c", "local", "--check", *arguments, tmp_path / "play.yml"]
        environ = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
        done = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "changed=2" in done.stdout
        return done.stdout

    return run


def test_diff_shows_settings_but_no_secret(shown):
    assert '+MESOS_ZK="zk://zk1:2181/mesos"' in shown({"MESOS_ZK": "zk://zk1:2181/mesos"}, "--diff")
    secret = shown({"MESOS_ZK": ADDRESS, "MESOS_QUORUM": 1}, "--diff")
    assert "hush" not in secret
    assert "+Description=None" in secret  # the unit's difference is shown as ever


def test_without_diff_nothing_is_shown(shown):
    assert "MESOS_ZK" not in shown({"MESOS_ZK": "zk://zk1:2181/mesos"})

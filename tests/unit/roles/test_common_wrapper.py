# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of upstream's start wrapper are a person's; directories of this computer act as machines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars": {
            "wanted_work_dir": "/data/mesos",
            "wanted_quorum": 2,
            "wanted_zk": "zk://user:hush@zk1:2181/mesos",
            "common_component": "mesos_master",
            "common_wrapper_directories": ["{{ etc }}/mesos-master", "{{ etc }}/mesos-agent"],
            "common_wrapper_variables": "{{ {etc ~ '/mesos-master/work_dir': 'wanted_work_dir',"
            " etc ~ '/mesos-master/quorum': 'wanted_quorum', etc ~ '/mesos/zk': 'wanted_zk'} }}",
        },
        "tasks": [
            {
                "name": "Look for settings",
                "ansible.builtin.import_role": {"name": "aurora.cluster.common", "tasks_from": "wrapper"},
            }
        ],
    }
]
MACHINES = {
    "without": {},
    "packaged": {"mesos-master/work_dir": "/var/lib/mesos\n", "mesos-master/quorum": "1\n"},
    "packaged_zk": {"mesos/zk": "zk://localhost:2181/mesos\n"},
    "unended": {"mesos-master/work_dir": "/var/lib/mesos", "mesos-master/quorum": "1"},
    "wanted": {
        "mesos-master/work_dir": "/data/mesos\n",
        "mesos-master/quorum": "2",
        "mesos/zk": "zk://user:hush@zk1:2181/mesos\n",
    },
    "beside": {"mesos/credentials": "hush"},
    "other_work_dir": {"mesos-master/work_dir": "/srv/mesos\n", "mesos-master/quorum": "1\n"},
    "other_quorum": {"mesos-master/quorum": "3\n"},
    "other_zk": {"mesos/zk": "zk://user:secret@elsewhere:2181/mesos\n"},
    "flags": {"mesos-master/?no-switch_user": "", "mesos-master/attributes/rack": "a\n", "mesos-agent/quorum": "1\n"},
}
REFUSED = {
    "other_work_dir": {"mesos-master/work_dir: set wanted_work_dir to what it holds."},
    "other_quorum": {"mesos-master/quorum: set wanted_quorum to what it holds."},
    "other_zk": {"mesos/zk: set wanted_zk to what it holds."},
    "flags": {
        f"{path}: move it to mesos_master_options (file name to content)."
        for path in ("mesos-master/?no-switch_user", "mesos-master/attributes/rack", "mesos-agent/quorum")
    },
}


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> str:
    directory = tmp_path_factory.mktemp("machines")
    for name, files in MACHINES.items():
        for path, content in files.items():
            file = directory / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    python = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {name: {**python, "etc": f"{directory}/{name}"} for name in MACHINES}
    (directory / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (directory / "play.yml").write_text(json.dumps(PLAY))
    done = subprocess.run(
        ["ansible-playbook", "-v", "-i", directory / "inventory.json", directory / "play.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "PLAY RECAP" in done.stdout, done.stdout + done.stderr
    return done.stdout.replace(f"{directory}/", "")


def test_what_a_person_set_is_refused_and_nothing_else(said):
    failed = set(re.findall(r"^(\w+) +: ok=\d+ +changed=0 +unreachable=0 +failed=1", said, re.MULTILINE))
    assert failed == set(REFUSED), said


@pytest.mark.parametrize("name", REFUSED)
def test_each_is_named_with_what_to_do(said, name):
    [message] = re.findall(rf"failed: {name}: the start wrapper .*", said)
    assert set(re.findall(rf"{name}/(\S+: [^.]*\.)", message)) == REFUSED[name]
    assert "mesos_master_wrapper_settings to ignore" in message


def test_what_they_hold_is_not_shown(said):
    assert "secret" not in said

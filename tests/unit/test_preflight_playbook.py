# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/preflight.yml as a user runs it: bad input ends in one message that names what is wrong and where."""

from __future__ import annotations

import copy
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPONENTS = ("zookeeper", "mesos_master", "mesos_slave", "aurora_scheduler", "devtools")


def sound_inventory() -> dict:
    """One machine for each component, each with an address of its own."""
    children = {
        group: {"hosts": {group.replace("_", "-"): {"ansible_host": f"127.0.0.{number}"}}}
        for number, group in enumerate(COMPONENTS, start=11)
    }
    return {"all": {"children": {"aurora_cluster": {"children": children}}}}


@pytest.fixture
def preflight(tmp_path):
    def run(change=None, *arguments: str, playbook: str = "playbooks/preflight.yml") -> subprocess.CompletedProcess:
        inventory = copy.deepcopy(sound_inventory())
        if change:
            change(inventory["all"]["children"]["aurora_cluster"]["children"])
        file = tmp_path / "inventory.yml"
        file.write_text(yaml.safe_dump(inventory))
        return subprocess.run(
            ["ansible-playbook", "-i", str(file), playbook, *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            check=False,
            capture_output=True,
            text=True,
        )

    return run


def problems_in(result: subprocess.CompletedProcess) -> list[str]:
    """Return the lines of the one message a failed run ends with."""
    assert result.returncode != 0, result.stdout
    assert result.stdout.count("FAILED! =>") == 1, result.stdout + result.stderr
    (message,) = re.findall(r"^    msg: \|-\n((?:^        .*\n)+)", result.stdout, re.MULTILINE)
    first, *lines = message.splitlines()
    assert "Nothing has been changed." in first
    return [line.strip().removeprefix("- ") for line in lines]


INVENTORY_ONLY = ("--skip-tags", "preflight_machines")


def test_a_sound_inventory_passes(preflight):
    result = preflight(None, *INVENTORY_ONLY)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "failed=0" in result.stdout


def test_a_variable_may_refer_to_what_only_its_role_knows(preflight):
    def change(groups):
        groups["mesos_master"]["vars"] = {
            "mesos_master_port": "{{ mesos_master_health_timeout }}",
            "mesos_master_options": {"log_dir": "{{ mesos_master_work_dir }}/log"},
        }

    result = preflight(change, *INVENTORY_ONLY)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("sample", sorted(path.name for path in (ROOT / "inventory").glob("*.yml")))
def test_the_sample_inventories_pass(sample):
    result = subprocess.run(
        # Without the packages, which a checkout has only once they are built.
        [
            "ansible-playbook",
            "-i",
            f"inventory/{sample}",
            "-e",
            '{"aurora_packages": {}}',
            "playbooks/preflight.yml",
            *INVENTORY_ONLY,
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def no_agents(groups):
    groups["mesos_slave"] = {"hosts": {}}


def two_masters(groups):
    groups["mesos_master"]["hosts"]["mesos-master2"] = {"ansible_host": "127.0.0.31"}


def one_address(groups):
    groups["mesos_slave"]["hosts"]["mesos-slave"]["ansible_host"] = "127.0.0.12"


def three_zookeepers(groups):
    groups["zookeeper"]["hosts"]["zk2"] = {"ansible_host": "127.0.0.32", "zookeeper_id": 2}
    groups["zookeeper"]["hosts"]["zk3"] = {"ansible_host": "127.0.0.33", "zookeeper_id": 3}


def wrong_checksum(groups):
    groups["mesos_master"]["vars"] = {
        "mesos_master_package_source": {"deb": str(ROOT / "LICENSE"), "checksum": "sha256:" + "0" * 64}
    }


def unknown_flag(groups):
    groups["mesos_master"]["vars"] = {"mesos_master_options": {"qourum": 1}}


def unknown_variable(groups):
    groups["mesos_master"]["vars"] = {"mesos_master_quorm": 1}


def wrong_type(groups):
    groups["aurora_scheduler"]["vars"] = {"aurora_scheduler_http_port": "eighty"}


def address_without_value(groups):
    groups["zookeeper"]["hosts"]["zookeeper"] = {"ansible_host": "{{ the_rack }}.2"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (address_without_value, ["host zookeeper: ansible_host is set to a template that has no value", "'the_rack'"]),
        (no_agents, ["group mesos_slave is empty"]),
        (two_masters, ["group mesos_master: has 2 members (mesos-master, mesos-master2)"]),
        (one_address, ["hosts mesos-master and mesos-slave have one address, 127.0.0.12", "cluster_address"]),
        (three_zookeepers, ["host zookeeper: zookeeper_id is not set"]),
        (
            wrong_checksum,
            ["host mesos-master: mesos_master_package_source.checksum does not match", "LICENSE has sha256:"],
        ),
        (unknown_flag, ["host mesos-master: mesos_master_options: 'qourum' is not a flag", "did you mean quorum?"]),
        (
            unknown_variable,
            ["host mesos-master: mesos_master_quorm is not a variable", "did you mean mesos_master_quorum?"],
        ),
        (wrong_type, ["host aurora-scheduler: aurora_scheduler_http_port: ", "int"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_gets_one_clear_line(preflight, change, said):
    (line,) = problems_in(preflight(change))
    for text in said:
        assert text in line


def test_all_problems_are_told_at_once(preflight):
    def change(groups):
        for one in (no_agents, two_masters, three_zookeepers, unknown_flag):
            one(groups)

    assert len(problems_in(preflight(change))) == 4


def test_the_whole_inventory_counts_under_limit(preflight):
    (line,) = problems_in(preflight(two_masters, "--limit", "devtools"))
    assert "group mesos_master: has 2 members" in line


def test_an_inventory_without_the_cluster_is_an_error(tmp_path):
    (tmp_path / "inventory.yml").write_text("all: {hosts: {}}\n")
    result = subprocess.run(
        ["ansible-playbook", "-i", str(tmp_path / "inventory.yml"), "playbooks/preflight.yml"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert len([line for line in problems_in(result) if "is missing: put at least one host into it" in line]) == 4


def test_machines_that_do_not_answer_are_all_named(preflight):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens: ssh is refused at once

        def change(groups):
            for group in groups.values():
                group["vars"] = {"ansible_port": closed.getsockname()[1]}

        lines = problems_in(preflight(change))
    assert len(lines) == len(COMPONENTS)
    for number, group in enumerate(COMPONENTS, start=11):
        (line,) = [line for line in lines if line.startswith(f"host {group.replace('_', '-')}: ")]
        assert f"does not answer at 127.0.0.{number} (ansible_host)" in line


LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def test_one_silent_machine_stops_the_run_for_all(preflight, tmp_path):
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(
        yaml.safe_dump(
            [
                {"import_playbook": "aurora.cluster.preflight"},
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "tasks": [{"ansible.builtin.file": {"path": str(tmp_path / "change"), "state": "touch"}}],
                },
            ]
        )
    )
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))

        def change(groups):
            for group in groups.values():
                group["vars"] = dict(LOCAL)
            groups["mesos_slave"]["vars"] = {"ansible_port": closed.getsockname()[1]}

        (line,) = problems_in(preflight(change, playbook=str(playbook)))
    assert line.startswith("host mesos-slave: does not answer at 127.0.0.13 (ansible_host)")
    assert not (tmp_path / "change").exists()


def test_a_taken_port_is_named_with_its_holder(preflight):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        def change(groups):
            for group in groups.values():
                group["vars"] = dict(LOCAL)
            groups["mesos_master"]["vars"]["mesos_master_port"] = port

        lines = problems_in(preflight(change))
    (line,) = [line for line in lines if "mesos_master_port" in line]
    assert line.startswith(f"host mesos-master: port {port} (mesos_master_port) is held by ")
    assert f"(pid {os.getpid()}, " in line
    assert line.endswith("stop it, or set mesos_master_port")

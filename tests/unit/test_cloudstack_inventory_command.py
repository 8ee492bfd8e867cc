# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory as a user meets it: ansible-inventory and ansible-playbook, against a double of the cloud."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from doubles.cloudstack import Double

ROOT = Path(__file__).parents[2]
SECRETS = ("alice-key", "alice-secret")


@pytest.fixture
def double():
    with Double() as double:
        yield double


def run(*command, environment, **options):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSTACK_")}
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *map(str, command[1:])],
        cwd=ROOT,
        env={**inherited, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000", **environment},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    assert not re.search(r"signature['\"]?[=:]", done.stdout + done.stderr)
    return done


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "blue.cloudstack.yml"
    path.write_text("plugin: aurora.cluster.cloudstack\n")
    return path


def test_the_graph_is_the_cluster(double, source):
    for name, role in {
        "zookeeper": "zookeeper",
        "mesos-master": "mesos-master",
        "mesos-slave1": "mesos-slave",
        "mesos-slave2": "mesos-slave",
        "aurora-scheduler": "aurora-scheduler",
        "devtools": "devtools",
    }.items():
        double.add_machine(name, tags={"aurora_role": role})
    double.add_machine("somebodys")
    done = run("ansible-inventory", "-i", source, "--graph", environment=double.environment())
    assert done.returncode == 0
    assert done.stdout == (
        "@all:\n"
        "  |--@ungrouped:\n"
        "  |--@cloudstack:\n"
        "  |  |--aurora-scheduler\n"
        "  |  |--devtools\n"
        "  |  |--mesos-master\n"
        "  |  |--mesos-slave1\n"
        "  |  |--mesos-slave2\n"
        "  |  |--somebodys\n"
        "  |  |--zookeeper\n"
        "  |--@aurora_cluster:\n"
        "  |  |--@aurora_scheduler:\n"
        "  |  |  |--aurora-scheduler\n"
        "  |  |--@devtools:\n"
        "  |  |  |--devtools\n"
        "  |  |--@mesos_master:\n"
        "  |  |  |--mesos-master\n"
        "  |  |--@mesos_slave:\n"
        "  |  |  |--mesos-slave1\n"
        "  |  |  |--mesos-slave2\n"
        "  |  |--@zookeeper:\n"
        "  |  |  |--zookeeper\n"
    )


def test_a_play_sees_text_and_no_template(double, source, tmp_path):
    double.add_machine(
        "m", displayname="{{ 6 * 7 }}", tags={"aurora_role": "devtools", "n": "{{ lookup('env', 'X') }}"}
    )
    source.write_text(source.read_text() + "compose: {copy: cloudstack_displayname}\n")
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: devtools\n  gather_facts: false\n  tasks:\n    - ansible.builtin.copy:\n"
        '        content: "{{ [cloudstack_displayname, copy, cloudstack_tags.n] | to_json }}"\n'
        f"        dest: {tmp_path}/seen.json\n        mode: '0600'\n      delegate_to: localhost\n"
    )
    done = run("ansible-playbook", "-i", source, play, environment=double.environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "seen.json").read_text()) == ["{{ 6 * 7 }}"] * 2 + ["{{ lookup('env', 'X') }}"]


def test_a_wrong_key_is_one_error_without_a_secret(double, source):
    environment = {**double.environment(), "CLOUDSTACK_SECRET": "alice-secrez"}
    done = run("ansible-inventory", "-i", source, "--list", "-vvvv", environment=environment)
    assert done.returncode != 0
    assert "unable to verify user credentials" in done.stderr
    assert "Check the key (from CLOUDSTACK_KEY)" in done.stderr
    assert "alice-secrez" not in done.stdout + done.stderr


def test_the_secret_may_come_with_the_command(double, source, tmp_path):
    double.add_machine("m")
    source.write_text(source.read_text() + "secret: '{{ of_the_cloud }}'\n")
    (tmp_path / "secret.yml").write_text("of_the_cloud: alice-secret\n")
    arguments = ["-i", source, "--graph", "-e", f"@{tmp_path}/secret.yml"]
    done = run("ansible-inventory", *arguments, environment=double.environment())
    assert done.returncode == 0, done.stderr
    assert "--m\n" in done.stdout


def test_the_cache_is_used_and_flushed(double, source, tmp_path):
    source.write_text(
        f"{source.read_text()}cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {tmp_path}/cache\n"
    )
    double.add_machine("a")

    def names(*options):
        done = run("ansible-inventory", "-i", source, "--list", *options, environment=double.environment())
        assert done.returncode == 0, done.stderr
        return sorted(json.loads(done.stdout)["_meta"]["hostvars"])

    assert names() == ["a"]
    double.add_machine("b")
    assert names() == ["a"]
    assert names("--flush-cache") == ["a", "b"]


def test_the_documentation_renders():
    done = run("ansible-doc", "-t", "inventory", "--json", "aurora.cluster.cloudstack", environment={})
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)["aurora.cluster.cloudstack"]["doc"]
    assert document["options"]["secret"]["env"] == [{"name": "CLOUDSTACK_SECRET"}]
    assert {"compose", "keyed_groups", "cache", "role_tag", "ca_file"} <= document["options"].keys()


class Cloud:
    """A double that is a process, to be killed: 40 machines, five to a page, and five calls a second."""

    def __init__(self, directory):
        self.state, self.port = directory / "state.json", 0

    def start(self):
        command = [sys.executable, "-m", "tests.doubles.cloudstack", "--port", str(self.port), "--page-size", "5"]
        command += ["--machines", "40", "--throttle", "3", "--state", str(self.state)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        lines = [self.process.stdout.readline() for _line in range(3)]
        self.environment = dict(line.split(" ", 1)[1].strip().split("=", 1) for line in lines)
        self.port = int(re.search(r":(\d+)/", self.environment["CLOUDSTACK_ENDPOINT"])[1])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False], ids=["comes back", "stays away"])
def test_a_cloud_killed_in_the_middle_of_a_listing(tmp_path, source, comes_back):
    source.write_text(f"{source.read_text()}projects: [none]\n")
    cloud = Cloud(tmp_path)
    cloud.start()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSTACK_")}
    listing = subprocess.Popen(
        [Path(sys.executable).parent / "ansible-inventory", "-i", source, "--list", "-vv"],
        cwd=ROOT,
        env={**inherited, **cloud.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # -vv tells when it has been asked to wait: three calls are through then, and six are to come.
    seen = ""
    deadline = time.monotonic() + 30
    while "asks to wait" not in seen and time.monotonic() < deadline:
        line = listing.stdout.readline()
        assert line, listing.stderr.read()
        seen += line
    cloud.kill()
    if comes_back:
        cloud.start()
    stdout, stderr = listing.communicate(timeout=60)
    if comes_back:
        assert listing.returncode == 0, stderr
        assert len(json.loads(stdout[stdout.index("\n{") :])["_meta"]["hostvars"]) == 40
        cloud.kill()
    else:
        assert listing.returncode != 0
        message = " ".join(stderr.split())
        assert "CloudStack listVirtualMachines failed: no connection to" in message
        assert re.search(r"Connection (refused|aborted|reset).*, after 10 rows\.", message)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud, or the module, killed in the middle of a deployment. The second run finishes, and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from doubles.cloudstack import Double

ROOT = Path(__file__).parents[4]
MODULE = ROOT / "plugins/modules/cloudstack_instances.py"
NAMES = [f"m{number}" for number in range(1, 7)]
# Jobs are polled often; a cloud that stays away is given up soon.
PROGRAM = f"""
import runpy
from ansible_collections.aurora.cluster.plugins.module_utils import _cloudstack
_cloudstack.JOB_OUTAGE = _cloudstack.READ_RETRIES = 2
runpy.run_path({str(MODULE)!r}, run_name="__main__")
"""


@pytest.fixture
def environment(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSTACK_")}
    return {
        **kept,
        "HOME": str(tmp_path),
        "CLOUDSTACK_POLL_INTERVAL": "0.1",
        "PYTHONPATH": str(ROOT / ".cache/collections"),
    }


def start_module(environment, options):
    machine = {"zone": "basic", "offering": "Small", "template": "Debian 12", "groups": ["mesos_slave"]}
    arguments = {**options, "cluster": "blue", "machines": [{"name": name, **machine} for name in NAMES]}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    return process


def result_of(process):
    output = process.stdout.read()
    process.wait(timeout=60)
    assert output, process.stderr.read()
    return json.loads(output)


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


class Killable:
    """The double as a process of its own, which keeps its state in a file."""

    def __init__(self, directory, environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.file = directory / "state.json"
        self.environment = environment
        self.process = None
        self.options = {
            "endpoint": f"http://127.0.0.1:{self.port}/client/api",
            "key": "alice-key",
            "secret": "alice-secret",
        }

    def start(self, seconds):
        argv = [sys.executable, "-m", "tests.doubles.cloudstack", f"--port={self.port}", f"--state={self.file}"]
        argv.append(f"--seconds=deployVirtualMachine={seconds}")
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=self.environment)
        assert self.process.stdout.readline().startswith("export ")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)
        self.process.stdout.close()

    def machines(self):
        return json.loads(self.file.read_text())["rows"].get("machine", [])


@pytest.fixture
def cloud(tmp_path, environment):
    cloud = Killable(tmp_path, environment)
    yield cloud
    if cloud.process.poll() is None:
        cloud.kill()


@pytest.mark.parametrize("begun", [1, 6])
@pytest.mark.parametrize("returns", [True, False])
def test_the_cloud_is_killed_while_it_deploys(cloud, environment, begun, returns):
    cloud.start(seconds=20)
    module = start_module(environment, cloud.options)
    until(lambda: len(cloud.machines()) >= begun)
    cloud.kill()
    if returns:
        cloud.start(seconds=0)
    first = result_of(module)
    assert first["failed"]
    # Each machine that is not there is named, with a reason.
    ready = {row["name"] for row in cloud.machines() if row["state"] == "Running"}
    assert set(first["failed_parts"]) >= set(NAMES) - ready
    assert all(first["failed_parts"].values())

    if not returns:
        cloud.start(seconds=0)
    second = result_of(start_module(environment, cloud.options))
    assert not second.get("failed"), second["msg"]
    rows = cloud.machines()
    assert sorted(row["name"] for row in rows) == NAMES
    assert {row["state"] for row in rows} == {"Running"}
    for row in rows:
        assert {"key": "aurora_cluster", "value": "blue"}.items() <= row["tags"][0].items()
    assert result_of(start_module(environment, cloud.options))["changed"] is False


@pytest.mark.parametrize("begun", [1, 4, 6])
def test_the_module_is_killed_while_it_deploys(environment, begun):
    with Double(seconds={"deployVirtualMachine": 1}) as double:
        module = start_module(environment, double.options())
        until(lambda: double.cloud.calls["deployVirtualMachine"] >= begun)
        module.kill()
        module.wait(timeout=10)
        second = result_of(start_module(environment, double.options()))
        assert not second.get("failed"), second["msg"]
        rows = double.cloud.rows["machine"]
        assert sorted(row["name"] for row in rows) == NAMES
        assert {row["state"] for row in rows} == {"Running"}
        assert all(any(tag["key"] == "aurora_cluster" for tag in row["tags"]) for row in rows)

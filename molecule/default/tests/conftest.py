# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests ask: on the machines over ssh, over HTTP from the controller, and by running playbooks as a person would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from functools import cache
from pathlib import Path

import pytest
import testinfra

ROOT = Path(__file__).parents[3]
INVENTORY = ROOT / "inventory/local.yml"
SSH_CONFIG = Path("/var/lib/aurora-cluster") / os.environ["CLUSTER"] / "ssh_config"
ADDRESSES = dict(re.findall(r"^Host (\S+)\n\s+HostName (\S+)", SSH_CONFIG.read_text(), re.MULTILINE))


@cache
def machine(name: str):
    """The machine of that name, to run commands on."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(SSH_CONFIG))


def get(name: str, port: int, path: str):
    """The JSON a machine answers with."""
    with urllib.request.urlopen(f"http://{ADDRESSES[name]}:{port}{path}", timeout=10) as answer:
        return json.load(answer)


# Without what Molecule sets, such as where collections are.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}


def play(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run ansible-playbook as a person would, and return what it said."""
    return subprocess.run(
        ["ansible-playbook", "-i", str(INVENTORY), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**PLAIN, **environment},
    )


def changes(result: subprocess.CompletedProcess) -> dict[str, int]:
    """How much a run changed on each host, as its recap says."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", result.stdout, re.MULTILINE)
    assert found, result.stdout + result.stderr
    return {host: int(count) for host, count in found}


@pytest.fixture
def master():
    return machine("mesos-master")

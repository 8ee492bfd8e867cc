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

import testinfra

SCENARIO = Path(__file__).parents[1]
ROOT = SCENARIO.parents[1]
STATE = Path("/var/lib/aurora-cluster/mol-sources")
SOURCES = STATE / "sources"
MADE = json.loads((SOURCES / "made.json").read_text())
ADDRESSES = dict(re.findall(r"^Host (\S+)\n\s+HostName (\S+)", (STATE / "ssh_config").read_text(), re.MULTILINE))
URL = f"http://{ADDRESSES['east'].rpartition('.')[0]}.1:8087"


@cache
def machine(name: str):
    """The machine of that name, to run commands on."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(STATE / "ssh_config"))


def get(name: str, port: int, path: str):
    """The JSON a machine answers with."""
    with urllib.request.urlopen(f"http://{ADDRESSES[name]}:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def play(playbook: str, limit: str, **variables) -> tuple[int, dict[str, int], str]:
    """Run a playbook; return its status, what it changed on each host, and what it said, in one line."""
    # Without what Molecule sets, such as colours between the words.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    inventory = SCENARIO / "inventory.yml"
    command = [
        "ansible-playbook",
        ROOT / "playbooks" / playbook,
        "-i",
        inventory,
        "-l",
        limit,
        "-e",
        json.dumps(variables),
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=plain, timeout=180)
    changed = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", result.stdout, re.MULTILINE)
    assert changed, result.stdout + result.stderr
    return result.returncode, {host: int(count) for host, count in changed}, " ".join(result.stdout.split())


def refused(playbook: str, limit: str, **variables) -> str:
    """Run a playbook that is to stop before it changes anything, and return what it said."""
    status, changed, said = play(playbook, limit, **variables)
    assert status != 0, said
    assert set(changed.values()) == {0}, said
    return said


def agents() -> dict[str, bool]:
    return {agent["hostname"]: agent["active"] for agent in get("north", 5050, "/slaves")["slaves"]}


def daemons(name: str) -> dict[str, str]:
    """The Mesos daemons that run on a machine, and the unit of each."""
    found = machine(name).check_output("ps --no-headers -eo args:200,unit:60 | grep '[/]mesos-'")
    return {line.split()[0]: line.split()[-1] for line in found.splitlines()}


def package(name: str, package_name: str) -> str:
    return machine(name).check_output("dpkg-query --show --showformat='${Version}' %s", package_name)

# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of a scenario ask: on its machines over ssh, over HTTP from the controller, by playbooks as a person runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import testinfra

ROOT = Path(__file__).parents[1]
# Without what Molecule sets, such as colours between the words and where collections are.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}


class Run(NamedTuple):
    """What a run of ansible-playbook came to."""

    status: int
    changed: dict[str, int]
    said: str

    @property
    def words(self) -> str:
        """What it said on one line, to look for sentences that Ansible folds."""
        return " ".join(self.said.split())


class Scenario:
    """A set of local machines.

    Arguments:
      cluster: the set's name (`instances_local_cluster`).
      inventory: the inventory its playbooks are run with.
    """

    def __init__(self, cluster: str, inventory: Path) -> None:
        self.state = Path("/var/lib/aurora-cluster") / cluster
        self.inventory = inventory
        self._machines: dict[str, object] = {}

    @cached_property
    def addresses(self) -> dict[str, str]:
        config = (self.state / "ssh_config").read_text()
        return dict(re.findall(r"^Host (\S+)\n\s+HostName (\S+)", config, re.MULTILINE))

    def machine(self, name: str):
        """The machine of that name, to run commands on."""
        if name not in self._machines:
            self._machines[name] = testinfra.get_host(f"ssh://{name}", ssh_config=str(self.state / "ssh_config"))
        return self._machines[name]

    def get(self, name: str, port: int, path: str):
        """The JSON a machine answers with."""
        with urllib.request.urlopen(f"http://{self.addresses[name]}:{port}{path}", timeout=10) as answer:
            return json.load(answer)

    def start(self, *arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.Popen:
        """Start ansible-playbook, with its output in a pipe."""
        return subprocess.Popen(
            ["ansible-playbook", "-i", self.inventory, *arguments],
            cwd=cwd,
            env={**PLAIN, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, *arguments: str | Path, cwd: Path = ROOT, variables: dict | None = None, **environment: str) -> Run:
        """Run ansible-playbook to its end."""
        if variables:
            arguments += ("-e", json.dumps(variables))
        process = self.start(*arguments, cwd=cwd, **environment)
        try:
            said = process.communicate(timeout=300)[0]
        finally:
            process.kill()
        changed = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", said, re.MULTILINE)
        assert changed, said
        return Run(process.returncode, {host: int(count) for host, count in changed}, said)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines, the packages made for them, and what is asked of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from scenario import Scenario

FOUR = Scenario("mol-sources", Path(__file__).parents[1] / "inventory.yml")
SOURCES = FOUR.state / "sources"
MADE = json.loads((SOURCES / "made.json").read_text())
URL = f"http://{FOUR.addresses['east'].rpartition('.')[0]}.1:8087"


def refused(playbook: str, limit: str, **variables) -> str:
    """Run a playbook that is to stop before it changes anything, and return what it said."""
    run = FOUR.play(f"playbooks/{playbook}", "-l", limit, variables=variables)
    assert run.status != 0, run.said
    assert set(run.changed.values()) == {0}, run.said
    return run.words


def wanted(directory: Path, **hosts: dict) -> Path:
    """An inventory beside the scenario's own, with other variables of some machines."""
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    return inventory


def agents() -> dict[str, bool]:
    return {agent["hostname"]: agent["active"] for agent in FOUR.get("north", 5050, "/slaves")["slaves"]}


def daemons(name: str) -> dict[str, str]:
    """The Mesos daemons that run on a machine, and the unit of each."""
    found = FOUR.machine(name).check_output("ps --no-headers -eo args:200,unit:60 | grep '[/]mesos-'")
    return {line.split()[0]: line.split()[-1] for line in found.splitlines()}


def package(name: str, package_name: str) -> str:
    return FOUR.machine(name).check_output("dpkg-query --show --showformat='${Version}' %s", package_name)


class Process(NamedTuple):
    """A unit's main process."""

    command: list[str]
    environment: list[str]


def process(name: str, unit: str) -> Process:
    pid = FOUR.machine(name).check_output(f"systemctl show --property=MainPID --value {unit}")
    files = [FOUR.machine(name).file(f"/proc/{pid}/{file}").content_string for file in ("cmdline", "environ")]
    return Process(*(text.split("\0") for text in files))

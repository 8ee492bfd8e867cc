# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines, and who of them leads."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
from pathlib import Path

from scenario import Scenario

THREE = Scenario("mol-ha", Path(__file__).parents[1] / "inventory.yml")
NAMES = ["one", "two", "three"]


def zookeeper_mode(name: str) -> str:
    """leader, follower, none while there is no quorum, or down."""
    try:
        with socket.create_connection((THREE.addresses[name], 2181), timeout=2) as connection:
            connection.sendall(b"srvr")
            answer = connection.makefile().read()
    except OSError:
        return "down"
    return next((line.split()[1] for line in answer.splitlines() if line.startswith("Mode: ")), "none")


def master_mode(name: str) -> str:
    try:
        metrics = THREE.get(name, 5050, "/metrics/snapshot")
    except OSError:
        return "down"
    return "leader" if metrics["master/elected"] == 1 else "follower"


def scheduler_mode(name: str) -> str:
    try:
        THREE.get(name, 8081, "/leaderhealth")
    except urllib.error.HTTPError as error:
        return {503: "follower"}.get(error.code, "none")
    except OSError:
        return "down"
    except ValueError:  # it says OK, which is no JSON
        return "leader"
    raise AssertionError("/leaderhealth answered with JSON")


# unit -> what a member of its says it is
MEMBERS = {"zookeeper": zookeeper_mode, "mesos-master": master_mode, "aurora-scheduler": scheduler_mode}


def modes(unit: str) -> dict[str, str]:
    return {name: MEMBERS[unit](name) for name in NAMES}


def leader(unit: str) -> str:
    """The one member that leads, awaited: an election takes some seconds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = modes(unit)
        leading = [name for name, mode in found.items() if mode == "leader"]
        if len(leading) == 1:
            return leading[0]
        time.sleep(0.5)
    raise AssertionError(f"{unit}: {found}")


def starts(unit: str) -> dict[str, int]:
    """When each member was started, in microseconds of the clock that the machines of one computer share."""
    asked = f"systemctl show --property=ActiveEnterTimestampMonotonic --value {unit}"
    return {name: int(THREE.machine(name).check_output(asked)) for name in NAMES}


def task() -> dict:
    """The one active task of Hello World, as the leading scheduler has it."""
    said = THREE.machine("one").check_output("aurora job status --write-json example/www-data/prod/hello")
    [active] = json.loads(said)[0]["active"]
    return active

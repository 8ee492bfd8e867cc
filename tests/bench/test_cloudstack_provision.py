# SPDX-License-Identifier: GPL-3.0-or-later
"""How long six machines take when one takes T. The cloud answers each request after a fifth of a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from doubles.cloudstack import Double

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "plugins/modules/cloudstack_instances.py"
LATENCY = 0.2
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbMK0yMzSIqQ5Cb5mRZhUX8QC3Kpg3h3rSgTJ2Z8sYk admin"


def provision(double, count):
    """Seconds from nothing to `count` machines with key pair and security group, and the requests it took."""
    machine = {"zone": "basic", "offering": "Small", "template": "Debian 12", "groups": ["mesos_slave"]}
    arguments = {
        **double.options(),
        "cluster": "bench",
        "machines": [{"name": f"m{number}", **machine} for number in range(count)],
        "key_pair": {"name": "bench", "public_key": PUBLIC_KEY},
        "security_group": {"name": "bench", "admin_cidrs": ["203.0.113.0/24"]},
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSTACK_")}
    environment["PYTHONPATH"] = str(ROOT / ".cache/collections")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    result = json.loads(done.stdout)
    assert len(result["deployed"]) == count
    return time.monotonic() - began, result["calls"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [10, 30])
def test_six_machines_beside_one(seconds):
    figures = {}
    for count in (1, 6):
        with Double(seconds={"deployVirtualMachine": seconds}) as double:
            double.server.intercept = lambda command, params: time.sleep(LATENCY)
            figures[count] = provision(double, count)
    one, six = figures[1][0], figures[6][0]
    print(
        f"\nT = {seconds} s: one machine {one:.1f} s ({figures[1][1]} requests), "
        f"six machines {six:.1f} s ({figures[6][1]} requests), six / one = {six / one:.2f}, six / T = {six / seconds:.2f}"
    )
    assert six < 3 * seconds

# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests ask the module cloudstack_instances for, and what the double then tells."""

from __future__ import annotations

from . import Double

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbMK0yMzSIqQ5Cb5mRZhUX8QC3Kpg3h3rSgTJ2Z8sYk admin@example.org"
WRITES = ("deploy", "start", "stop", "destroy", "create", "delete", "register", "authorize", "revoke")


def machine(name: str, **fields) -> dict:
    return {"name": name, "zone": "basic", "offering": "Small", "template": "Debian 12", **fields}


def wish(*machines: str, cluster: str = "blue", **fields) -> dict:
    return {
        "cluster": cluster,
        "machines": [machine(name, groups=["mesos_slave"]) for name in machines],
        "key_pair": {"name": cluster, "public_key": PUBLIC_KEY},
        "security_group": {"name": cluster, "admin_cidrs": ["203.0.113.0/24"], "admin_ports": ["22", "5050"]},
        **fields,
    }


def removal(cluster: str = "blue", **fields) -> dict:
    """All of the cluster shall go."""
    return {**wish(cluster=cluster), "machines": None, "state": "absent", **fields}


def writes(double: Double) -> list[str]:
    return [name for name in double.cloud.calls if name.startswith(WRITES)]


def tags(row: dict) -> dict:
    return {tag["key"]: tag["value"] for tag in row["tags"]}


def names(double: Double, kind: str = "machine") -> list[str]:
    return sorted(row["name"] for row in double.cloud.rows[kind])

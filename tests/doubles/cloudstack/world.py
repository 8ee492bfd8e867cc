# SPDX-License-Identifier: GPL-3.0-or-later
"""What the double offers from the start: users, projects, zones, offerings, templates and networks."""

from __future__ import annotations

import ipaddress

from .cloud import Cloud, User, known_id, now

DOMAIN = {"domainid": known_id("domain", "ROOT"), "domain": "ROOT"}
ZONES = {
    # name: (network type, security groups)
    "basic": ("Basic", True),
    "advanced": ("Advanced", False),
    "advanced-sg": ("Advanced", True),
}
OFFERINGS = {
    # name: (cpus, MHz, MiB)
    "Tiny": (1, 1000, 512),
    "Small": (1, 2000, 1024),
    "Medium": (2, 2000, 2048),
    "Large": (4, 2000, 8192),
}
TEMPLATES = ("Debian 12", "Debian 13", "Ubuntu 24.04")
NETWORKS = {
    # name: (zone, type, network)
    "guest-basic": ("basic", "Shared", "10.200.0.0/24"),
    "cluster": ("advanced", "Isolated", "10.201.0.0/24"),
    "storage": ("advanced", "Isolated", "10.202.0.0/24"),
    "wire": ("advanced", "L2", None),
    "guest-sg": ("advanced-sg", "Shared", "10.203.0.0/24"),
}
PROJECTS = ("blue", "green")
USERS = (
    User("alice-key", "alice-secret", "alice", projects=("blue", "green")),
    User("bob-key", "bob-secret", "bob", projects=("blue",)),
    User("admin-key", "admin-secret", "admin", admin=True, projects=PROJECTS),
)


def owner_of(account: str) -> dict:
    return {"account": account, **DOMAIN}


def owner_project(name: str) -> dict:
    return {"projectid": known_id("project", name), "project": name, **DOMAIN}


def populate(cloud: Cloud, basic_network: str | None = None) -> None:
    """Fill an empty cloud. `basic_network` replaces the addresses of the Basic zone, for real machines."""
    cloud.add("domain", {"id": DOMAIN["domainid"], "name": "ROOT", "path": "ROOT", "level": 0, "haschild": False})
    for name in PROJECTS:
        cloud.add("project", {"id": known_id("project", name), "name": name, "state": "Active", **DOMAIN})
    for name, (kind, groups) in ZONES.items():
        row = {"id": known_id("zone", name), "name": name, "networktype": kind, "securitygroupsenabled": groups}
        cloud.add("zone", {**row, "allocationstate": "Enabled", "localstorageenabled": False, "type": "Core"})
        # A template that every zone has is listed once for each, under one id.
        for template in TEMPLATES:
            zone = {"zoneid": row["id"], "zonename": name}
            cloud.add(
                "template",
                {
                    "id": known_id("template", template),
                    "name": template,
                    "displaytext": f"{template} (64-bit)",
                    "isready": True,
                    "isfeatured": True,
                    "ispublic": True,
                    "passwordenabled": False,
                    "size": 2 * 1024**3,
                    "ostypename": template,
                    "created": now(),
                    **zone,
                },
            )
    for name, (cpus, speed, memory) in OFFERINGS.items():
        row = {"id": known_id("offering", name), "name": name, "displaytext": f"{name}, {memory} MB"}
        cloud.add("offering", {**row, "cpunumber": cpus, "cpuspeed": speed, "memory": memory, "iscustomized": False})
    for name, (zone, kind, network) in NETWORKS.items():
        network = basic_network if name == "guest-basic" and basic_network else network
        row = {"id": known_id("network", name), "name": name, "displaytext": name, "type": kind, "traffictype": "Guest"}
        row.update(zoneid=known_id("zone", zone), zonename=zone, state="Implemented", **DOMAIN)
        if network:
            parsed = ipaddress.ip_network(network)
            row.update(cidr=network, gateway=str(parsed[1]), netmask=str(parsed.netmask))
        if kind != "Shared":
            row["account"] = "alice"
        cloud.add("network", row)
    for user in USERS:
        cloud.add(
            "securitygroup",
            {
                "id": known_id("securitygroup", user.account),
                "name": "default",
                "description": "Default Security Group",
                "ingressrule": [],
                "egressrule": [],
                "tags": [],
                **owner_of(user.account),
            },
        )


def add_users(cloud: Cloud) -> None:
    cloud.users.update({user.key: user for user in USERS})

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the names in a wish for machines to the ids a cloud knows them by; all that is wrong is found at once."""

from __future__ import annotations

import base64
import re

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError, find_one

HOST_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# What the API takes as user data, base64 encoded, by the way requests are sent.
USER_DATA_LIMITS = {"get": 4096, "post": 32768}
CLUSTER_TAG, ROLE_TAG = "aurora_cluster", "aurora_role"


class Problems(Exception):
    def __init__(self, problems):
        super().__init__("\n".join(problems))
        self.problems = problems


def project_scope(cloud, project):
    """The parameters that make a command work in a project."""
    if not project:
        return {}
    return {"projectid": find_one("project", project, cloud.list("listProjects"))["id"]}


class Resolver:
    """Looks names up, each listing fetched once, and collects what it does not find."""

    def __init__(self, cloud, scope):
        self._cloud = cloud
        self._scope = scope
        self._lists = {}
        self.problems = []

    def list(self, command, **params):
        known = (command, tuple(sorted(params.items())))
        if known not in self._lists:
            self._lists[known] = self._cloud.list(command, **params)
        return self._lists[known]

    def problem(self, machine, text):
        """Remember a problem; machines that share one are named together."""
        for entry in self.problems:
            if entry[1] == text:
                entry[0].append(machine)
                return
        self.problems.append(([machine], text))

    def find(self, machine, kind, wanted, rows):
        try:
            return find_one(kind, wanted, rows)
        except CloudStackError as error:
            self.problem(machine, str(error))
            return None

    def machine(self, wish, key_pair, security_group):
        """What the wish for one machine means here, or None."""
        name = wish["name"]
        if not HOST_NAME.fullmatch(name):
            self.problem(
                name,
                "a machine's name is made of letters, digits and inner hyphens, 63 at most, and begins with a letter",
            )
        zone = self.find(name, "zone", wish["zone"], self.list("listZones"))
        offering = self.find(name, "offering", wish["offering"], self.list("listServiceOfferings"))
        if zone is None:
            return None
        templates = self.list("listTemplates", templatefilter="executable", zoneid=zone["id"])
        template = self.find(name, "template", wish["template"], templates)
        self._check_offering(wish, offering)
        groups = self._security_groups(wish, zone, security_group)
        result = {
            "name": name,
            "zone": zone,
            "offering": offering,
            "template": template,
            "root_disk": wish["root_disk"],
            "networks": self._networks(wish, zone),
            "security_groups": groups,
            "affinity_groups": self._many(name, "affinity group", wish["affinity_groups"], "listAffinityGroups"),
            "key_pair": wish["key_pair"] or key_pair,
            "user_data": self._user_data(wish),
            "tags": {key: str(value) for key, value in wish["tags"].items()},
        }
        if wish["key_pair"] and wish["key_pair"] != key_pair:
            known = [{"id": row["name"], "name": row["name"]} for row in self.list("listSSHKeyPairs", **self._scope)]
            self.find(name, "key pair", wish["key_pair"], known)
        if ROLE_TAG in wish["tags"] or CLUSTER_TAG in wish["tags"]:
            self.problem(
                name, f"the tags {CLUSTER_TAG} and {ROLE_TAG} follow from the cluster and the groups: leave them out"
            )
        if wish["groups"]:
            result["tags"][ROLE_TAG] = ",".join(wish["groups"])
        return result

    def _many(self, machine, kind, names, command, **params):
        if not names:
            return []
        rows = self.list(command, **params, **self._scope)
        return [row for row in (self.find(machine, kind, name, rows) for name in names) if row]

    def _check_offering(self, wish, offering):
        if offering is None:
            return
        if offering.get("iscustomized"):
            self.problem(
                wish["name"], f"the offering {offering['name']} leaves its size open: choose one with a fixed size"
            )
            return
        memory = int(offering.get("memory") or 0)
        if memory < wish["least_memory"]:
            enough = [
                row["name"]
                for row in self.list("listServiceOfferings")
                if not row.get("iscustomized") and int(row.get("memory") or 0) >= wish["least_memory"]
            ]
            self.problem(
                wish["name"],
                f"the offering {offering['name']} has {memory} MB of memory, and {wish['least_memory']} MB are needed. "
                f"Large enough: {', '.join(sorted(enough)) or 'none'}.",
            )

    def _networks(self, wish, zone):
        if not wish["networks"]:
            return []
        if zone.get("networktype") == "Basic":
            self.problem(
                wish["name"],
                f"the zone {zone['name']} is a Basic one and has no networks to choose from: leave them out",
            )
            return []
        return self._many(wish["name"], "network", wish["networks"], "listNetworks", zoneid=zone["id"])

    def _security_groups(self, wish, zone, security_group):
        """Names with ids; the group that is about to be made has no id yet."""
        names = wish["security_groups"]
        if (names or security_group) and not zone.get("securitygroupsenabled"):
            self.problem(
                wish["name"],
                f"the zone {zone['name']} has no security groups: leave them out, name its networks, and guard these by "
                "the cloud's own means",
            )
            return []
        rows = self._many(wish["name"], "security group", names, "listSecurityGroups")
        found = [{"id": row["id"], "name": row["name"]} for row in rows]
        return found + (
            [{"id": None, "name": security_group}] if security_group and security_group not in names else []
        )

    def _user_data(self, wish):
        if not wish["user_data"]:
            return None
        encoded = base64.b64encode(wish["user_data"].encode()).decode()
        method = self._cloud.settings.method
        if len(encoded) > USER_DATA_LIMITS[method]:
            remedy = " or send requests by POST" if method == "get" else ""
            self.problem(
                wish["name"],
                f"its user data has {len(encoded)} bytes when encoded, and requests sent by {method.upper()} carry "
                f"{USER_DATA_LIMITS[method]}: shorten it{remedy}",
            )
        return encoded

    def check(self):
        if self.problems:
            raise Problems([f"{', '.join(machines)}: {text}" for machines, text in self.problems])


def resolve_machines(cloud, scope, wishes, cluster, key_pair, security_group):
    """The wanted machines with all names resolved."""
    resolver = Resolver(cloud, scope)
    names = [wish["name"] for wish in wishes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        resolver.problem(name, "is wanted twice: names are unique")
    machines = [resolver.machine(wish, key_pair, security_group) for wish in wishes]
    resolver.check()
    for machine in machines:
        machine["tags"][CLUSTER_TAG] = cluster
    return machines

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may reach the machines of a cluster: its key pair, and its security group with as few rules as it needs."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_plan import (
    GONE,
    instance_group,
    key_pairs_of,
    names_of,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_wanted import Problems

OPEN = ("0.0.0.0/0", "::/0")


def fingerprint(public_key):
    """The form in which the API shows keys: MD5 over the key itself."""
    parts = public_key.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, ValueError):
        raise Problems(
            ["public_key: this is no ssh public key. Give the content of a file such as ~/.ssh/id_ed25519.pub."]
        ) from None
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))


class KeyPair:
    """The key pair `name` with the user's public key. Without a key it has to be there already.

    A cloud takes a public key once. One that is registered under another name, for another cluster say, is used by that
    name.
    """

    def __init__(self, cloud, scope, name, public_key, cluster):
        self._cloud = cloud
        self._scope = scope
        self.name = name
        self._public_key = public_key
        self._mark = fingerprint(public_key) if public_key else None
        self._rows = cloud.list("listSSHKeyPairs", **scope)
        self.row = next((row for row in self._rows if row.get("name") == name), None)
        self._ours = name in (cluster, instance_group(cluster))
        if self.row is None and self._mark:
            self.row = next((row for row in self._rows if row.get("fingerprint") == self._mark), None)
            if self.row:
                self.name, self._ours = self.row["name"], False

    @property
    def missing(self):
        return self.row is None

    def check(self):
        if self.row is None and not self._public_key:
            known = ", ".join(sorted(row["name"] for row in self._rows)) or "none"
            raise Problems(
                [f"key_pair: the cloud has no key pair {self.name}, and no public_key to register. There are: {known}."]
            )
        if self._mark and self.row is not None and self.row.get("fingerprint") not in (None, self._mark):
            raise Problems(
                [
                    f"key_pair: {self.name} is registered with another public key ({self.row['fingerprint']}, yours is "
                    f"{self._mark}). Give another name, or delete that one in the cloud."
                ]
            )

    def register(self):
        self.row = self._cloud.call(
            "registerSSHKeyPair", name=self.name, publickey=self._public_key.strip(), **self._scope
        )

    @property
    def removable(self):
        """Only a key pair with the cluster's name and the given public key; any other may be somebody's."""
        return self._ours and self.row is not None and self._mark and self.row.get("fingerprint") == self._mark

    def users(self, rows):
        """The names of the machines that carry it."""
        return names_of(row for row in rows if row.get("state") not in GONE and self.name in key_pairs_of(row))

    def delete(self):
        self._cloud.call("deleteSSHKeyPair", name=self.name, **self._scope)


def network(text):
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise Problems(
            [f"{text!r} is no network ({error}). Give one such as 203.0.113.0/24 or 203.0.113.7/32."]
        ) from None


def port_range(text):
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", str(text))
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise Problems([f"admin_ports: {text!r} is no port. Give a number such as 22, or a range such as 31000-32000."])
    return first, last


def wanted_rules(admin_cidrs, admin_ports, peers):
    """The rules as comparable tuples: protocol, from, to, and the network or `group NAME` that they let in."""
    rules = {("tcp", *port_range(port), network(cidr)) for port in admin_ports for cidr in admin_cidrs}
    for peer in peers:
        # Older clouds know no rule for all protocols at once.
        rules |= {("tcp", 1, 65535, peer), ("udp", 1, 65535, peer), ("icmp", -1, -1, peer)}
    return rules


def rule_of(row):
    """A rule of the cloud in the same form."""
    peer = row.get("cidr") or f"group {row.get('securitygroupname')}"
    first, last = ("icmptype", "icmpcode") if row.get("protocol") == "icmp" else ("startport", "endport")
    return (str(row.get("protocol")).lower(), int(row.get(first, 0)), int(row.get(last, 0)), peer)


def rule_text(rule):
    protocol, first, last, peer = rule
    if protocol == "icmp":
        return f"icmp from {peer}"
    return f"{protocol} {first} from {peer}" if first == last else f"{protocol} {first}-{last} from {peer}"


class SecurityGroup:
    """The cluster's security group with exactly the wanted rules. A group that others made is left alone."""

    def __init__(self, cloud, scope, name, cluster, on_progress=None):
        self._cloud = cloud
        self._on_progress = on_progress
        self._scope = scope
        self.name = name
        self.description = f"aurora.cluster {cluster}"
        rows = cloud.list("listSecurityGroups", securitygroupname=name, **scope)
        self.row = next((row for row in rows if row.get("name") == name), None)
        self.wanted = set()
        self._adding = []

    @property
    def ours(self):
        return self.row is not None and self.row.get("description") == self.description

    def members(self, rows):
        """The names of the machines that are in it, destroyed ones too."""
        return names_of(
            row for row in rows if self.row["id"] in [group["id"] for group in row.get("securitygroup") or []]
        )

    @property
    def rules(self):
        """The rules there are, each with its id."""
        return {rule_of(row): row["ruleid"] for row in (self.row or {}).get("ingressrule") or []}

    def check(self, admin_cidrs, admin_ports, peer_cidrs):
        if self.row is not None and not self.ours:
            raise Problems(
                [f"security_group: there is a group {self.name} that this cluster did not make. Give another name."]
            )
        if self._scope and not peer_cidrs:
            # A rule names a group by its account, and the groups of a project have none.
            raise Problems(
                [
                    "security_group: the groups of a project cannot let each other in. Give the networks that the machines "
                    "of the cluster are in as peer_cidrs."
                ]
            )
        peers = [network(cidr) for cidr in peer_cidrs] or [f"group {self.name}"]
        self.wanted = wanted_rules(admin_cidrs, admin_ports, peers)

    @property
    def to_add(self):
        return self.wanted - set(self.rules)

    @property
    def to_remove(self):
        return set(self.rules) - self.wanted

    def create(self):
        if self.row is None:
            self.row = self._cloud.call(
                "createSecurityGroup", name=self.name, description=self.description, **self._scope
            )

    def begin(self):
        """Start adding the rules that are missing. Machines can be deployed meanwhile."""
        self._adding = [self._authorize(rule) for rule in sorted(self.to_add, key=rule_text)]

    def finish(self):
        """Remove the rules that are too many once the new ones are there, so that nobody is locked out in between."""
        have, unwanted = self.rules, sorted(self.to_remove, key=rule_text)
        self._wait(self._adding)
        self._wait([self._cloud.start("revokeSecurityGroupIngress", id=have[rule]) for rule in unwanted])

    def _wait(self, jobs):
        for job in jobs:
            job.label = f"security group {self.name}"
        for result in self._cloud.wait(jobs, self._on_progress):
            if isinstance(result, CloudStackError):
                raise result

    def _authorize(self, rule):
        protocol, first, last, peer = rule
        params = {"securitygroupid": self.row["id"], "protocol": protocol}
        params.update(
            {"icmptype": first, "icmpcode": last} if protocol == "icmp" else {"startport": first, "endport": last}
        )
        if peer.startswith("group "):
            params["usersecuritygrouplist"] = [{"account": self.row["account"], "group": self.name}]
        else:
            params["cidrlist"] = peer
        return self._cloud.start("authorizeSecurityGroupIngress", **params, **self._scope)

    def delete(self):
        self._cloud.call("deleteSecurityGroup", id=self.row["id"], **self._scope)

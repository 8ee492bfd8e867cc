# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for what lets people and machines in: key pairs, security groups, affinity groups."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import uuid

from .cloud import ApiError, public
from .commands import Request, command, filtered, owned_rows

KEY_TYPES = ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def fingerprint(public_key: str) -> str:
    try:
        kind, blob = public_key.split()[:2]
        decoded = base64.b64decode(blob, validate=True)
    except ValueError:
        raise ApiError(431, "Public key is invalid", 4350) from None
    if kind not in KEY_TYPES:
        raise ApiError(431, "Public key is invalid", 4350)
    digest = hashlib.md5(decoded).hexdigest()  # noqa: S324 - the form in which the API shows it
    return ":".join(digest[index : index + 2] for index in range(0, 32, 2))


@command("listSSHKeyPairs", "list", "sshkeypair")
def list_keys(request: Request) -> list[dict]:
    return filtered(request, owned_rows(request, "keypair"), ("name", "fingerprint"))


@command("registerSSHKeyPair")
def register_key(request: Request) -> dict:
    name, key = request.need("name"), request.need("publickey")
    rows = owned_rows(request, "keypair")
    if any(row["name"] == name for row in rows):
        raise ApiError(431, f"A key pair with name '{name}' already exists.", 4350)
    mark = fingerprint(key)
    if any(row["fingerprint"] == mark for row in rows):
        raise ApiError(431, f"A key pair with fingerprint '{mark}' already exists.", 4350)
    row = request.cloud.add("keypair", {"name": name, "fingerprint": mark, "_publickey": key, **request.owner()})
    return {"keypair": public(row)}


@command("deleteSSHKeyPair")
def delete_key(request: Request) -> dict:
    name = request.need("name")
    row = next((row for row in owned_rows(request, "keypair") if row["name"] == name), None)
    if row is None:
        raise ApiError(431, f"A key pair with name '{name}' does not exist for account {request.user.account}", 4350)
    request.cloud.rows["keypair"].remove(row)
    return {"success": True}


@command("listAffinityGroups", "list", "affinitygroup")
def list_affinity(request: Request) -> list[dict]:
    return filtered(request, owned_rows(request, "affinitygroup"), ("name", "type"))


@command("createAffinityGroup", "job")
def create_affinity(request: Request) -> tuple:
    name, kind = request.need("name"), request.need("type")
    if any(row["name"] == name for row in owned_rows(request, "affinitygroup")):
        raise ApiError(431, f"Unable to create affinity group, a group with name {name} already exists.", 4350)
    row = request.cloud.add("affinitygroup", {"name": name, "type": kind, "description": "", **request.owner()})
    return {"id": row["id"]}, name, lambda: {"affinitygroup": public(row)}, lambda: None


@command("listSecurityGroups", "list", "securitygroup")
def list_groups(request: Request) -> list[dict]:
    rows = owned_rows(request, "securitygroup")
    if name := request.get("securitygroupname"):
        rows = [row for row in rows if row["name"] == name]
    return filtered(request, rows)


@command("createSecurityGroup")
def create_group(request: Request) -> dict:
    name = request.need("name")
    if any(row["name"] == name for row in owned_rows(request, "securitygroup")):
        raise ApiError(431, f"Unable to create security group, a group with name {name} already exisits.", 4350)
    row = {
        "name": name,
        "description": request.get("description") or "",
        "ingressrule": [],
        "egressrule": [],
        "tags": [],
    }
    return {"securitygroup": public(request.cloud.add("securitygroup", {**row, **request.owner()}))}


def the_group(request: Request) -> dict:
    if ("id" in request.params) == ("name" in request.params):
        raise ApiError(431, "id and name parameters are mutually exclusive", 4350)
    value = request.get("id") or request.get("name")
    field = "id" if "id" in request.params else "name"
    row = next((row for row in owned_rows(request, "securitygroup") if row[field] == value), None)
    if row is None:
        raise ApiError(431, f"Unable to find security group by {field} {value}", 4350)
    return row


@command("deleteSecurityGroup")
def delete_group(request: Request) -> dict:
    row = the_group(request)
    if row["name"] == "default":
        raise ApiError(431, "The network group default is reserved", 4350)
    used = any(
        group["id"] == row["id"] for machine in request.cloud.rows["machine"] for group in machine["securitygroup"]
    )
    named = any(
        rule.get("securitygroupname") == row["name"]
        for other in owned_rows(request, "securitygroup")
        if other is not row
        for rule in other["ingressrule"] + other["egressrule"]
    )
    if used or named:
        raise ApiError(536, "Cannot delete group when there are virtual machines or rules that use it", 4360)
    request.cloud.rows["securitygroup"].remove(row)
    return {"success": True}


def wanted_rules(request: Request) -> list[dict]:
    """Return a rule for each network or group named. The API keeps them apart as well."""
    protocol = (request.get("protocol") or "all").lower()
    rule: dict = {"protocol": protocol}
    if protocol in ("tcp", "udp"):
        first, last = request.number("startport"), request.number("endport")
        if first is None or last is None or not 0 <= first <= last <= 65535:
            raise ApiError(431, f"Invalid port range: {first}-{last}", 4350)
        rule.update(startport=first, endport=last)
    elif protocol == "icmp":
        kind, code = request.number("icmptype"), request.number("icmpcode")
        rule.update(icmptype=-1 if kind is None else kind, icmpcode=-1 if code is None else code)
    rules = []
    for network in request.names("cidrlist"):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ApiError(431, f"Invalid cidr {network}", 4350) from None
        rules.append({**rule, "cidr": network})
    for peer in request.maps("usersecuritygrouplist"):
        known = [
            row
            for row in request.cloud.rows["securitygroup"]
            if row["name"] == peer.get("group") and row.get("account") == peer.get("account")
        ]
        if not known:
            raise ApiError(
                431, f"Unable to find security group {peer.get('group')} of account {peer.get('account')}", 4350
            )
        rules.append({**rule, "securitygroupname": peer["group"], "account": peer["account"]})
    if not rules:
        raise ApiError(431, "At least one cidr or at least one security group needs to be specified", 4350)
    return rules


def authorize(request: Request, field: str, direction: str) -> tuple:
    cloud = request.cloud
    by_id, by_name = request.get("securitygroupid"), request.get("securitygroupname")
    if (by_id is None) == (by_name is None):
        raise ApiError(431, "Either securityGroupId or securityGroupName is required", 4350)
    rows = owned_rows(request, "securitygroup")
    row = next((row for row in rows if row["id"] == by_id or row["name"] == by_name), None)
    if row is None:
        raise ApiError(431, f"Unable to find security group {by_id or by_name}", 4350)
    rules = wanted_rules(request)

    def finish() -> dict:
        with cloud.lock:
            have = [{key: value for key, value in rule.items() if key not in ("ruleid", "tags")} for rule in row[field]]
            if any(rule in have for rule in rules):
                raise ApiError(530, f"Failed to authorize security group {direction} rule(s)")
            row[field] += [{"ruleid": str(uuid.uuid4()), **rule, "tags": []} for rule in rules]
            return {"securitygroup": public(row)}

    return {}, row["name"], finish, lambda: None


def revoke(request: Request, field: str) -> tuple:
    cloud, identifier = request.cloud, request.need("id")
    for row in owned_rows(request, "securitygroup"):
        if any(rule["ruleid"] == identifier for rule in row[field]):
            break
    else:
        raise ApiError(431, f"Unable to find security rule by id {identifier}", 4350)

    def finish() -> dict:
        with cloud.lock:
            row[field] = [rule for rule in row[field] if rule["ruleid"] != identifier]
            return {"success": True}

    return {}, row["name"], finish, lambda: None


@command("authorizeSecurityGroupIngress", "job")
def authorize_ingress(request: Request) -> tuple:
    return authorize(request, "ingressrule", "ingress")


@command("authorizeSecurityGroupEgress", "job")
def authorize_egress(request: Request) -> tuple:
    return authorize(request, "egressrule", "egress")


@command("revokeSecurityGroupIngress", "job")
def revoke_ingress(request: Request) -> tuple:
    return revoke(request, "ingressrule")


@command("revokeSecurityGroupEgress", "job")
def revoke_egress(request: Request) -> tuple:
    return revoke(request, "egressrule")

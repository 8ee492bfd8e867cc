# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for machines: list, deploy, start, stop, reboot, destroy."""

from __future__ import annotations

import ipaddress
import re
import uuid

from .cloud import ApiError, Cloud, known_id, now, public
from .commands import Request, command, filtered, may_see, owned_rows
from .world import owner_of, owner_project

DETAILS = set("all group nics stats secgrp tmpl servoff diskoff backoff iso volume min affgrp".split())  # noqa: SIM905 - a list of words reads better so
GET_LIMIT, POST_LIMIT = 4096, 32768


def card(network: dict, address: str | None, default: bool, machine: str) -> dict:
    nic = {
        "id": str(uuid.uuid4()),
        "networkid": network["id"],
        "networkname": network["name"],
        "traffictype": "Guest",
        "type": network["type"],
        "isdefault": default,
        "macaddress": f"06:{':'.join(re.findall('..', uuid.uuid4().hex[:10]))}",
        "virtualmachineid": machine,
        "secondaryip": [],
    }
    if address:
        nic.update(ipaddress=address, netmask=network["netmask"], gateway=network["gateway"])
    return nic


def free_address(cloud: Cloud, network: dict) -> str | None:
    if "cidr" not in network:
        return None
    taken = {nic.get("ipaddress") for row in cloud.rows["machine"] for nic in row.get("nic") or []}
    taken.add(network["gateway"])
    for address in ipaddress.ip_network(network["cidr"]).hosts():
        if str(address) not in taken:
            return str(address)
    raise ApiError(533, f"Insufficient address capacity in network {network['name']}")


def new_row(cloud: Cloud, name: str, owner: dict, zone: dict, offering: dict, template: dict) -> dict:
    identifier = str(uuid.uuid4())
    return {
        "id": identifier,
        "name": name,
        "displayname": name,
        **owner,
        "created": now(),
        "state": "Starting",
        "haenable": False,
        "zoneid": zone["id"],
        "zonename": zone["name"],
        "templateid": template["id"],
        "templatename": template["name"],
        "templatedisplaytext": template["displaytext"],
        "passwordenabled": template["passwordenabled"],
        "serviceofferingid": offering["id"],
        "serviceofferingname": offering["name"],
        "cpunumber": offering["cpunumber"],
        "cpuspeed": offering["cpuspeed"],
        "memory": offering["memory"],
        "osdisplayname": template["ostypename"],
        "rootdeviceid": 0,
        "rootdevicetype": "ROOT",
        "hypervisor": "KVM",
        "details": {},
        "securitygroup": [],
        "affinitygroup": [],
        "nic": [],
        "tags": [],
        "userid": known_id("user", owner.get("account", "")),
        "username": owner.get("account", ""),
        "displayvm": True,
        "isdynamicallyscalable": False,
    }


def add_machine(
    cloud: Cloud,
    name: str,
    *,
    account="alice",
    project=None,
    zone="basic",
    network=None,
    address="auto",
    offering="Small",
    template="Debian 12",
    tags=None,
    **fields,
) -> dict:
    """Put a running machine there without a deployment. `fields` replace any of its row; None leaves the field out."""
    with cloud.lock:
        zone_row = cloud.by_name("zone", zone)
        default = {"basic": "guest-basic", "advanced": "cluster", "advanced-sg": "guest-sg"}[zone]
        network_row = cloud.by_name("network", network or default)
        owner = owner_project(project) if project else owner_of(account)
        row = new_row(
            cloud, name, owner, zone_row, cloud.by_name("offering", offering), cloud.by_name("template", template)
        )
        row["state"] = "Running"
        if address == "auto":
            address = free_address(cloud, network_row)
        row["nic"] = [card(network_row, address, True, row["id"])]
        row["tags"] = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        row.update(fields)
        row = {key: value for key, value in row.items() if value is not None}
        cloud.add("machine", row)
        return row


@command("listVirtualMachines", "list", "virtualmachine")
def list_machines(request: Request) -> list[dict]:
    details = set(request.names("details")) or {"all"}
    if unknown := details - DETAILS:
        raise ApiError(431, f"The details parameter contains a non permitted value: {', '.join(sorted(unknown))}", 4350)
    rows = owned_rows(request, "machine")
    state = request.get("state")
    if state is None:
        hidden = ("Expunging",) if request.user.admin else ("Destroyed", "Expunging")
        rows = [row for row in rows if row.get("state") not in hidden]
    elif state.lower() == "present":
        rows = [row for row in rows if row.get("state") not in ("Destroyed", "Expunging")]
    else:
        rows = [row for row in rows if str(row.get("state")).lower() == state.lower()]
    if name := request.get("name"):
        rows = [row for row in rows if name.lower() in str(row.get("name", "")).lower()]
    for parameter, field, key in (
        ("networkid", "nic", "networkid"),
        ("securitygroupid", "securitygroup", "id"),
        ("affinitygroupid", "affinitygroup", "id"),
    ):
        if value := request.get(parameter):
            rows = [row for row in rows if any(item.get(key) == value for item in row.get(field) or [])]
    rows = filtered(request, rows, ("zoneid", "templateid", "serviceofferingid", "hypervisor", "domainid", "groupid"))
    hidden_fields = set()
    if "all" not in details:
        for detail, field in (
            ("nics", "nic"),
            ("secgrp", "securitygroup"),
            ("affgrp", "affinitygroup"),
            ("group", "group"),
        ):
            if detail not in details:
                hidden_fields.add(field)
    if not request.user.admin:
        hidden_fields |= {"hostname", "hostid", "instancename"}
    if not hidden_fields:
        return rows
    return [{key: value for key, value in row.items() if key not in hidden_fields} for row in rows]


def pick_networks(request: Request, zone: dict) -> list[dict]:
    cloud, wanted = request.cloud, request.names("networkids")
    in_zone = [row for row in cloud.rows["network"] if row["zoneid"] == zone["id"] and may_see(request.user, row)]
    if zone["networktype"] == "Basic":
        if wanted:
            raise ApiError(431, "Can't specify network Ids in Basic zone", 4350)
        return in_zone[:1]
    if not wanted:
        usable = [row for row in in_zone if "cidr" in row]
        if len(usable) == 1:
            return usable
        raise ApiError(
            431, "More than 1 default Isolated networks are found for account; please specify networkIds", 4350
        )
    found = [next((row for row in in_zone if row["id"] == identifier), None) for identifier in wanted]
    if None in found:
        raise ApiError(431, f"Unable to find network by id {wanted[found.index(None)]}", 4350)
    return [row for row in found if row]


def pick_groups(request: Request, zone: dict, kind: str, by_id: str, by_name: str) -> list[dict]:
    rows = owned_rows(request, kind)
    groups = []
    for parameter, field in ((by_id, "id"), (by_name, "name")):
        for value in request.names(parameter):
            row = next((row for row in rows if row[field] == value), None)
            if row is None:
                raise ApiError(431, f"Unable to find {kind} by {field} {value}", 4350)
            groups.append(row)
    if groups and kind == "securitygroup" and not zone["securitygroupsenabled"]:
        raise ApiError(431, f"Can't create vm with security groups; zone {zone['name']} does not support them", 4350)
    return groups


def check_name(cloud: Cloud, name: str, networks: list[dict]) -> None:
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", name):
        raise ApiError(
            431,
            f"Invalid name. Vm name can contain ASCII letters 'a' through 'z', the digits '0' through '9', "
            f"and the hyphen ('-'), must be between 1 and 63 characters long: {name}",
            4350,
        )
    ids = {network["id"] for network in networks}
    for row in cloud.rows["machine"]:
        if row["name"] == name and ids & {nic["networkid"] for nic in row.get("nic") or []}:
            raise ApiError(
                431,
                f"The vm with hostName {name} already exists in the network domain: "
                f"cs.cloud.internal; network={networks[0]['name']}",
                4350,
            )


@command("deployVirtualMachine", "job")
def deploy(request: Request) -> tuple:
    cloud = request.cloud
    zone = request.row("zone", "zoneid")
    offering, template = request.row("offering", "serviceofferingid"), request.row("template", "templateid")
    networks = pick_networks(request, zone)
    groups = pick_groups(request, zone, "securitygroup", "securitygroupids", "securitygroupnames")
    affinity = pick_groups(request, zone, "affinitygroup", "affinitygroupids", "affinitygroupnames")
    user_data = request.base64("userdata", GET_LIMIT if request.method == "GET" else POST_LIMIT)
    key = None
    if key_name := request.get("keypair") or request.get("keypairs"):
        key = next((row for row in owned_rows(request, "keypair") if row["name"] == key_name), None)
        if key is None:
            raise ApiError(431, f"A key pair with name '{key_name}' was not found.", 4350)
    disk = request.number("rootdisksize")
    if disk is not None and disk * 1024**3 < template["size"]:
        raise ApiError(431, "Unable to deploy: root disk size is smaller than the template's", 4350)
    name = request.get("name") or f"VM-{uuid.uuid4()}"
    check_name(cloud, name, networks)
    if error := cloud.strike("deployVirtualMachine", name, "call"):
        raise error

    row = new_row(cloud, name, request.owner(), zone, offering, template)
    row["displayname"] = request.get("displayname") or name
    if not groups and zone["securitygroupsenabled"]:
        groups = [group for group in owned_rows(request, "securitygroup") if group["name"] == "default"]
    row["securitygroup"] = [{field: group[field] for field in ("id", "name", "description")} for group in groups]
    row["affinitygroup"] = [{field: group[field] for field in ("id", "name", "type")} for group in affinity]
    row["nic"] = [card(network, None, index == 0, row["id"]) for index, network in enumerate(networks)]
    if group_name := request.get("group"):
        row.update(group=group_name, groupid=known_id("instancegroup", group_name))
    if key:
        row.update(keypair=key["name"], keypairs=key["name"], _publickey=key["_publickey"])
    row["_userdata"] = user_data
    row["_rootdisksize"] = disk
    cloud.add("machine", row)

    def finish() -> dict:
        with cloud.lock:
            for nic, network in zip(row["nic"], networks):
                if address := free_address(cloud, network):
                    nic.update(ipaddress=address, netmask=network["netmask"], gateway=network["gateway"])
        if cloud.hosting:
            cloud.hosting.start(row)
        with cloud.lock:
            row["state"] = "Running"
            return {"virtualmachine": public(row)}

    def failed() -> None:
        row["state"] = "Error"

    return {"id": row["id"]}, name, finish, failed


def change_state(request: Request, allowed: tuple[str, ...], during: str, after: str, act) -> tuple:
    cloud, row = request.cloud, request.row("machine", "id")
    before = row["state"]
    if before not in allowed:
        raise ApiError(431, f"Virtual machine {row['name']} cannot do this in state {before}", 4350)
    row["state"] = during

    def finish() -> dict:
        if cloud.hosting:
            act(row)
        with cloud.lock:
            row["state"] = after
            return {"virtualmachine": public(row)}

    def failed() -> None:
        row["state"] = before

    return {}, row["name"], finish, failed


@command("startVirtualMachine", "job")
def start(request: Request) -> tuple:
    cloud, row = request.cloud, request.row("machine", "id")

    def act(row: dict) -> None:
        cloud.hosting.start(row)

    for nic in row.get("nic") or []:  # one that never ran has no address yet
        network = cloud.by_id("network", nic["networkid"])
        if "ipaddress" not in nic and (address := free_address(cloud, network)):
            nic.update(ipaddress=address, netmask=network["netmask"], gateway=network["gateway"])
    return change_state(request, ("Stopped",), "Starting", "Running", act)


@command("stopVirtualMachine", "job")
def stop(request: Request) -> tuple:
    def act(row: dict) -> None:
        request.cloud.hosting.stop(row)

    return change_state(request, ("Running",), "Stopping", "Stopped", act)


@command("rebootVirtualMachine", "job")
def reboot(request: Request) -> tuple:
    def act(row: dict) -> None:
        request.cloud.hosting.stop(row)
        request.cloud.hosting.start(row)

    return change_state(request, ("Running",), "Stopping", "Running", act)


@command("destroyVirtualMachine", "job")
def destroy(request: Request) -> tuple:
    cloud = request.cloud
    expunge = request.flag("expunge")
    if expunge and not (cloud.may_expunge or request.user.admin):
        raise ApiError(
            531,
            "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set.",
            4365,
        )
    row = request.row("machine", "id")
    if row["state"] in ("Destroyed", "Expunging"):
        raise ApiError(431, f"Vm with id={row['id']} is already destroyed", 4350)
    before = row["state"]
    if before == "Running":
        row["state"] = "Stopping"

    def finish() -> dict:
        if cloud.hosting:
            cloud.hosting.destroy(row)
        with cloud.lock:
            row["state"] = "Destroyed"
            if expunge:
                cloud.rows["machine"].remove(row)
                row["state"] = "Expunging"
            return {"virtualmachine": public(row)}

    def failed() -> None:
        row["state"] = before

    return {}, row["name"], finish, failed

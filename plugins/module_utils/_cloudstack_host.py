# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a row of listVirtualMachines to a host of the inventory, without a look at anything else."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import NamedTuple

# An inventory name that is a plain word for patterns, files and shells.
NAME = re.compile(r"\w(?:[\w.-]*\w)?")
# These would change what the words mean in a playbook.
RESERVED_NAMES = {"all", "ungrouped", "localhost", "127.0.0.1", "::1"}
SSH_PORT = 22


class OddMachine(ValueError):
    """A row that no host can be made of."""


class Host(NamedTuple):
    id: str
    name: str
    variables: dict
    roles: list
    warnings: list


def _text(value):
    return None if value is None or isinstance(value, (dict, list)) or value == "" else str(value)


def _integer(value):
    try:
        return int(str(value))
    except ValueError:
        return None


def _boolean(value):
    return {"true": True, "false": False}.get(str(value).lower())


def _rows(value):
    """The objects in a list that may be missing, or a single object, or hold things that are none."""
    if isinstance(value, dict):
        value = [value] if value else []
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def address(value, version=None):
    """`value` as an address, None if it is none. What ssh is given as a host must not be able to be an option."""
    text = str(value).strip()
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # Behind a percent sign comes the name of a card, for which any text is taken.
    usable = version in (None, found.version) and not found.is_unspecified and "%" not in text
    return str(found) if usable else None


def _nic(row):
    return {
        "id": _text(row.get("id")),
        "network": _text(row.get("networkname")),
        "network_id": _text(row.get("networkid")),
        "type": _text(row.get("type")),
        "mac_address": _text(row.get("macaddress")),
        "ipv4": address(row.get("ipaddress"), 4),
        "ipv6": address(row.get("ip6address"), 6),
        "netmask": _text(row.get("netmask")),
        "gateway": _text(row.get("gateway")),
        "public_ip": address(row.get("publicip")),
        "secondary_ips": [ip for ip in (address(one.get("ipaddress")) for one in _rows(row.get("secondaryip"))) if ip],
        "vpc": _text(row.get("vpcname")),
        "is_default": _boolean(row.get("isdefault")) is True,
    }


def _forward(rule):
    return {
        "address": address(rule.get("ipaddress")),
        "protocol": (_text(rule.get("protocol")) or "").lower(),
        "public_port": _integer(rule.get("publicport")),
        "public_end_port": _integer(rule.get("publicendport", rule.get("publicport"))),
        "private_port": _integer(rule.get("privateport")),
        "private_end_port": _integer(rule.get("privateendport", rule.get("privateport"))),
    }


def _names(rows):
    return sorted({name for name in (_text(row.get("name")) for row in _rows(rows)) if name})


def facts(row, forwards=()):
    """What is known of a machine. All keys are always there; None, an empty list or map stand for unknown."""
    nics = [_nic(nic) for nic in _rows(row.get("nic"))]
    # Old servers mark no card as the default one. Their first is.
    default = next((nic for nic in nics if nic["is_default"]), nics[0] if nics else {})
    # Newer servers list all the key pairs of a machine in one string.
    keypairs = row.get("keypairs") or row.get("keypair") or ""
    keypairs = keypairs if isinstance(keypairs, list) else str(keypairs).split(",")
    rules = [_forward(rule) for rule in forwards if str(rule.get("state", "Active")).lower() == "active"]
    tags = {_text(tag.get("key")): str(tag.get("value") or "") for tag in _rows(row.get("tags"))}
    result = {
        name: _text(row.get(field))
        for name, field in {
            "id": "id",
            "name": "name",
            "displayname": "displayname",
            "created": "created",
            "account": "account",
            "project": "project",
            "project_id": "projectid",
            "domain": "domain",
            "domain_id": "domainid",
            "domain_path": "domainpath",
            "zone": "zonename",
            "zone_id": "zoneid",
            "template": "templatename",
            "template_id": "templateid",
            "iso": "isoname",
            "service_offering": "serviceofferingname",
            "service_offering_id": "serviceofferingid",
            "disk_offering": "diskofferingname",
            "disk_offering_id": "diskofferingid",
            "os": "osdisplayname",
            "hypervisor": "hypervisor",
            # To administrators only. It is the hypervisor's name and not the machine's.
            "hypervisor_host": "hostname",
            "instance_name": "instancename",
            "instance_group": "group",
        }.items()
    }
    result.update(
        state=(_text(row.get("state")) or "unknown").lower(),
        cpus=_integer(row.get("cpunumber")),
        cpu_mhz=_integer(row.get("cpuspeed")),
        memory_mb=_integer(row.get("memory")),
        ha_enabled=_boolean(row.get("haenable")),
        key_pairs=[name.strip() for name in map(str, keypairs) if name.strip()],
        tags={key: value for key, value in sorted(tags.items(), key=str) if key},
        security_groups=_names(row.get("securitygroup")),
        affinity_groups=_names(row.get("affinitygroup")),
        nics=nics,
        default_network=default.get("network"),
        default_ipv4=default.get("ipv4"),
        default_ipv6=default.get("ipv6"),
        public_ip=address(row.get("publicip")) or next((nic["public_ip"] for nic in nics if nic["public_ip"]), None),
        port_forwards=sorted(rules, key=lambda rule: (str(rule["address"]), rule["public_port"] or 0)),
    )
    return result


def _forwarded(machine, port):
    """Address and port from which `port` of the machine is reached, by the first rule that covers it."""
    for rule in machine["port_forwards"]:
        ports = [rule[key] for key in ("public_port", "public_end_port", "private_port", "private_end_port")]
        if rule["address"] and rule["protocol"] == "tcp" and None not in ports and ports[2] <= port <= ports[3]:
            return rule["address"], ports[0] + port - ports[2]
    return None, None


def _of_network(machine, wanted, family):
    cards = [nic for nic in machine["nics"] if not wanted or wanted in (nic["network"], nic["network_id"])]
    cards.sort(key=lambda nic: not nic["is_default"])
    return next((nic[family] for nic in cards if nic[family]), None), None


ADDRESSES = {
    "default": lambda machine, wanted: (machine["default_ipv4"], None),
    "public": lambda machine, wanted: (machine["public_ip"], None),
    "port_forward": lambda machine, wanted: _forwarded(machine, int(wanted or SSH_PORT)),
    "network": lambda machine, wanted: _of_network(machine, wanted, "ipv4"),
    "ipv6": lambda machine, wanted: _of_network(machine, wanted, "ipv6"),
}
NAMES = {
    "name": lambda machine, wanted: machine["name"],
    "displayname": lambda machine, wanted: machine["displayname"],
    "id": lambda machine, wanted: machine["id"],
    "tag": lambda machine, wanted: machine["tags"].get(wanted),
}
# What follows the colon, where something does.
VALUES = {"network": ":NETWORK", "tag": ":KEY", "ipv6": "[:NETWORK]", "port_forward": "[:PORT]"}


def check_preferences(option, preferences, known):
    """Complain about a preference nobody knows."""
    forms = ", ".join(f"{name}{VALUES.get(name, '')}" for name in known)
    if not preferences:
        raise ValueError(f"`{option}` is empty. It takes a list of: {forms}.")
    for preference in preferences:
        kind, colon, value = str(preference).partition(":")
        form = VALUES.get(kind, "")
        fits = kind in known and bool(value) == bool(colon) and (form if colon else not form.startswith(":"))
        if fits and kind == "port_forward" and colon:
            fits = value.isdigit() and 0 < int(value) < 65536
        if not fits:
            raise ValueError(f"`{option}` cannot use {preference!r}. It takes a list of: {forms}.")


def choose_address(machine, preferences):
    """The first address, and the port if it is not the usual one, that any of the preferences gives."""
    for preference in preferences:
        kind, _colon, wanted = str(preference).partition(":")
        found, port = ADDRESSES[kind](machine, wanted)
        if found:
            return found, port
    return None, None


def choose_name(machine, preferences):
    for preference in [*preferences, "id"]:
        kind, _colon, wanted = str(preference).partition(":")
        name = NAMES[kind](machine, wanted)
        if name and NAME.fullmatch(name) and name.lower() not in RESERVED_NAMES and len(name) < 254:
            return name
    return None


def roles_of(value, reserved):
    """The groups a tag's value names, several separated by commas or blanks, and the words that cannot be groups."""
    words = [word for word in re.split(r"[\s,;]+", value) if word]
    # A tag says mesos-master where a group is called mesos_master.
    groups = {word: re.sub(r"\W", "_", word) for word in words}
    bad = [word for word, group in groups.items() if not group.isidentifier() or group in reserved]
    return list(dict.fromkeys(group for word, group in groups.items() if word not in bad)), bad


def host_from_row(
    row, forwards, *, hostnames, ansible_host, cluster_address, prefix, role_tag, reserved=("all", "ungrouped")
):
    """The host that `row` is, by the preferences given. `forwards` are the port forwarding rules of this machine."""
    if not isinstance(row, dict):
        raise OddMachine(f"the listing holds {type(row).__name__} where a machine should be")
    machine = facts(row, forwards)
    label = f"machine {machine['name']!r} ({machine['id']})"
    name = choose_name(machine, hostnames)
    if name is None:
        raise OddMachine(f"{label} has no usable name, looking at {', '.join(map(str, hostnames))} and its id")
    variables = {f"{prefix}{key}": value for key, value in machine.items()}
    reach, port = choose_address(machine, ansible_host)
    peers, _port = choose_address(machine, cluster_address)
    if reach:
        variables["ansible_host"] = reach
    if port:
        variables["ansible_port"] = port
    if peers:
        variables["cluster_address"] = peers
    roles, bad = roles_of(machine["tags"].get(role_tag, ""), reserved)
    missing = [option for option, found in (("ansible_host", reach), ("cluster_address", peers)) if not found]
    odd = [f"no address for {' and '.join(missing)}"] if missing else []
    odd += [f"{word!r} in its tag {role_tag}, which cannot be a group" for word in bad]
    return Host(machine["id"] or "", name, variables, roles, [f"{label} has {'; '.join(odd)}"] if odd else [])


def distinct(hosts):
    """`hosts` with names that are their own, and the names that had several.

    All machines of a name get their id behind it, so that no name depends on which of them is listed first. No two are
    ever one host, whatever their ids.
    """
    by_name = {}
    for host in hosts:
        by_name.setdefault(host.name, []).append(host)
    taken, result, doubles = set(by_name), [], []
    for name, same in sorted(by_name.items()):
        if len(same) > 1:
            doubles.append(name)
            short = len({host.id[:8] for host in same}) == len(same)
            same = [_with_id(host, 8 if short else None, taken) for host in same]
        result += same
    return _numbered(result), doubles


def _with_id(host, length, taken):
    name = f"{host.name}-{host.id[:length]}"
    # Somebody may have called another machine just that.
    return host._replace(name=host.id if name in taken else name) if host.id else host


def _numbered(hosts):
    """`hosts` with numbers behind names that even ids do not tell apart, because they are missing or the same."""
    taken, used, result = {host.name for host in hosts}, set(), []
    # In an order that does not depend on which is listed first.
    for host in sorted(hosts, key=lambda host: (host.name, repr(host.variables))):
        names = itertools.chain([host.name], (f"{host.name}-{number}" for number in itertools.count(2)))
        name = next(name for name in names if name not in used and (name == host.name or name not in taken))
        used.add(name)
        result.append(host._replace(name=name))
    return result

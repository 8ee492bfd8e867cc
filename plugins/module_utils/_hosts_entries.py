# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may stand on a line of a hosts file: addresses, names, and lists of both."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE | re.ASCII)
# inet_aton() reads such a last label as a number, so the whole name could be taken for an address.
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE | re.ASCII)
RESERVED = re.compile(
    r"(.+\.)?localhost[46]?|localhost[46]?\.localdomain[46]?|broadcasthost|loopback"
    r"|ipv?6-(localhost|loopback|localnet|mcastprefix|allnodes|allrouters|allhosts)",
    re.IGNORECASE | re.ASCII,
)
SHOWN_PROBLEMS = 10


class HostsError(Exception):
    """A request or a file that is refused; the text is the whole message for the user."""


def check_address(value):
    """Return the ipaddress object for the text of an address or raise HostsError."""
    text = value if isinstance(value, str) else str(value)
    if "%" in text:
        raise HostsError(f"address {text!r} carries a scope (%interface), which means nothing on another machine")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise HostsError(f"{text!r} is not an IPv4 or IPv6 address") from None
    if address.version == 4 and str(address) != text:
        raise HostsError(f"{text!r} is written ambiguously, write {address}")
    return address


def is_address(value):
    """True when value is the text of an IP address a hosts file can carry."""
    try:
        check_address(value)
    except HostsError:
        return False
    return True


def check_name(value):
    """Return the host name unchanged or raise HostsError (RFC 1123, section 2.1)."""
    name = value if isinstance(value, str) else str(value)
    labels = name.split(".")
    if len(name) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise HostsError(
            f"{name!r} is not a host name: RFC 1123 allows letters, digits and hyphens, in labels of 1 to 63 "
            "characters, 253 in all"
        )
    if NUMBER.fullmatch(labels[-1]):
        raise HostsError(f"{name!r} could be read as an address, a host name must not end in a number")
    if RESERVED.fullmatch(name):
        raise HostsError(f"{name!r} is reserved for the machine itself")
    return name


def normalise(
    entries: list[dict], duplicates: str = "fail", warn: Callable[[str], None] | None = None
) -> list[tuple[str, tuple[str, ...]]]:
    """Validate and fold [{address, names}] into a list of (address, (name, ...)), sorted by address.

    Every problem is reported at once, in a HostsError. The order of the names of an address is the caller's: the first
    is the canonical one. A name with two addresses of a family is a problem ("fail"), told to warn ("warn") or right
    ("allow").
    """
    folded = {}
    order = {}
    homes = {}
    problems = []
    twice = problems if duplicates == "fail" else []
    for number, entry in enumerate(entries, 1):
        try:
            ip = check_address(entry["address"])
            address = str(ip)
            names = [check_name(name) for name in entry["names"]]
            if not names:
                raise HostsError(f"{address} has no names")
        except HostsError as exc:
            problems.append(f"entry {number}: {exc}")
            continue
        order[address] = (ip.version, int(ip))
        kept = folded.setdefault(address, {})
        for name in names:
            kept.setdefault(name.lower(), name)
            home = homes.setdefault((name.lower(), ":" in address), address)
            if home != address:
                remedy = " (duplicates=allow lets it have both)" if duplicates == "fail" else ""
                twice.append(f"entry {number}: {name} is given two addresses, {home} and {address}{remedy}")
    if problems:
        raise HostsError("entries: " + _shown(problems))
    if twice and duplicates == "warn":
        warn("entries: " + _shown(twice))
    return [(address, tuple(folded[address].values())) for address in sorted(folded, key=order.get)]


def _shown(problems: list[str]) -> str:
    more = len(problems) - SHOWN_PROBLEMS
    return "; ".join(problems[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def as_dicts(pairs):
    """Turn (address, name) pairs into [{address, names}], in the order given."""
    grouped = {}
    for address, name in pairs:
        grouped.setdefault(address, []).append(name)
    return [{"address": address, "names": names} for address, names in grouped.items()]

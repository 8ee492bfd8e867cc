# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows from the name of a set of local machines, and from this computer's apt sources."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

BRIDGE_LENGTH = 15  # the kernel's limit for the name of an interface
PARTS = ("", "-updates", "-security")


def _checked(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise AnsibleFilterError(
            f"instances_local_cluster is {name!r}. The name of a set of machines is made of small letters, digits and "
            "inner hyphens, begins with a letter and has at most 20 characters."
        )
    return str(name)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def local_subnet(name: str) -> str:
    """Return the first three numbers of the set's addresses, 10.64.0 to 10.191.255."""
    digest = _digest(_checked(name))
    return f"10.{64 + digest[0] % 128}.{digest[1]}"


def local_bridge(name: str) -> str:
    """Return the name of the set's bridge, at most 15 characters and different for each set."""
    bridge = f"ac-{_checked(name)}"
    return bridge if len(bridge) <= BRIDGE_LENGTH else f"{bridge[:8]}-{_digest(name).hex()[:6]}"


def _without_list(uri: str) -> str:
    """Resolve mirror+file:, which the images of cloud providers use, to the first mirror of the list."""
    if not uri.startswith("mirror+file:"):
        return uri
    path = Path("/" + uri.removeprefix("mirror+file:").lstrip("/")).as_posix().rstrip("/")
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            return line.split()[0]
    raise AnsibleFilterError(f"The list of mirrors {path}, named by this computer's apt sources, is empty.")


def local_apt_sources(targets: list[str], release: str) -> list[dict[str, object]]:
    """Turn what apt says of this computer's Debian sources into sources for a release, asked for over plain http."""
    found: dict[tuple[str, str], list[str]] = {}
    for target in targets:
        uri, codename, component = target.split()
        part = codename[len(codename.partition("-")[0]) :]
        if part in PARTS:
            components = found.setdefault((_without_list(uri).rstrip("/"), release + part), [])
            if component not in components:
                components.append(component)
    if not any(suite == release for _uri, suite in found):
        raise AnsibleFilterError(
            "This computer's apt sources name no Debian archive. Add one to /etc/apt/sources.list.d and run apt-get update."
        )
    sources = []
    for (uri, suite), components in found.items():
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https"):
            raise AnsibleFilterError(
                f"This computer's apt sources name {uri}, and the package cache reads only http and https."
            )
        plain = parts._replace(scheme="http").geturl()
        sources.append({"uri": plain, "upstream": uri, "suite": suite, "components": components})
    return sources


class FilterModule:
    def filters(self) -> dict[str, object]:
        return {
            "local_subnet": local_subnet,
            "local_bridge": local_bridge,
            "local_apt_sources": local_apt_sources,
        }

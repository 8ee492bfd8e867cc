# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person is shown of a cluster."""

from __future__ import annotations

from collections.abc import Mapping

# The units of a component, and the interface a person opens: title, variable of its port, its default, path.
UNITS = {
    "zookeeper": ["zookeeper"],
    "mesos_master": ["mesos-master"],
    "mesos_slave": ["mesos-agent", "thermos"],
    "aurora_scheduler": ["aurora-scheduler"],
    "devtools": [],
}
INTERFACES = {
    "mesos_master": ("Mesos master", "mesos_master_port", 5050, "/"),
    "aurora_scheduler": ("Aurora scheduler", "aurora_scheduler_http_port", 8081, "/scheduler"),
    "mesos_slave": ("Thermos observer", "mesos_slave_observer_port", 1338, "/"),
}


def cluster_units(group_names: list[str]) -> list[str]:
    """Return the units that a machine of these groups runs, without their suffix; ssh for one without daemons."""
    return [unit for component, units in UNITS.items() if component in group_names for unit in units] or ["ssh"]


def _address(host: str, hostvars: Mapping[str, Mapping[str, object]]) -> str:
    return str(hostvars[host].get("ansible_host", host))


def interfaces(groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return one line per web interface, its title and its URL as the controller reaches it."""
    lines = []
    for component, (title, variable, default, path) in INTERFACES.items():
        for host in groups.get(component, []):
            port = hostvars[host].get(variable, default)
            lines.append(f"{title:<17} http://{_address(host, hostvars)}:{port}{path}")
    return lines


def _state(units: list[str], answer: Mapping[str, object] | None) -> str:
    """Put the answer of `systemctl is-active UNIT…` into words."""
    if answer is None:
        return "not asked"
    if answer.get("unreachable"):
        return "unreachable"
    states = answer.get("stdout_lines", [])
    if len(states) != len(units):
        reason = str(answer.get("stderr") or answer.get("msg") or "").strip()
        return f"unknown: {reason.splitlines()[0]}" if reason else "unknown"
    bad = [f"{unit} {state}" for unit, state in zip(units, states, strict=True) if state != "active"]
    return ", ".join(bad) or "running"


def cluster_table(
    groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, object]], answers: str
) -> list[str]:
    """Return the table machine, address, role, state, a line each.

    answers names the variable in which every host keeps its registered answer of `systemctl is-active UNIT…`.
    """
    rows = [("MACHINE", "ADDRESS", "ROLE", "STATE")]
    for host in groups.get("aurora_cluster", []):
        components = [component for component in UNITS if host in groups.get(component, [])]
        state = _state(cluster_units(components), hostvars[host].get(answers))
        rows.append((host, _address(host, hostvars), ",".join(components), state))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{name:<{widths[0]}}  {address:<{widths[1]}}  {roles:<{widths[2]}}  {state}"
        for name, address, roles, state in rows
    ]


class FilterModule:
    def filters(self) -> dict[str, object]:
        return {"cluster_units": cluster_units, "interfaces": interfaces, "cluster_table": cluster_table}

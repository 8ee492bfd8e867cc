# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the machines must be: answering, Debian with systemd, their ports free, cgroups where they are asked for."""

from __future__ import annotations

from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_inventory import wanted_ports

PYTHON_FLOOR = (3, 9)
# Mesos is built for it, and so is the embedded default.
ARCHITECTURES = ("x86_64", "aarch64")
CONTROLLERS = ("cpu", "cpuacct", "freezer", "memory")


def check_reachable(hosts, answers, problems):
    """`answers` maps each host to the result of a first task that touched it."""
    for host, answer in answers.items():
        if answer.get("unreachable"):
            reason = str(answer.get("msg", "")).strip().splitlines()
            problems.add(
                "does not answer at %s (ansible_host)%s: start the machine, correct ansible_host, or see that ssh lets "
                "this computer in" % (hosts[host].get("ansible_host", host), ": " + reason[-1] if reason else ""),
                host,
            )
        elif answer.get("rc", 0) != 0:
            problems.add(
                "has no working python3 (%s): install the package python3"
                % (str(answer.get("stderr") or answer.get("stdout") or answer.get("msg", "")).strip() or "no output"),
                host,
            )


def check_system(facts, host, problems):
    if facts.get("os_family") != "Debian":
        problems.add(
            "runs %s, and the roles install Debian packages: use Debian or Ubuntu"
            % facts.get("distribution", "an unknown system"),
            host,
        )
    if facts.get("service_mgr") != "systemd":
        problems.add(
            "its services are run by %s: the roles write systemd units, so boot it with systemd"
            % facts.get("service_mgr", "something unknown"),
            host,
        )
    if facts.get("architecture") not in ARCHITECTURES:
        problems.add(
            "its processor is %s: use one of %s" % (facts.get("architecture", "unknown"), ", ".join(ARCHITECTURES)),
            host,
        )
    if facts.get("effective_user_id") != 0:
        problems.add(
            "tasks run there as %s, and the roles need root: set ansible_become to true (with ansible_become_password if "
            "sudo asks), or ansible_user to root" % facts.get("user_id", "an unknown user"),
            host,
        )
    version = facts.get("python", {}).get("version", {})
    found = (version.get("major", 0), version.get("minor", 0))
    if found < PYTHON_FLOOR:
        problems.add(
            "its Python is %d.%d: install %d.%d or newer and set ansible_python_interpreter to it"
            % (found + PYTHON_FLOOR),
            host,
        )


def check_taken_ports(host, hosts, groups, defaults, listening, problems):
    """A port is free, or held by the very unit that will listen on it."""
    for variable, number, unit in wanted_ports(host, hosts, groups, defaults):
        for entry in listening:
            if entry["port"] == number and entry["unit"] != unit:
                holder = "%s (pid %s, unit %s)" % (
                    entry["command"] or "an unknown process",
                    entry["pid"] or "unknown",
                    entry["unit"] or "none",
                )
                problems.add(
                    "port %d (%s) is held by %s: stop it, or set %s" % (number, variable, holder, variable), host
                )
                break


def missing_controllers(mounts):
    """Return which of the version 1 hierarchies that Mesos 1.11 needs the text of /proc/mounts does not show as writable."""
    there = set()
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[2] == "cgroup":
            options = fields[3].split(",")
            there.update(options if "rw" in options else ())
    return [controller for controller in CONTROLLERS if controller not in there]


def check_cgroups(variables, mounts, host, problems):
    missing = missing_controllers(mounts)
    if not missing:
        return
    why = (
        "but Mesos 1.11 knows cgroup version 1 alone, and this machine has no writable hierarchy of it for %s: "
        "boot it with systemd.unified_cgroup_hierarchy=0, or set" % ", ".join(missing)
    )
    if variables.get("mesos_slave_launcher") == "linux":
        problems.add("mesos_slave_launcher is linux, %s it to auto or posix" % why, host)
    isolation = variables.get("mesos_slave_isolation") or []
    wishes = [name for name in isolation if str(name).startswith("cgroups/")] if isinstance(isolation, list) else []
    if wishes:
        problems.add("mesos_slave_isolation asks for %s, %s it to []" % (", ".join(wishes), why), host)

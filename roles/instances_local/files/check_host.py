# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out whether this computer can run the wanted machines, and leave nothing behind but enabled cgroup controllers.

Reads the wish as JSON from standard input and answers with JSON: problems (it cannot work), notes (it works, but not
fully), extra (machines that exist and are not wanted) and facts about the computer that the role works with.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Mounts an overlay and makes a bridge and every namespace a machine needs, all of it in namespaces that end with the trial.
TRIALS = {
    "namespaces": (
        ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "true"],
        "root needs the capability CAP_SYS_ADMIN, which a container has to be given",
    ),
    "bridges": (
        ["unshare", "--net", "sh", "-c", "ip link add trial type bridge && ip link add name a type veth peer name b"],
        "load the kernel modules bridge and veth",
    ),
    "overlay mounts": (
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            "cd {directory} && mkdir lower upper work root"
            " && mount -t overlay trial -o lowerdir=lower,upperdir=upper,workdir=work root",
        ],
        "load the kernel module overlay, and keep instances_local_directory on a file system that is not itself an overlay",
    ),
}


def platform_problems() -> list[str]:
    uname = os.uname()
    if uname.sysname != "Linux":
        return [f"this is {uname.sysname}, and local machines need Linux"]
    problems = []
    if uname.machine != "x86_64":
        problems.append(f"this computer is {uname.machine}, and local machines need amd64 (x86_64)")
    if os.geteuid() != 0:
        problems.append("you are not root; run the playbook as root")
    if not shutil.which("apt-get"):
        problems.append("there is no apt-get, and the machines are made from Debian's packages with Debian's tools")
    return problems


def kernel_problems(directory: pathlib.Path) -> list[str]:
    while not directory.is_dir():
        directory = directory.parent
    problems = []
    for what, (command, remedy) in TRIALS.items():
        if what == "bridges" and not shutil.which("ip"):
            continue  # iproute2 is among the packages that are installed next
        with tempfile.TemporaryDirectory(dir=directory, prefix=".trial-") as scratch:
            argv = [part.format(directory=scratch) for part in command]
            result = subprocess.run(argv, check=False, capture_output=True, text=True)
        if result.returncode:
            problems.append(f"{what} do not work here ({result.stderr.strip()}); {remedy}")
        if what == "namespaces" and problems:
            break  # the other trials need them
    return problems


def limit_obstacle(tree: pathlib.Path, file: str, enable: str = "") -> str:
    """Return what keeps this file of a cgroup from being set, tried in a cgroup made for it, or nothing."""
    scratch = tree / f"aurora-cluster-trial-{os.getpid()}"
    try:
        if enable:
            # Stays enabled: by the end of the trial another set's machines may rely on it.
            (tree / "cgroup.subtree_control").write_text(f"+{enable}\n", encoding="ascii")
        scratch.mkdir()
        try:
            (scratch / file).write_text((scratch / file).read_text(encoding="ascii"), encoding="ascii")
        finally:
            scratch.rmdir()
    except OSError as error:
        return f"{file} cannot be set below {tree} ({error.strerror})"
    return ""


def unified_obstacle(tree: pathlib.Path, controller: str, file: str, under_systemd: bool) -> str:
    """Return what keeps a controller of version 2 from limiting machines, or nothing."""
    offered = tree / "cgroup.controllers"
    if not offered.exists() or controller not in offered.read_text(encoding="ascii").split():
        return f"this kernel offers no {controller} controller"
    if under_systemd:
        return ""  # the tree is systemd's, which enables what is offered
    # The kernel's own root has no type, and it alone may hold processes and enable controllers for cgroups below.
    if (tree / "cgroup.type").exists() and (tree / "cgroup.procs").read_text(encoding="ascii").strip():
        return f"the cgroup {tree} holds processes, as it does in a container"
    return limit_obstacle(tree, file, controller)


def unenforced_limits(root: pathlib.Path, unified: bool, under_systemd: bool) -> list[str]:
    """Return a note for each limit of the machines that will not hold."""
    notes = []
    for option, controller, v1, v2 in (
        ("cpus", "cpu", "cpu.cfs_quota_us", "cpu.max"),
        ("memory", "memory", "memory.limit_in_bytes", "memory.max"),
    ):
        if not unified and (root / controller).is_dir():
            obstacle = limit_obstacle(root / controller, v1)
        else:
            obstacle = unified_obstacle(root if unified else root / "unified", controller, v2, under_systemd)
        if obstacle:
            notes.append(f"{obstacle}, so instances_local_{option} is not enforced")
    return notes


def cgroup_state(
    root: pathlib.Path = pathlib.Path("/sys/fs/cgroup"), under_systemd: bool = os.path.isdir("/run/systemd/system")
) -> tuple[list[str], list[str]]:
    """Return problems and notes about the cgroup trees."""
    unified = (root / "cgroup.controllers").exists()
    if not unified and not (root / "systemd").is_dir() and not (root / "unified").is_dir():
        return [
            f"neither a cgroup v2 tree nor systemd's own is mounted below {root}; "
            f"mkdir {root}/systemd && mount -t cgroup -o none,name=systemd systemd {root}/systemd"
        ], []
    if not os.access(root / ("cgroup.procs" if unified else "systemd"), os.W_OK):
        return [f"{root} is read-only here, as in a container that may not make cgroups"], []
    return [], unenforced_limits(root, unified, under_systemd)


def route_problems(wish: dict, routes: str) -> list[str]:
    """Compare the wanted networks with the kernel's routing table (the format of /proc/net/route)."""
    wanted = {
        ipaddress.ip_network(f"{wish['subnet']}.0/24"): (wish["bridge"], "instances_local_subnet"),
        ipaddress.ip_network(wish["cache"]): ("lo", "instances_local_cache_address"),
    }
    problems = []
    for line in routes.splitlines()[1:]:
        interface, destination, *_rest, mask, _mtu, _window, _irtt = line.split()
        existing = ipaddress.ip_network(
            (int(destination, 16).to_bytes(4, sys.byteorder), bin(int(mask, 16)).count("1"))
        )
        if existing.prefixlen == 0:
            continue
        problems += [
            f"{variable} ({network}) overlaps the network {existing} of interface {interface}; set another {variable}"
            for network, (ours, variable) in wanted.items()
            if interface != ours and existing.overlaps(network)
        ]
    return problems


def machine_problems(machines: list[dict]) -> list[str]:
    problems = []
    if not machines:
        problems.append("the group aurora_cluster has no hosts")
    taken: dict[int, str] = {}
    for machine in machines:
        name = machine["name"]
        try:
            number = int(machine["number"])
        except (TypeError, ValueError):
            number = 0
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", name):
            problems.append(f"{name}: a machine's name is made of small letters, digits and inner hyphens, 42 at most")
        if not 2 <= number <= 254:
            problems.append(
                f"{name}: instances_local_number is {machine['number']!r}; give the host a number from 2 to 254"
            )
        elif number in taken:
            problems.append(
                f"{name}: instances_local_number {number} is also that of {taken[number]}; numbers are unique"
            )
        else:
            taken[number] = name
        if not re.fullmatch(r"[1-9][0-9]*[MG]", str(machine["memory"])):
            problems.append(f"{name}: instances_local_memory is {machine['memory']!r}; give it as 512M or 2G")
        try:
            enough = float(machine["cpus"]) >= 0.01
        except (TypeError, ValueError):
            enough = False
        if not enough:
            problems.append(
                f"{name}: instances_local_cpus is {machine['cpus']!r}; give a number of CPUs, such as 0.5 or 2"
            )
    return problems


def existing_machines(wish: dict) -> tuple[list[str], list[str]]:
    """Return problems with machines that exist already, and the names of those that are not wanted."""
    directory = pathlib.Path(wish["directory"]) / "machines"
    if not directory.is_dir():
        return [], []
    problems = []
    present = sorted(path.name for path in directory.iterdir() if path.is_dir())
    for name in present:
        link = directory / name / "image"
        if not link.is_symlink():
            continue  # an interrupted run made the directory and no more
        image = pathlib.Path(os.readlink(link))
        if not image.name.startswith(wish["release"] + "-"):
            problems.append(
                f"{name} was made from {image.name}, and instances_local_release is {wish['release']}; "
                "remove this set of machines (destroy.yml) before you change the release"
            )
        elif not image.is_dir():
            problems.append(
                f"{name}: its image {image} is gone; remove this set of machines (destroy.yml) and make it again"
            )
    wanted = {machine["name"] for machine in wish["machines"]}
    return problems, [name for name in present if name not in wanted]


def lines_of(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def gather_facts(wish: dict) -> dict:
    """Ask dpkg, apt and the kernel what the role decides on."""
    packages = (
        line.split() for line in lines_of("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n")
    )
    targets = ["Identifier: Packages", "Origin: Debian", "Architecture: amd64"]
    settings = {name: "".join(lines_of("apt-config", "dump", "--format", "%v", name)) for name in wish["settings"]}
    addresses = lines_of("ip", "-oneline", "address", "show", "up") if shutil.which("ip") else []
    return {
        "installed": [name for name, status in packages if name in wish["packages"] and status == "installed"],
        "apt_targets": lines_of("apt-get", "indextargets", "--format=$(REPO_URI) $(CODENAME) $(COMPONENT)", *targets),
        "apt_settings": {name: value for name, value in settings.items() if value},
        "addresses": [" ".join(line.split()[1:4]) for line in addresses],
        "existing": [path for path in wish["paths"] if os.path.exists(path)],
    }


def main() -> None:
    wish = json.load(sys.stdin)
    problems = platform_problems()
    answer: dict = {"notes": [], "extra": []}
    if not problems:
        problems = kernel_problems(pathlib.Path(wish["directory"]))
        cgroup_problems, answer["notes"] = cgroup_state()
        problems += cgroup_problems
        problems += route_problems(wish, pathlib.Path("/proc/net/route").read_text(encoding="ascii"))
        old_problems, answer["extra"] = existing_machines(wish)
        problems += old_problems
        answer["facts"] = gather_facts(wish)
    json.dump({"problems": problems + machine_problems(wish["machines"]), **answer}, sys.stdout)


if __name__ == "__main__":
    main()

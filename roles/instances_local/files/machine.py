# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one machine, prepare what machines need before they run, or clear up what they left in the cgroup trees.

prepare  makes directories, host keys, the link to the image and the set's known_hosts; prints what it made
run      becomes systemd-nspawn; expects a mount namespace of its own, so its mounts end with it
clean    kills what is left in the machines' cgroups and removes these
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

BASE = "aurora-cluster"
# What a Mesos agent inside works with, and systemd's own tree. The other controllers stay the host's.
CONTROLLERS = ("memory", "cpu", "cpuacct", "freezer", "name=systemd")
CPU_PERIOD = 100000

NETWORK = """\
[Match]
Name=host0
[Network]
Address={address}/24
LinkLocalAddressing=no
IPv6AcceptRA=no
[Route]
Destination={cache}/32
Gateway={gateway}
"""


def hierarchies(mounts: str) -> dict[str, pathlib.Path]:
    """Map each cgroup v1 controller, and '' for v2, to where it is mounted."""
    found: dict[str, pathlib.Path] = {}
    for line in mounts.splitlines():
        _source, where, kind, options = line.split()[:4]
        if not where.startswith("/sys/fs/cgroup"):
            continue
        if kind == "cgroup2":
            found.setdefault("", pathlib.Path(where))
        elif kind == "cgroup":
            for option in options.split(","):
                if option in CONTROLLERS:
                    found.setdefault(option, pathlib.Path(where))
    return found


def mounted_hierarchies() -> dict[str, pathlib.Path]:
    return hierarchies(pathlib.Path("/proc/mounts").read_text(encoding="utf-8"))


def own_cgroups() -> dict[str, str]:
    """Map each controller, and '' for v2, to the cgroup this process is in."""
    groups = {}
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def write(path: pathlib.Path, value: object) -> None:
    """Set a cgroup's value; a limit that this kernel does not offer is told and left out."""
    try:
        path.write_text(f"{value}\n", encoding="ascii")
    except OSError as error:
        print(f"machine: cannot set {path} to {value}: {error.strerror}", file=sys.stderr, flush=True)


def enter_cgroups(group: str, memory: str, cpus: float, under_systemd: bool) -> None:
    """Move into a cgroup of our own in every tree, and limit it. What systemd already did for the unit stays."""
    mounted = mounted_hierarchies()
    current = own_cgroups()
    quota = int(cpus * CPU_PERIOD)
    for controller, root in mounted.items():
        if under_systemd and current.get(controller, "/").endswith(".service"):
            continue
        directory = root / group
        directory.mkdir(parents=True, exist_ok=True)
        if controller == "" and "memory" not in mounted:
            for parent in [root, *[root / part for part in (BASE, str(pathlib.Path(group).parent))]]:
                write(parent / "cgroup.subtree_control", "+memory +cpu +pids")
            write(directory / "memory.max", memory)
            write(directory / "cpu.max", f"{quota} {CPU_PERIOD}")
        elif controller == "memory":
            write(directory / "memory.limit_in_bytes", memory)
        elif controller == "cpu":
            write(directory / "cpu.cfs_period_us", CPU_PERIOD)
            write(directory / "cpu.cfs_quota_us", quota)
        (directory / "cgroup.procs").write_text(f"{os.getpid()}\n", encoding="ascii")


def processes_below(directory: pathlib.Path) -> set[int]:
    found = set()
    for file in directory.glob("**/cgroup.procs"):
        try:
            found |= {int(pid) for pid in file.read_text(encoding="ascii").split()}
        except OSError:
            continue  # a cgroup that went away, or one whose processes are its threads' affair
    return found


def clean_cgroups(group: str, seconds: float = 15) -> None:
    """Kill whatever is left in a group of cgroups, in every tree, and remove them."""
    deadline = time.monotonic() + seconds
    for directory in {root / group for root in mounted_hierarchies().values()}:
        while directory.is_dir():
            for pid in processes_below(directory):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            try:
                for below in sorted((path for path in directory.glob("**/") if path != directory), reverse=True):
                    below.rmdir()
                directory.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"machine: {directory} is still in use by {processes_below(directory)}") from None
                time.sleep(0.1)
        parent = directory.parent
        while BASE in parent.parts:
            try:
                parent.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                break  # other machines are still in it
            parent = parent.parent


def seed(arguments: argparse.Namespace, upper: pathlib.Path) -> None:
    """Write what makes this machine itself. Only while it is down: changing a mounted layer is undefined."""

    def put(path: str, content: str | bytes, mode: int = 0o644) -> None:
        file = upper / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    home = arguments.directory
    put("etc/hostname", f"{arguments.hostname}\n")
    put("etc/machine-id", uuid.uuid5(uuid.NAMESPACE_DNS, f"{arguments.name}.{BASE}").hex + "\n")
    put(
        "etc/systemd/network/10-host0.network",
        NETWORK.format(address=arguments.address, gateway=arguments.gateway, cache=arguments.cache),
    )
    put("etc/ssh/ssh_host_ed25519_key", (home / "ssh_host_ed25519_key").read_bytes(), 0o600)
    put("etc/ssh/ssh_host_ed25519_key.pub", (home / "ssh_host_ed25519_key.pub").read_bytes())
    put("etc/ssh/cluster_authorized_keys", (home.parent.parent / "ssh_key.pub").read_bytes())


def run(arguments: argparse.Namespace) -> None:
    home: pathlib.Path = arguments.directory
    image = pathlib.Path(os.readlink(home / "image"))
    if not image.is_dir():
        raise SystemExit(f"machine: the image {image} is gone; destroy this set of machines and make it again")
    group = f"{BASE}/{arguments.set}/{arguments.hostname}"
    # A supervisor that was killed leaves its machine running, and two of them must never share a disk.
    clean_cgroups(group)
    upper, work, root = home / "upper", home / "work", home / "root"
    for directory in (upper, work, root):
        directory.mkdir(mode=0o755, exist_ok=True)
    seed(arguments, upper)
    enter_cgroups(group, arguments.memory, arguments.cpus, os.path.isdir("/run/systemd/system"))
    layers = f"lowerdir={image},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", arguments.name, "-o", layers, str(root)], check=True)
    environment = {**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
    mounted = mounted_hierarchies()
    if "name=systemd" in mounted and "" not in mounted and arguments.unified:
        environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    argv = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--settings=no",
        f"--directory={root}",
        f"--machine={arguments.name}",
        f"--hostname={arguments.hostname}",
        f"--network-bridge={arguments.bridge}",
        "--register=no",
        "--keep-unit",
        "--console=read-only",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
    ]
    os.execvpe(argv[0], argv, environment)


def prepare(arguments: argparse.Namespace) -> None:
    lines = []
    for item in arguments.machine:
        name, address = item.split("=")
        home: pathlib.Path = arguments.machines / name
        key = home / "ssh_host_ed25519_key"
        link = home / "image"
        if not link.is_symlink():
            print(f"{name}: image {arguments.image.name}")
            if not arguments.dry_run:
                home.mkdir(mode=0o755, parents=True, exist_ok=True)
                link.symlink_to(arguments.image)
        if not key.with_suffix(".pub").exists():
            print(f"{name}: host key")
            if not arguments.dry_run:
                key.unlink(missing_ok=True)
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)],
                    check=True,
                    stdin=subprocess.DEVNULL,
                )
        if key.with_suffix(".pub").exists():
            lines.append(f"{address},{name} {key.with_suffix('.pub').read_text(encoding='ascii').strip()}\n")
    known_hosts = arguments.machines.parent / "known_hosts"
    content = "".join(lines)
    if (known_hosts.read_text(encoding="ascii") if known_hosts.exists() else "") != content:
        print("known_hosts")
        if not arguments.dry_run:
            known_hosts.write_text(content, encoding="ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("prepare")
    command.add_argument("--machines", type=pathlib.Path, required=True)
    command.add_argument("--image", type=pathlib.Path, required=True)
    command.add_argument("--dry-run", action="store_true")
    command.add_argument("machine", nargs="+", help="NAME=ADDRESS")
    command.set_defaults(function=prepare)

    command = commands.add_parser("run")
    for option in ("set", "name", "hostname", "bridge", "address", "gateway", "cache", "memory"):
        command.add_argument(f"--{option}", required=True)
    command.add_argument("--cpus", type=float, required=True)
    command.add_argument("--directory", type=pathlib.Path, required=True)
    command.add_argument("--unified", action="store_true", help="this release refuses to boot on cgroup v1 alone")
    command.set_defaults(function=run)

    command = commands.add_parser("clean")
    command.add_argument("set")
    command.set_defaults(function=lambda arguments: clean_cgroups(f"{BASE}/{arguments.set}"))

    arguments = parser.parse_args()
    arguments.function(arguments)


if __name__ == "__main__":
    main()

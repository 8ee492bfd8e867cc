# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare what machines need before they run, run one of them, or clear up what they left.

prepare  makes directories, keys, links to the image and the set's ssh files; prints what it made
run      becomes systemd-nspawn; expects a mount namespace of its own, so its mounts end with it
clean    ends ssh connections, kills what is left in the machines' cgroups and removes these
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import uuid
from typing import Callable

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


def write(path: pathlib.Path, value: object) -> bool:
    """Set a cgroup's value; a limit that this kernel does not offer is told and left out."""
    try:
        path.write_text(f"{value}\n", encoding="ascii")
    except OSError as error:
        print(f"machine: cannot set {path} to {value}: {error.strerror}", file=sys.stderr, flush=True)
        return False
    return True


def make_directory(directory: pathlib.Path) -> None:
    """Make a cgroup and its parents, which another set's last machine may remove at the same moment."""
    for _attempt in range(50):
        try:
            return directory.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            time.sleep(0.01)
    return directory.mkdir(parents=True, exist_ok=True)


def limit_unified(root: pathlib.Path, group: str, limits: dict[str, object]) -> None:
    """Limit a cgroup of version 2, where each controller has to be enabled all the way down."""
    # Only the kernel's own root, which has no type, may hold processes and enable controllers. Elsewhere memory would be
    # refused, and cpu would leave cgroups below in which no process may be.
    if limits and (root / "cgroup.type").exists() and (root / "cgroup.procs").read_text(encoding="ascii").strip():
        print(f"machine: {root} holds processes, so nothing below it can be limited", file=sys.stderr, flush=True)
        return
    above = [root, *[root / parent for parent in reversed(pathlib.Path(group).parents[:-1])]]
    for name, value in limits.items():
        controller = name.partition(".")[0]
        # One at a time: the kernel refuses a whole line for one controller that it lacks.
        if all(write(parent / "cgroup.subtree_control", f"+{controller}") for parent in above):
            write(root / group / name, value)


def enter_cgroups(group: str, memory: str, cpus: float, under_systemd: bool) -> None:
    """Move into a cgroup of our own in every tree, and limit it. What systemd already did for the unit stays."""
    mounted = mounted_hierarchies()
    current = own_cgroups()
    quota = int(cpus * CPU_PERIOD)
    for controller, root in mounted.items():
        if under_systemd and current.get(controller, "/").endswith(".service"):
            continue
        directory = root / group
        make_directory(directory)
        if controller == "":
            limits = {"memory.max": memory, "cpu.max": f"{quota} {CPU_PERIOD}"}
            limit_unified(root, group, {name: limits[name] for name in limits if name.partition(".")[0] not in mounted})
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
    environment = {**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0", "TERM": "dumb"}
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


SSH_CONFIG = """\
# ssh -F {directory}/ssh_config MACHINE
{hosts}Host *
  User root
  IdentityFile {directory}/ssh_key
  IdentitiesOnly yes
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ServerAliveInterval 5
  ServerAliveCountMax 6
"""


def prepare(arguments: argparse.Namespace) -> None:
    """Make what is missing, and tell it on standard output."""
    directory: pathlib.Path = arguments.directory
    machines = dict(item.split("=") for item in arguments.machine)

    def make(what: str, action: Callable[[], object]) -> None:
        print(what)
        if not arguments.dry_run:
            action()

    def make_key(key: pathlib.Path, comment: str) -> None:
        key.unlink(missing_ok=True)  # a half-made one; the public half is written last
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)

    def put(file: pathlib.Path, content: str) -> None:
        if not file.exists() or file.read_text(encoding="ascii") != content:
            make(f"file {file.name}", lambda: file.write_text(content, encoding="ascii"))

    known_hosts = ""
    for name, address in machines.items():
        home = directory / "machines" / name
        key = home / "ssh_host_ed25519_key"
        if not home.is_dir():
            make(f"directory of {name}", lambda home=home: home.mkdir(mode=0o755, parents=True))
        # A machine keeps the image it was made from.
        if not (home / "image").is_symlink():
            make(f"image of {name}", lambda home=home: (home / "image").symlink_to(arguments.image))
        if not key.with_suffix(".pub").exists():
            make(f"host key of {name}", lambda key=key, name=name: make_key(key, name))
        if not arguments.dry_run:
            known_hosts += f"{address},{name} {key.with_suffix('.pub').read_text(encoding='ascii').strip()}\n"
    if not (directory / "ssh_key.pub").exists():
        make("ssh key", lambda: make_key(directory / "ssh_key", directory.name))
    if not arguments.dry_run:
        put(directory / "known_hosts", known_hosts)
    hosts = "".join(f"Host {name}\n  HostName {address}\n" for name, address in machines.items())
    put(directory / "ssh_config", SSH_CONFIG.format(directory=directory, hosts=hosts))


def clean(arguments: argparse.Namespace) -> None:
    for socket in arguments.directory.glob("control/*"):
        # A connection that has ended by itself left nothing but its socket, which goes with the directory.
        subprocess.run(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "machine"], check=False, capture_output=True
        )
    clean_cgroups(f"{BASE}/{arguments.set}")
    # nspawn makes these outside the set's directory and leaves them when it is killed.
    for directory in pathlib.Path("/run/systemd/nspawn/propagate").glob(f"{arguments.set}-*"):
        if directory.name.removeprefix(f"{arguments.set}-") in os.listdir(arguments.directory / "machines"):
            shutil.rmtree(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("prepare")
    command.add_argument("--directory", type=pathlib.Path, required=True)
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
    command.add_argument("--set", required=True)
    command.add_argument("--directory", type=pathlib.Path, required=True)
    command.set_defaults(function=clean)

    arguments = parser.parse_args()
    arguments.function(arguments)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The built package, unpacked, and a master with an agent running from it on loopback."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
PACKAGES = REPOSITORY / ".cache/packages"
ADDRESS = "127.0.0.71"
sys.path[:0] = [str(HERE), str(HERE.parent)]

from scheduler import Scheduler


def clean_environment() -> dict[str, str]:
    """Nothing of the caller's may reach a daemon as a flag; the computer's own name need not resolve to an address."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MESOS_", "LIBPROCESS_"))}
    return {**ours, "LIBPROCESS_IP": ADDRESS}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


def wait_for(what: str, condition, limit: float = 20):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if value := condition():
                return value
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {limit} s")


class Daemon:
    """One process of the package; its output goes to a file that a failing test shows."""

    def __init__(self, name: str, command: list, directory: pathlib.Path, environment: dict | None = None):
        self.log = directory / f"{name}.log"
        with open(self.log, "ab") as log:
            settings = {**clean_environment(), **(environment or {})}
            self.process = subprocess.Popen(command, cwd=directory, env=settings, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(10)


class Cluster:
    def __init__(self, root: pathlib.Path, directory: pathlib.Path):
        self.root, self.directory = root, directory
        self.master_address = f"{ADDRESS}:{free_port()}"
        self.agent_address = f"{ADDRESS}:{free_port()}"
        self.master: Daemon | None = None
        self.agent: Daemon | None = None

    def start_master(self) -> None:
        command = [
            self.root / "usr/sbin/mesos-master",
            *(f"--ip={ADDRESS}", f"--port={self.master_address.rpartition(':')[2]}", f"--hostname={ADDRESS}"),
            *(f"--work_dir={self.directory}/master", "--cluster=test <1>"),
            f"--webui_dir={self.root}/usr/share/mesos/webui",
        ]
        self.master = Daemon("master", command, self.directory)
        wait_for("the master leads", lambda: self.get("/state").get("elected_time"))

    def start_agent(self) -> None:
        command = [
            self.root / "usr/sbin/mesos-agent",
            *(f"--ip={ADDRESS}", f"--port={self.agent_address.rpartition(':')[2]}", f"--hostname={ADDRESS}"),
            *(f"--master={self.master_address}", f"--work_dir={self.directory}/agent"),
            *(f"--runtime_dir={self.directory}/run", f"--launcher_dir={self.root}/usr/libexec/mesos"),
            *("--launcher=posix", "--isolation=posix/cpu,posix/mem", "--systemd_enable_support=false"),
            *("--no-switch_user", "--resources=cpus:2;mem:512;disk:512;ports:[31000-31010]"),
        ]
        self.agent = Daemon("agent", command, self.directory)
        wait_for("the agent is registered", self.agent_is_active)

    def agent_is_active(self) -> bool:
        return [a["active"] for a in self.get("/slaves")["slaves"]] == [True] and self.from_agent("/health") == ""

    def get(self, path: str, address: str | None = None):
        with urllib.request.urlopen(f"http://{address or self.master_address}{path}", timeout=5) as response:
            text = response.read().decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    def from_agent(self, path: str):
        return self.get(path, self.agent_address)

    def read(self, scheduler: Scheduler, task: str, name: str) -> str:
        """A file of a command task's sandbox, through the agent; its executor has the task's name."""
        sandbox = f"/frameworks/{scheduler.framework_id['value']}/executors/{task}/runs/latest"
        query = urllib.parse.urlencode({"path": f"{sandbox}/{name}", "offset": 0, "length": 10000})
        return self.from_agent(f"/files/read?{query}")["data"]

    def scheduler(self, **more) -> contextlib.closing[Scheduler]:
        return contextlib.closing(Scheduler(self.master_address, getpass.getuser(), **more))

    def stop(self) -> None:
        # Told by SIGUSR1 that it is not coming back, an agent ends its executors and unregisters.
        if self.agent:
            self.agent.stop(signal.SIGUSR1)
        if self.master:
            self.master.stop()


def kill_leftovers(directory: pathlib.Path) -> list[int]:
    """Ends what still runs in a sandbox below the directory, should a test have failed half-way."""
    mark, found = f"={directory}/agent/".encode(), []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
                found.append(int(process.name))
    return found


@pytest.fixture(scope="session")
def package() -> pathlib.Path:
    subprocess.run([sys.executable, HERE.parent / "build.py", PACKAGES], check=True)
    return PACKAGES / "mesos_1.11.0-1_amd64.deb"


@pytest.fixture(scope="session")
def root(package, tmp_path_factory) -> pathlib.Path:
    """The package's files, unpacked."""
    target = tmp_path_factory.mktemp("root")
    subprocess.run(["dpkg-deb", "-x", package, target], check=True)
    libraries = subprocess.run(["ldd", target / "usr/libexec/mesos/mesos"], check=True, capture_output=True, text=True)
    missing = [line.split()[0] for line in libraries.stdout.splitlines() if "not found" in line]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found: apt-get install libapr1 libcurl4 libsasl2-modules libsvn1")
    return target


@pytest.fixture(scope="session")
def cluster(root, tmp_path_factory):
    cluster = Cluster(root, tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start_master()
        cluster.start_agent()
        yield cluster
    finally:
        cluster.stop()
        left = kill_leftovers(cluster.directory)
    assert not left, f"processes were left behind: {left}"

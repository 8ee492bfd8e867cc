# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages under test, and a real ZooKeeper and Mesos on loopback to run them on."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]
REPO = SOURCE.parents[1]
PACKAGES = Path(os.environ.get("AURORA_CLUSTER_PACKAGES", REPO / ".cache/packages"))
DOWNLOADS = os.environ.get("AURORA_CLUSTER_DOWNLOADS", "/var/cache/aurora-cluster/downloads")
sys.path.insert(0, str(SOURCE))
# mesos-log wants an address of its own, and the computer's name need not resolve to one.
os.environ["LIBPROCESS_IP"] = "127.0.0.1"

MANDATORY = {
    "cluster_name": "example",
    "serverset_path": "/aurora/scheduler",
    "zk_endpoints": "zk1:2181,zk2:2181",
    "mesos_master_address": "zk://zk1:2181/mesos",
    "backup_dir": "/tmp/backups",
    "native_log_file_path": "/tmp/db",
    "native_log_zk_group_path": "/aurora/replicated-log",
    "thermos_executor_path": "/usr/share/aurora/bin/thermos_executor.pex",
}


def words(**more):
    return [f"-{name}={value}" for name, value in {**MANDATORY, **more}.items()]


def unpack(pattern, target, remedy):
    found = sorted(PACKAGES.glob(pattern))
    if not found:
        pytest.fail(f"no {pattern} in {PACKAGES}: run {remedy} {PACKAGES}", pytrace=False)
    subprocess.run(["dpkg-deb", "-x", str(found[-1]), str(target)], check=True)


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A directory with the three packages unpacked, freshly built from this tree."""
    needed = subprocess.run(["/usr/bin/python3", "-c", "import jinja2, kazoo"], capture_output=True, check=False)
    if needed.returncode or not Path("/usr/share/java/zookeeper.jar").exists():
        pytest.fail("run apt-get install zookeeper python3-kazoo python3-jinja2", pytrace=False)
    out, root = tmp_path_factory.mktemp("packages"), tmp_path_factory.mktemp("root")
    subprocess.run(["/usr/bin/python3", str(SOURCE / "build.py"), str(out), "--downloads", DOWNLOADS], check=True)
    for package in out.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    return root


@pytest.fixture(scope="session")
def config(installed):
    """The module that reads job files, with pystachio from the client's package."""
    sys.path.append(str(installed / "usr/share/aurora/bin/kaurora.pex"))
    from aurora_embedded import config

    return config


def free_port(ip="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return probe.getsockname()[1]


def until(what, condition, limit=30):
    """The first true value of condition, asked again until the limit."""
    end, last = time.monotonic() + limit, None
    while time.monotonic() < end:
        try:
            value = condition()
        except (OSError, http.client.HTTPException, ValueError) as error:
            value, last = None, error
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {limit} s ({last})")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args):
        return None


def get(url, data=None, headers=None):
    """(status, text, headers) without following redirects."""
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


class Cluster:
    """Real daemons on 127.0.0.x: one ZooKeeper, one master, one agent, and as many schedulers as a test starts."""

    def __init__(self, base, root):
        self.base, self.root, self.processes = base, root, {}
        unpack("mesos_*.deb", base / "mesos", "embedded/mesos/build.py")
        self.zk = f"127.0.0.1:{free_port()}"
        self.master_port, self.agent_port = free_port("127.0.0.2"), free_port("127.0.0.3")
        self.environment = {**os.environ, "AURORA_CONFIG_ROOT": str(base), "HOME": str(base)}

    def spawn(self, name, *command, **environment):
        with open(self.base / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(c) for c in command],
                stdout=log,
                stderr=log,
                cwd=self.base,
                env={**self.environment, **environment},
                start_new_session=True,
            )
        return self.processes[name]

    def stop(self, name, number=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def start_zookeeper(self):
        (self.base / "zk").mkdir()
        (self.base / "zoo.cfg").write_text(
            f"tickTime=500\ndataDir={self.base}/zk\nclientPortAddress=127.0.0.1\n"
            f"clientPort={self.zk.rpartition(':')[2]}\nadmin.enableServer=false\n"
        )
        self.spawn(
            "zookeeper",
            "java",
            "-Xmx128m",
            "-cp",
            "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            self.base / "zoo.cfg",
        )
        until("ZooKeeper listens", lambda: socket.create_connection(self.zk.split(":"), 1).close() or True)

    def start_master(self, name="master", *more):
        port = self.master_port if name == "master" else free_port("127.0.0.2")
        options = [
            f"--port={port}",
            f"--zk=zk://{self.zk}/{name.replace('master', 'mesos')}",
            f"--work_dir={self.base}/{name}",
            *more,
        ]
        fixed = ["--ip=127.0.0.2", "--hostname=127.0.0.2", "--quorum=1"]
        self.spawn(name, self.base / "mesos/usr/sbin/mesos-master", *fixed, *options)
        return f"http://127.0.0.2:{port}"

    def start_agent(self):
        libexec = self.base / "mesos/usr/libexec/mesos"
        self.spawn(
            "agent",
            self.base / "mesos/usr/sbin/mesos-agent",
            "--ip=127.0.0.3",
            f"--port={self.agent_port}",
            "--launcher=posix",
            f"--master=zk://{self.zk}/mesos",
            f"--work_dir={self.base}/agent",
            f"--runtime_dir={self.base}/runtime",
            "--hostname=127.0.0.3",
            f"--launcher_dir={libexec}",
            "--no-systemd_enable_support",
            "--attributes=rack:r1;zone:z1",
            "--resources=cpus:4;mem:4096;disk:4096;ports:[31000-31100]",
        )

    def start_scheduler(self, name, ip, *more, **changed):
        database = self.base / name
        if not database.exists():
            subprocess.run(
                [self.base / "mesos/usr/bin/mesos-log", "initialize", f"--path={database}"],
                check=True,
                capture_output=True,
            )
        port = free_port(ip)
        flags = {
            "cluster_name": "example",
            "serverset_path": "/aurora/scheduler",
            "zk_endpoints": self.zk,
            "http_port": port,
            "mesos_master_address": f"zk://{self.zk}/mesos",
            "backup_dir": self.base / "backups",
            "native_log_file_path": database,
            "native_log_zk_group_path": "/aurora/replicated-log",
            "hostname": ip,
            "ip": ip,
            "zk_session_timeout": "4secs",
            "thermos_executor_path": self.root / "usr/share/aurora/bin/thermos_executor.pex",
            "initial_flapping_task_delay": "1secs",
            "thermos_executor_cpu": "0.1",
            "thermos_executor_ram": "32MB",
            **changed,
        }
        self.spawn(name, self.root / "usr/sbin/aurora-scheduler", *(f"-{k}={v}" for k, v in flags.items()), *more)
        return f"http://{ip}:{port}"

    def write_clusters(self, **entry):
        entry = entry or {
            "zk": "127.0.0.1",
            "zk_port": int(self.zk.rpartition(":")[2]),
            "scheduler_zk_path": "/aurora/scheduler",
        }
        (self.base / "clusters.json").write_text(json.dumps([{"name": "example", **entry}]))

    def aurora(self, *arguments, command="usr/bin/aurora"):
        done = subprocess.run(
            [self.root / command, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=90,
            check=False,
            cwd=self.base,
        )
        return done.returncode, done.stdout, done.stderr

    def tasks(self, job, state="active"):
        code, out, err = self.aurora("job", "status", "--write-json", job)
        assert code == 0, err
        answer = json.loads(out)
        return answer[0][state] if isinstance(answer, list) else []

    def sandbox(self, task_id, path):
        """A file of a task's sandbox, read through the agent as a person's browser would."""
        state = json.loads(get(f"http://127.0.0.3:{self.agent_port}/state")[1])
        directory = next(
            e["directory"]
            for f in state["frameworks"] + state["completed_frameworks"]
            for e in f["executors"] + f["completed_executors"]
            if e["id"] == f"thermos-{task_id}"
        )
        query = urllib.parse.urlencode({"path": f"{directory}/{path}", "offset": 0, "length": 20000})
        return json.loads(get(f"http://127.0.0.3:{self.agent_port}/files/read?{query}")[1])["data"]

    def close(self):
        for name, process in reversed(list(self.processes.items())):
            process.send_signal(signal.SIGTERM if name != "agent" else signal.SIGKILL)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
        # Executors and tasks outlive a killed agent on purpose; ours are those with a sandbox in this very directory.
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"MESOS_SANDBOX={self.base}/agent/".encode() in entry.read_bytes():
                    os.kill(int(entry.parent.name), signal.SIGKILL)


@pytest.fixture
def open_path():
    """A directory that other users reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aurora-embedded-") as name:
        os.chmod(name, 0o755)  # noqa: S103 - tasks run as another user
        yield Path(name)


@pytest.fixture(scope="session")
def cluster(installed):
    with tempfile.TemporaryDirectory(prefix="aurora-embedded-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)  # noqa: S103 - tasks run as another user
        found = Cluster(Path(name), installed)
        try:
            found.start_zookeeper()
            found.start_master()
            found.start_agent()
            found.write_clusters()
            yield found
        finally:
            found.close()

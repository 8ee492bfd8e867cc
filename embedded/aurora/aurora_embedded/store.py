# SPDX-License-Identifier: GPL-3.0-or-later
"""ZooKeeper: who leads, where the leader answers, and the leader's jobs and tasks (one znode each)."""

import json
import logging
import re
import threading
import time
from pathlib import Path

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import CancelledError, NodeExistsError, NoNodeError
from kazoo.security import make_digest_acl

log = logging.getLogger("store")
KINDS = ("jobs", "tasks")
LIMIT = 1000 * 1000  # ZooKeeper's jute.maxbuffer is 1 MiB for the whole request


class TooLarge(Exception):
    """One job or task does not fit into one znode."""


def replica_voting(path):
    """Whether `mesos-log initialize` has been run on path. A replica's LevelDB keeps its status under the first key;
    a directory that a replica merely created has CURRENT too, but no such record or another status. 1 is VOTING."""
    record = re.compile(rb"0{10}.{0,16}?\x08\x03\x22.\x08(.)", re.DOTALL)
    for file in sorted(Path(path).glob("[0-9]*.*"), key=lambda f: int(f.stem), reverse=True):
        if file.suffix in (".log", ".ldb", ".sst"):
            found = record.findall(file.read_bytes())
            if found:
                return found[-1] == b"\x01"
    return False


def connect(hosts, chroot="", credentials=None, session=15, wait=300):
    """A started client; digest credentials also become the owner of what it creates."""
    options = {
        "connection_retry": {"max_tries": -1, "max_delay": 5},
        "command_retry": {"max_tries": -1, "max_delay": 1},
    }
    if credentials:
        acl = make_digest_acl(*credentials.split(":", 1), all=True)
        options.update(auth_data=[("digest", credentials)], default_acl=[acl])
    client = KazooClient(hosts=hosts + (chroot or ""), timeout=session, **options)
    client.start(wait)
    return client


class Leadership:
    """Stands for election below the serverset's path, next to Curator's latches, and advertises the leader there."""

    def __init__(self, zk, path, lost):
        self.zk, self.path, self.lost = zk, path, lost
        self.lock = zk.Lock(path, extra_lock_patterns=["-latch-"])
        self.suspended = None
        zk.add_listener(self._connection)

    def _connection(self, state):
        if self.suspended:
            self.suspended.cancel()
        if state == KazooState.LOST:  # somebody else may lead; nothing may be written in a session to come
            self.lost("the ZooKeeper session is lost")
        elif state == KazooState.SUSPENDED:  # it expires unseen at the servers: give up before somebody else can lead
            self.suspended = threading.Timer(self.zk._session_timeout / 1000, self.lost, ["ZooKeeper does not answer"])
            self.suspended.daemon = True
            self.suspended.start()

    def wait(self):
        """True once this process leads, False if lock.cancel() was called."""
        try:
            self.lock.acquire()
        except CancelledError:
            return False
        node = f"{self.path}/{self.lock.node}"
        gone = threading.Thread(target=self.lost, args=["its znode was removed"], daemon=True)
        self.zk.exists(node, watch=lambda event: gone.start() if event.type == "DELETED" else None)
        return True

    def advertise(self, name, host, port):
        endpoint = {"host": host, "port": port}
        member = {"serviceEndpoint": endpoint, "additionalEndpoints": {name: endpoint}, "status": "ALIVE"}
        self.zk.create(f"{self.path}/member_", json.dumps(member).encode(), ephemeral=True, sequence=True)


def leader(zk, path):
    """(host, port) of the advertised scheduler, or None."""
    try:
        members = [c for c in zk.get_children(path) if c.startswith("member_")]
        if not members:
            return None
        member = json.loads(zk.get(f"{path}/{min(members)}")[0])
    except NoNodeError:
        return None
    return member["serviceEndpoint"]["host"], member["serviceEndpoint"]["port"]


class Store:
    """What the leader remembers, in memory and in ZooKeeper. Every change is in ZooKeeper before it counts."""

    def __init__(self, zk, root):
        self.zk, self.root = zk, root
        self.framework_id = None
        self.jobs, self.tasks = {}, {}

    def load(self):
        for kind in KINDS:
            self.zk.ensure_path(f"{self.root}/{kind}")
            pending = {
                c: self.zk.get_async(f"{self.root}/{kind}/{c}") for c in self.zk.get_children(f"{self.root}/{kind}")
            }
            getattr(self, kind).update({name: json.loads(answer.get()[0]) for name, answer in pending.items()})
        try:
            self.framework_id = self.zk.get(f"{self.root}/framework")[0].decode() or None
        except NoNodeError:
            self.framework_id = None

    def _write(self, path, data):
        try:
            self.zk.retry(self.zk.set, path, data)
        except NoNodeError:
            try:
                self.zk.retry(self.zk.create, path, data)
            except NodeExistsError:
                log.debug("an earlier try to create %s had arrived after all", path)

    def put(self, kind, name, value):
        data = json.dumps(value, separators=(",", ":")).encode()
        if len(data) > LIMIT:
            raise TooLarge(
                f"{name} takes {len(data)} bytes; the embedded scheduler keeps at most {LIMIT} of a job or task"
            )
        self._write(f"{self.root}/{kind}/{name}", data)
        getattr(self, kind)[name] = value

    def delete(self, kind, name):
        try:
            self.zk.retry(self.zk.delete, f"{self.root}/{kind}/{name}")
        except NoNodeError:
            log.info("%s %s was already gone", kind, name)
        getattr(self, kind).pop(name, None)

    def set_framework_id(self, value):
        self._write(f"{self.root}/framework", value.encode())
        self.framework_id = value

    def backup(self, directory, keep):
        """Write scheduler-backup-yyyy-MM-dd-HH-mm and drop the oldest beyond keep. Returns the name."""
        target = Path(directory) / time.strftime("scheduler-backup-%Y-%m-%d-%H-%M")
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps({"frameworkId": self.framework_id, "jobs": self.jobs, "tasks": self.tasks}))
        partial.chmod(0o640)
        partial.replace(target)
        for old in self.backups(directory)[:-keep]:
            (Path(directory) / old).unlink()
        return target.name

    @staticmethod
    def backups(directory):
        return sorted(f.name for f in Path(directory).glob("scheduler-backup-*") if not f.suffix)

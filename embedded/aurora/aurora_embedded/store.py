# SPDX-License-Identifier: GPL-3.0-or-later
"""ZooKeeper: who leads, where the leader answers, and the leader's jobs and tasks (one znode each)."""

import json
import logging
import re
import threading
import time
import uuid
from pathlib import Path

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError, NoNodeError
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
    options = {}
    if credentials:
        user, _colon, password = credentials.partition(":")
        options = {"auth_data": [("digest", credentials)], "default_acl": [make_digest_acl(user, password, all=True)]}
    client = KazooClient(
        hosts=hosts + (chroot or ""),
        timeout=session,
        connection_retry={"max_tries": -1, "max_delay": 5},
        command_retry={"max_tries": -1, "max_delay": 1},
        **options,
    )
    client.start(wait)
    return client


class Leadership:
    """Curator's latch: ephemeral sequential children, the lowest leads; the leader also adds a serverset member."""

    def __init__(self, zk, path, lost):
        self.zk, self.path, self.lost = zk, path, lost
        self.suspended = None
        zk.add_listener(self._connection)

    def _connection(self, state):
        # A suspended session expires unseen at the servers: give up before somebody else can lead.
        if self.suspended:
            self.suspended.cancel()
            self.suspended = None
        if state == KazooState.LOST:
            threading.Thread(target=self.lost, args=("the ZooKeeper session was lost",)).start()
        elif state == KazooState.SUSPENDED:
            self.suspended = threading.Timer(self.zk._session_timeout / 1000, self.lost, ["ZooKeeper does not answer"])
            self.suspended.daemon = True
            self.suspended.start()

    def wait(self, stop):
        """True once this process leads, False if stop was set first."""
        prefix = f"{self.path}/_c_{uuid.uuid4()}-latch-"
        mine = self.zk.retry(self.zk.create, prefix, ephemeral=True, sequence=True, makepath=True).rpartition("/")[2]
        while not stop.is_set():
            latches = sorted((c for c in self.zk.get_children(self.path) if "-latch-" in c), key=lambda c: c[-10:])
            if mine not in latches:
                self.lost("its latch node was removed")
                return False
            if latches[0] == mine:
                self.zk.exists(f"{self.path}/{mine}", watch=self._latch_event)
                return True
            gone = threading.Event()
            before = f"{self.path}/{latches[latches.index(mine) - 1]}"
            if self.zk.exists(before, watch=lambda _event, gone=gone: gone.set()):
                while not gone.wait(0.5) and not stop.is_set():
                    pass
        return False

    def _latch_event(self, event):
        if event.type == "DELETED":
            threading.Thread(target=self.lost, args=("the latch node was removed",)).start()

    def advertise(self, name, host, port):
        endpoint = {"host": host, "port": port}
        member = {"serviceEndpoint": endpoint, "additionalEndpoints": {name: endpoint}, "status": "ALIVE"}
        self.zk.create(
            f"{self.path}/member_", json.dumps(member).encode(), ephemeral=True, sequence=True, makepath=True
        )


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
            except NodeExistsError:  # an earlier try of this very create arrived after all
                self.zk.retry(self.zk.set, path, data)

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

# SPDX-License-Identifier: GPL-3.0-or-later
"""ZooKeeper: the connection, who leads there, and the scheduler's tasks (one znode each)."""

import contextlib
import json
import re
import time
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.security import make_digest_acl

LIMIT = 1000 * 1000  # ZooKeeper's jute.maxbuffer is 1 MiB for the whole request


class Refused(Exception):
    """A request that cannot be carried out; the message says why."""


def replica_voting(path):
    """Whether `mesos-log initialize` has been run on path. A replica's LevelDB keeps its status under the first key;
    a directory that a replica merely created has CURRENT too, but no such record or another status. 1 is VOTING."""
    record = re.compile(rb"0{10}.{0,16}?\x08\x03\x22.\x08(.)", re.DOTALL)
    tables = [file for file in Path(path).glob("[0-9]*.*") if file.suffix in (".log", ".ldb", ".sst")]
    tables.sort(key=lambda file: int(file.stem))
    found = [status for table in tables for status in record.findall(table.read_bytes())]
    return found[-1:] == [b"\x01"]


def connect(hosts, credentials=None, session=15, wait=300):
    """A started client; digest credentials also become the owner of what it creates."""
    retries = {
        "connection_retry": {"max_tries": -1, "max_delay": 5},
        "command_retry": {"max_tries": -1, "max_delay": 1},
    }
    if credentials:
        acl = make_digest_acl(*credentials.split(":", 1), all=True)
        retries.update(auth_data=[("digest", credentials)], default_acl=[acl])
    client = KazooClient(hosts=hosts, timeout=session, **retries)
    client.start(wait)
    return client


def first(zk, path, prefix):
    """What the oldest sequential child says: Mesos' masters and Aurora's leader announce themselves so. Or None."""
    try:
        children = [child for child in zk.get_children(path) if child.startswith(prefix)]
        return json.loads(zk.get(f"{path}/{min(children)}")[0]) if children else None
    except NoNodeError:
        return None


def leader(zk, path):
    """host:port of the advertised scheduler, or None."""
    member = first(zk, path, "member_")
    return member and "{host}:{port}".format_map(member["serviceEndpoint"])


class Store:
    """What the leader remembers, in memory and in ZooKeeper. Every change is in ZooKeeper before it counts."""

    def __init__(self, zk, root):
        self.zk, self.framework_path, self.tasks_path = zk, f"{root}/framework", f"{root}/tasks"
        for path in (self.framework_path, self.tasks_path):
            zk.ensure_path(path)
        self.framework_id = zk.get(self.framework_path)[0].decode() or None
        pending = {name: zk.get_async(f"{self.tasks_path}/{name}") for name in zk.get_children(self.tasks_path)}
        self.tasks = {name: json.loads(answer.get()[0]) for name, answer in pending.items()}

    def set_framework_id(self, value):
        self.zk.retry(self.zk.set, self.framework_path, value.encode())
        self.framework_id = value

    def put(self, name, task):
        data = json.dumps(task, separators=(",", ":")).encode()
        if len(data) > LIMIT:
            raise Refused(f"{name} takes {len(data)} bytes; the embedded scheduler keeps at most {LIMIT} of a task")
        write = self.zk.set if name in self.tasks else self.zk.create
        with contextlib.suppress(NodeExistsError):  # an earlier try to create it had arrived after all
            self.zk.retry(write, f"{self.tasks_path}/{name}", data)
        self.tasks[name] = task

    def delete(self, name):
        with contextlib.suppress(NoNodeError):
            self.zk.retry(self.zk.delete, f"{self.tasks_path}/{name}")
        del self.tasks[name]

    def backup(self, directory, keep):
        """Write scheduler-backup-yyyy-MM-dd-HH-mm and drop the oldest beyond keep. Returns the name."""
        target = Path(directory) / time.strftime("scheduler-backup-%Y-%m-%d-%H-%M")
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps({"frameworkId": self.framework_id, "tasks": self.tasks}))
        partial.chmod(0o640)
        partial.replace(target)
        for old in backups(directory)[:-keep]:
            (Path(directory) / old).unlink()
        return target.name


def backups(directory):
    return sorted(f.name for f in Path(directory).glob("scheduler-backup-*") if not f.suffix)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler program: parse, check, stand for election, lead."""

import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from kazoo.client import KazooState

from . import VERSION, api, flags, store, web
from .scheduler import Scheduler

log = logging.getLogger("main")


class Program:
    def __init__(self, options):
        self.flags, self.started, self.state = options, time.time(), "IDLE"
        self.zk = self.scheduler = self.suspended = None
        handler = type("Handler", (api.Api,), {"program": self})
        self.server = web.Server((options.ip or "0.0.0.0", options.http_port), handler)  # noqa: S104 - upstream's default
        self.host, self.port = options.hostname or socket.getfqdn(), self.server.server_port
        self.address = f"{self.host}:{self.port}"

    def leader(self):
        return store.leader(self.zk, self.flags.serverset_path) if self.zk and self.zk.connected else None

    def leave(self, reason, code=1):
        """The end, whatever other threads wait for. The supervisor starts us again after a code that is not 0."""
        log.error("exiting: %s", reason)
        self.state = "DEAD"
        if self.zk and self.zk.connected:  # closing the session lets another scheduler lead at once
            closing = threading.Thread(target=self.zk.stop, daemon=True)
            closing.start()
            closing.join(3)
        os._exit(code)

    def watch_session(self, state):
        """Somebody else may lead once the session is over, which ends unseen where no server answers."""
        if self.suspended:
            self.suspended.cancel()
        lost = f"Lost leadership: the ZooKeeper session is {state}"
        if state == KazooState.LOST and self.state != "DEAD":
            self.leave(lost)
        elif state == KazooState.SUSPENDED:
            self.suspended = threading.Timer(self.flags.zk_session_timeout, self.leave, [lost])
            self.suspended.daemon = True
            self.suspended.start()

    def run(self):
        options = self.flags
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        log.info("version %s, http on %s", VERSION, self.address)
        self.state = "PREPARING_STORAGE"
        hosts = options.zk_endpoints + (options.zk_chroot_path or "")
        self.zk = store.connect(hosts, options.zk_digest_credentials, options.zk_session_timeout)
        self.zk.add_listener(self.watch_session)
        self.state = "STORAGE_PREPARED"
        self.zk.Election(options.serverset_path).run(self.lead)

    def lead(self):
        options, elected = self.flags, time.time()
        self.state = "LEADER_AWAITING_REGISTRATION"
        saved = store.Store(self.zk, options.native_log_zk_group_path)
        log.info("elected leader of %d tasks", len(saved.tasks))
        scheduler = Scheduler(options, saved, self.leave, self.host, f"http://{self.address}/scheduler")
        threading.Thread(target=scheduler.run_driver, args=[self.master_finder()], daemon=True).start()
        if not scheduler.registered.wait(options.max_registration_delay):
            self.leave("Framework has not been registered within the tolerated delay.")
        self.scheduler, self.state = scheduler, "ACTIVE"
        endpoint = {"host": self.host, "port": self.port}
        member = {"serviceEndpoint": endpoint, "additionalEndpoints": {options.serverset_endpoint_name: endpoint}}
        data = json.dumps({**member, "status": "ALIVE"}).encode()
        self.zk.create(f"{options.serverset_path}/member_", data, ephemeral=True, sequence=True)
        while time.time() - elected < options.max_leading_duration:
            with scheduler.lock:
                scheduler.tick()
            time.sleep(0.5)
        self.leave("led for -max_leading_duration; another one's turn")

    def master_finder(self):
        """A function that says where the leading Mesos master is."""
        address = self.flags.mesos_master_address
        in_zookeeper = re.fullmatch(r"zk://(?:(.+)@)?([^/]+)(/.*)", address)
        if not in_zookeeper:
            return lambda: address
        credentials, hosts, path = in_zookeeper.groups()
        zk = store.connect(hosts, credentials, self.flags.zk_session_timeout, self.flags.max_registration_delay)

        def find():
            master = store.first(zk, path, "json.info_")
            return master and "{ip}:{port}".format_map(master["address"])

        return find


def check(options):
    """What keeps the scheduler from starting that its flags do not show."""
    path = options.native_log_file_path
    if not store.replica_voting(path):
        raise flags.FlagError(
            f"The replicated log in {path} is not initialised, or not readable. Once per new cluster, before the first "
            f"start, run as the scheduler's user: mesos-log initialize --path={path}"
        )
    Path(options.backup_dir).mkdir(parents=True, exist_ok=True)


def main():
    if {"-h", "-help", "--help"} & set(sys.argv):
        flags.usage()
        sys.exit()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    try:
        options, notes = flags.parse(sys.argv[1:])
        check(options)
        program = Program(options)
    except (flags.FlagError, OSError) as error:
        sys.exit(f"aurora-scheduler: {error}")
    for note in notes:
        log.warning("%s", note)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: program.leave("asked to", 0))

    def crash(error):
        """In doubt, start again from what is in ZooKeeper."""
        log.error("cannot go on", exc_info=error.exc_value)
        program.leave(str(error.exc_value))

    threading.excepthook = crash
    leading = threading.Thread(target=program.run)
    leading.start()
    leading.join()

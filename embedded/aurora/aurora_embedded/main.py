# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler program: parse, check, stand for election, lead."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from . import VERSION, api, flags, mesos, store, web
from .scheduler import Scheduler

log = logging.getLogger("main")


class Program:
    def __init__(self, options):
        self.flags, self.started, self.state = options, time.time(), "IDLE"
        self.zk = self.scheduler = None
        self.stopping = threading.Event()
        self.exit_code = 0
        handler = type("Handler", (api.Api,), {"program": self})
        self.server = web.Server(options.ip or "0.0.0.0", options.http_port, handler)  # noqa: S104 - upstream's default
        self.endpoint = (options.hostname or socket.getfqdn(), self.server.server_port)

    def zk_connected(self):
        return bool(self.zk and self.zk.connected)

    def leader(self):
        return store.leader(self.zk, self.flags.serverset_path) if self.zk_connected() else None

    def stop(self, abort=False):
        if abort:
            os._exit(1)
        self.stopping.set()

    def die(self, reason):
        """Something that only another scheduler or a fresh start can heal: leave, and let the supervisor restart us."""
        log.error("exiting: %s", reason)
        self.state, self.exit_code = "DEAD", 1
        self.stopping.set()
        threading.Timer(5, os._exit, [1]).start()  # if the main thread is stuck in ZooKeeper

    def run(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        log.info("version %s, http on %s:%s", VERSION, *self.endpoint)
        options = self.flags
        self.state = "PREPARING_STORAGE"
        self.zk = store.connect(
            options.zk_endpoints,
            options.zk_chroot_path,
            options.zk_digest_credentials,
            options.zk_session_timeout,
            wait=300,
        )
        self.state = "STORAGE_PREPARED"
        latch = store.Leadership(self.zk, options.serverset_path, lambda why: self.die(f"Lost leadership: {why}"))
        if latch.wait(self.stopping):
            self.lead(latch)
        return self.exit_code

    def lead(self, latch):
        options = self.flags
        log.info("elected leader")
        self.state = "LEADER_AWAITING_REGISTRATION"
        saved = store.Store(self.zk, options.native_log_zk_group_path)
        saved.load()
        log.info("storage: %d jobs, %d tasks", len(saved.jobs), len(saved.tasks))
        scheduler = Scheduler(options, saved, self.die, *self.endpoint)
        elected = time.time()
        threading.Thread(target=scheduler.run_driver, args=[self.master_finder()], daemon=True).start()
        while not scheduler.registered.wait(0.2) and not self.stopping.is_set():
            if time.time() - elected > options.max_registration_delay:
                self.die("Framework has not been registered within the tolerated delay.")
        if self.stopping.is_set():
            return
        self.scheduler, self.state = scheduler, "ACTIVE"
        latch.advertise(options.serverset_endpoint_name, *self.endpoint)
        while not self.stopping.wait(0.5):
            with scheduler.lock:
                scheduler.tick()
            if time.time() - elected > options.max_leading_duration:
                self.die("led for -max_leading_duration; another one's turn")

    def master_finder(self):
        """A function that says where the leading Mesos master is."""
        address = self.flags.mesos_master_address
        if not address.startswith("zk://"):
            return lambda: address if ":" in address else f"{address}:5050"
        hosts, path, credentials = mesos.zk_address(address)
        client = store.connect(
            hosts, "", credentials, self.flags.zk_session_timeout, wait=self.flags.max_registration_delay
        )
        return lambda: mesos.leading_master(client, path)


def check(options):
    """Reasons not to start that no flag shows by itself."""
    path = options.native_log_file_path
    if not store.replica_voting(path):
        return (
            f"The replicated log in {path} is not initialised (or not readable). Once per new cluster, before the first "
            f"start, run as the scheduler's user: mesos-log initialize --path={path}"
        )
    try:
        Path(options.backup_dir).mkdir(parents=True, exist_ok=True)
        if options.framework_authentication_file:
            Path(options.framework_authentication_file).read_text()
    except OSError as error:
        return str(error)
    return None


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kazoo").setLevel(logging.ERROR)
    if {"-h", "-help", "--help"} & set(argv):
        return flags.usage()
    try:
        options, notes = flags.parse(argv)
        problem = check(options)
    except flags.FlagError as error:
        problem = str(error)
    if problem:
        sys.exit(f"aurora-scheduler: {problem}")
    for note in notes:
        log.warning("%s", note)
    program = None
    try:
        program = Program(options)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: program.stop())
        code = program.run()
    except Exception:
        log.exception("exiting")
        code = 1
    # Threads may hang in the network: close the session so that the next leader need not wait for it, then go.
    threading.Timer(3, os._exit, [code]).start()
    if program and program.zk:
        program.zk.stop()
    sys.stderr.flush()
    os._exit(code)

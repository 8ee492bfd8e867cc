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
        self.zk = self.scheduler = self.latch = None
        self.stopping, self.exit_code = threading.Event(), 0
        handler = type("Handler", (api.Api,), {"program": self})
        self.server = web.Server(options.ip or "0.0.0.0", options.http_port, handler)  # noqa: S104 - upstream's default
        self.endpoint = (options.hostname or socket.getfqdn(), self.server.server_port)

    def leader(self):
        return store.leader(self.zk, self.flags.serverset_path) if self.zk and self.zk.connected else None

    def stop(self, at_once=False):
        if at_once:
            os._exit(1)
        threading.Timer(3, lambda: os._exit(self.exit_code)).start()  # the main thread may be stuck in ZooKeeper
        self.stopping.set()
        if self.latch:
            self.latch.lock.cancel()

    def die(self, reason, at_once=False):
        """Something that only another scheduler or a fresh start can heal: leave, and let the supervisor restart us."""
        if not self.stopping.is_set():
            log.error("exiting: %s", reason)
            self.state, self.exit_code = "DEAD", 1
            self.stop(at_once)

    def lose(self, reason):
        self.die(f"Lost leadership: {reason}", at_once=True)

    def run(self):
        options = self.flags
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        log.info("version %s, http on %s:%s", VERSION, *self.endpoint)
        self.state = "PREPARING_STORAGE"
        access = (options.zk_chroot_path, options.zk_digest_credentials, options.zk_session_timeout)
        self.zk = store.connect(options.zk_endpoints, *access)
        self.state = "STORAGE_PREPARED"
        self.latch = store.Leadership(self.zk, options.serverset_path, self.lose)
        if not self.stopping.is_set() and self.latch.wait():
            self.lead()

    def lead(self):
        options, elected = self.flags, time.time()
        self.state = "LEADER_AWAITING_REGISTRATION"
        saved = store.Store(self.zk, options.native_log_zk_group_path)
        saved.load()
        log.info("elected leader of %d jobs with %d tasks", len(saved.jobs), len(saved.tasks))
        scheduler = Scheduler(options, saved, self.die, *self.endpoint)
        threading.Thread(target=scheduler.run_driver, args=[self.master_finder()], daemon=True).start()
        while not scheduler.registered.wait(0.2) and not self.stopping.is_set():
            if time.time() - elected > options.max_registration_delay:
                self.die("Framework has not been registered within the tolerated delay.")
        if not self.stopping.is_set():
            self.scheduler, self.state = scheduler, "ACTIVE"
            self.latch.advertise(options.serverset_endpoint_name, *self.endpoint)
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
        zk = store.connect(hosts, "", credentials, self.flags.zk_session_timeout, self.flags.max_registration_delay)
        return lambda: mesos.leading_master(zk, path)


def check(options):
    """What keeps the scheduler from starting that its flags do not show. Raises FlagError or OSError."""
    path = options.native_log_file_path
    if not store.replica_voting(path):
        raise flags.FlagError(
            f"The replicated log in {path} is not initialised, or not readable. Once per new cluster, before the first "
            f"start, run as the scheduler's user: mesos-log initialize --path={path}"
        )
    Path(options.backup_dir).mkdir(parents=True, exist_ok=True)


def main():
    if {"-h", "-help", "--help"} & set(sys.argv):
        return flags.usage()
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
        signal.signal(number, lambda *_: program.stop())
    try:
        program.run()
    except Exception:
        log.exception("exiting")
        program.exit_code = 1
    program.stop()
    # Close the session, so that the next leader need not wait for its end; then leave whatever hangs in the network.
    if program.zk:
        program.zk.stop()
    os._exit(program.exit_code)

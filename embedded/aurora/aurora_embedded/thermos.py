# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one task's processes: order, failures, grace, logs. The executor reports what becomes of them."""

import grp
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[0])
WAITING, RUNNING, SUCCESS, FAILED, KILLED = "WAITING", "RUNNING", "SUCCESS", "FAILED", "KILLED"


class TaskError(Exception):
    """The task cannot be started; the message says why."""


def substitute(text, values):
    """{{mesos.instance}} and its like: the names that are only known on the agent."""
    return re.sub(r"\{\{(&?)((?:mesos|thermos)\.[^{}]+)\}\}", lambda m: str(values.get(m[2], m[0])), text)


class Task:
    def __init__(self, spec, values, run_dir, user, logger, preserve_env=False):
        self.spec, self.values, self.logger, self.preserve_env = spec, values, logger, preserve_env
        self.run_dir, self.sandbox = Path(run_dir), Path(run_dir) / "sandbox"
        try:
            self.user = pwd.getpwnam(user)
        except KeyError:
            raise TaskError(f"user {user} does not exist on this agent") from None
        self.processes = {p["name"]: {**p, "state": WAITING, "failures": 0, "runs": []} for p in spec["processes"]}
        self.before = {name: set() for name in self.processes}
        for constraint in spec.get("constraints", []):
            for earlier, later in zip(constraint["order"], constraint["order"][1:], strict=False):
                self.before[later].add(earlier)
        self.changed = threading.Condition()
        self.killed, self.started = False, time.time()
        self.state = RUNNING

    def prepare(self):
        """The sandbox is its user's alone; the directory above it lets that user's group through, no one else's."""
        self.sandbox.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.sandbox, self.user.pw_uid, self.user.pw_gid)
            os.chown(self.run_dir, -1, self.user.pw_gid)
            self.run_dir.chmod(0o750)
        (self.run_dir / "checkpoints").mkdir(mode=0o755, exist_ok=True)
        self.checkpoint()

    def checkpoint(self):
        """What the observer reads."""
        shown = [{k: p.get(k) for k in ("name", "cmdline", "state", "failures", "runs", "daemon", "ephemeral", "final")}
                 for p in self.processes.values()]
        data = {"taskId": self.values["thermos.task_id"], "user": self.user.pw_name, "host": self.values["mesos.hostname"],
                "state": self.state, "started": self.started, "updated": time.time(), "processes": shown, "task": self.spec}
        partial = self.run_dir / "checkpoints" / "task.partial"
        partial.write_text(json.dumps(data))
        partial.chmod(0o644)
        partial.replace(self.run_dir / "checkpoints" / "task.json")

    def start(self, process):
        number = len(process["runs"])
        run = {"number": number, "start": time.time(), "stop": None, "code": None}
        logs = self.sandbox / ".logs" / process["name"] / str(number)
        identity = {}
        if os.geteuid() == 0:
            groups = [g.gr_gid for g in grp.getgrall() if self.user.pw_name in g.gr_mem]
            identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": groups}
        environment = dict(os.environ) if self.preserve_env else {"PATH": os.environ.get("PATH", os.defpath)}
        environment |= {"HOME": str(self.sandbox), "USER": self.user.pw_name, "LOGNAME": self.user.pw_name,
                        "MESOS_SANDBOX": str(self.run_dir), "PWD": str(self.sandbox)}
        environment |= {f"THERMOS_PORT_{k[14:-1]}": str(v) for k, v in self.values.items() if k.startswith("thermos.ports[")}
        # The child opens its own logs as the task's user: that user owns the directory and could plant links in it.
        command = [sys.executable, PROGRAM, "--run-process", json.dumps(
            {"logs": str(logs), "cmdline": substitute(process["cmdline"], self.values), **self.logger})]
        child = subprocess.Popen(command, cwd=self.sandbox, env=environment, start_new_session=True,
                                 stdin=subprocess.DEVNULL, umask=0o022, **identity)
        process.update(state=RUNNING, child=child)
        process["runs"].append(run)
        threading.Thread(target=self._wait, args=(process, run), daemon=True).start()

    def _wait(self, process, run):
        code = process["child"].wait()
        with self.changed:
            run.update(stop=time.time(), code=code)
            self._signal(process, signal.SIGKILL)  # what it left behind in its session
            failed = code != 0
            process["failures"] += failed
            limit = process.get("max_failures", 1)
            if self.killed:
                process["state"] = KILLED
            elif failed and limit and process["failures"] >= limit:
                process["state"] = FAILED
            elif failed or process.get("daemon"):
                process["state"] = WAITING
            else:
                process["state"] = SUCCESS
            self.changed.notify_all()

    @staticmethod
    def _signal(process, number):
        try:
            os.killpg(process["child"].pid, number)
        except ProcessLookupError:
            pass

    def _ready(self, process):
        if process["state"] != WAITING or any(self.processes[b]["state"] != SUCCESS for b in self.before[process["name"]]):
            return None
        return process["runs"][-1]["start"] + process.get("min_duration", 5) if process["runs"] else 0

    def _stage(self, processes, deadline=None):
        """Run these processes until they are done, too many failed, the task is killed, or the deadline passes."""
        limit, room = self.spec.get("max_failures", 1), self.spec.get("max_concurrency", 0)
        counted = [p for p in processes if not p.get("ephemeral")]
        with self.changed:
            while not self.killed and (deadline is None or time.time() < deadline):
                failed = sum(p["state"] == FAILED for p in counted)
                if limit and failed >= limit:
                    return False
                pause = None if deadline is None else deadline - time.time()
                for process in processes:
                    due = self._ready(process)
                    if due is None or (room and sum(p["state"] == RUNNING for p in processes) >= room):
                        continue
                    if due <= time.time():
                        self.start(process)
                    else:
                        pause = min(pause or 1e9, due - time.time())
                going = [p for p in counted if p["state"] == RUNNING or self._ready(p) is not None]
                self.checkpoint()
                if not going:
                    return True  # also when a failure that max_failures allows blocks the rest
                self.changed.wait(pause)
        return False

    def _stop(self, processes, grace):
        with self.changed:
            for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 10)):
                end = time.time() + wait
                for process in [p for p in processes if p["state"] == RUNNING]:
                    self._signal(process, number)
                while any(p["state"] == RUNNING for p in processes) and time.time() < end:
                    self.changed.wait(end - time.time())

    def run(self, grace=None):
        """Until the end. Returns SUCCESS, FAILED or KILLED."""
        wait = self.spec.get("finalization_wait", 30)
        ordinary = [p for p in self.processes.values() if not p.get("final")]
        final = [p for p in self.processes.values() if p.get("final")]
        succeeded = self._stage(ordinary)
        killed, self.killed = self.killed, True  # whatever still runs is stopped, not restarted
        self._stop(ordinary, wait if grace is None else grace)
        self.killed = False
        if final:
            self._stage(final, deadline=time.time() + wait)
            self.killed = True
            self._stop(final, 1)
        self.state = KILLED if killed else SUCCESS if succeeded else FAILED
        with self.changed:
            self.checkpoint()
        return self.state

    def kill(self):
        with self.changed:
            self.killed = True
            self.changed.notify_all()


def run_process(config):
    """In the child, as the task's user: open the logs, become the command or copy its output into rotated files."""
    logs = Path(config["logs"])
    logs.mkdir(parents=True, exist_ok=True)
    shell = ["/bin/bash", "-c", config["cmdline"]]
    if config["destination"] in ("console", "none"):
        if config["destination"] == "none":
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
        os.execv(shell[0], shell)  # noqa: S606 - the command is the user's own shell text
    if config["mode"] == "standard" and config["destination"] == "file":
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(logs / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        os.execv(shell[0], shell)  # noqa: S606
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the command's last words still have to be copied
    child = subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    copies = [threading.Thread(target=copy, args=(getattr(child, n), logs / n, config, number), daemon=True)
              for number, n in ((1, "stdout"), (2, "stderr"))]
    for thread in copies:
        thread.start()
    code = child.wait()
    for thread in copies:
        thread.join(1)
    return code if code >= 0 else 128 - code


def copy(source, path, config, number):
    """Append source to path; at the size limit path becomes path.1, path.1 becomes path.2, and so on."""
    out = open(path, "ab", buffering=0)
    while True:
        data = os.read(source.fileno(), 65536)
        if not data:
            return
        if config["destination"] == "both":
            os.write(number, data)
        if config["mode"] == "rotate" and out.tell() + len(data) > config["size"]:
            out.close()
            for index in range(config["backups"] - 1, 0, -1):
                older = path.with_name(f"{path.name}.{index}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{index + 1}"))
            if config["backups"]:
                path.replace(path.with_name(f"{path.name}.1"))
            out = open(path, "wb", buffering=0)
        out.write(data)

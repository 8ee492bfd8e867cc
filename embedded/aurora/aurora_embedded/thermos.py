# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one task's processes: order, failures, grace, logs. The executor reports what becomes of them."""

import json
import os
import pkgutil
import pwd
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

WAITING, RUNNING, SUCCESS, FAILED, KILLED = "WAITING", "RUNNING", "SUCCESS", "FAILED", "KILLED"
# The shell opens the logs as the task's user, who owns the directory and could have put a link in their place.
START = 'mkdir -p "$1" && exec "$0" -c "$2" >>"$1/stdout" 2>>"$1/stderr"'


def substitute(text, values):
    """{{mesos.instance}} and its like: the names that are only known on the agent."""
    return re.sub(r"\{\{((?:mesos|thermos)\.[^{}]+)\}\}", lambda match: str(values.get(match[1], match[0])), text)


class Task:
    def __init__(self, spec, values, run_dir, user, console=False, keep_environment=False):
        self.spec, self.values, self.console = spec, values, console
        self.run_dir, self.sandbox = Path(run_dir), Path(run_dir) / "sandbox"
        self.user = pwd.getpwnam(user)
        self.environment = dict(os.environ) if keep_environment else {"PATH": os.environ.get("PATH", os.defpath)}
        self.environment |= {"HOME": str(self.sandbox), "USER": user, "LOGNAME": user, "MESOS_SANDBOX": str(run_dir)}
        self.identity = {}
        if os.geteuid() == 0:
            groups = os.getgrouplist(user, self.user.pw_gid)
            self.identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": groups}
        self.processes = {p["name"]: {**p, "state": WAITING, "failures": 0, "runs": []} for p in spec["processes"]}
        self.before = {name: set() for name in self.processes}
        for line in (c["order"] for c in spec.get("constraints", [])):
            for earlier, later in zip(line, line[1:], strict=False):
                self.before[later].add(earlier)
        self.children = {}
        self.changed = threading.Condition()
        self.killed, self.state, self.started = False, RUNNING, time.time()

    def prepare(self):
        """The sandbox is its user's alone; the directory above it lets that user's group through, no one else."""
        self.sandbox.mkdir(mode=0o700, exist_ok=True)
        if self.identity:
            os.chown(self.sandbox, self.user.pw_uid, self.user.pw_gid)
            os.chown(self.run_dir, -1, self.user.pw_gid)
        self.run_dir.chmod(0o750)
        (self.run_dir / "checkpoints").mkdir(exist_ok=True)
        self.checkpoint()

    def checkpoint(self):
        """What the observer reads."""
        shown = {
            "taskId": self.values["thermos.task_id"],
            "host": self.values["mesos.hostname"],
            "user": self.user.pw_name,
        }
        shown |= {"state": self.state, "started": self.started, "processes": list(self.processes.values())}
        partial = self.run_dir / "checkpoints" / "task.partial"
        partial.write_text(json.dumps(shown))
        partial.replace(partial.with_suffix(".json"))

    def _spawn(self, *command, **more):
        nothing = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.sandbox, env=self.environment, umask=0o022, stdin=nothing, **self.identity, **more
        )

    def _start(self, process):
        run = {"number": len(process["runs"]), "start": time.time(), "stop": None, "code": None}
        command = substitute(process["cmdline"], self.values)
        logs = f".logs/{process['name']}/{run['number']}"
        words = ("/bin/bash", "-c", command) if self.console else ("/bin/sh", "-c", START, "/bin/bash", logs, command)
        # A group of its own, to be signalled; yet the executor's session, by which the agent finds whatever outlives it.
        child = self.children[process["name"]] = self._spawn(*words, process_group=0)
        process["state"] = RUNNING
        process["runs"].append(run)
        threading.Thread(target=self._wait, args=(process, run, child), daemon=True).start()

    def _wait(self, process, run, child):
        code = child.wait()
        with self.changed:
            run.update(stop=time.time(), code=code)
            self._signal(process, signal.SIGKILL)  # what the process left behind in its group
            process["failures"] += code != 0
            if self.killed:
                process["state"] = KILLED
            elif code and 0 < process["max_failures"] <= process["failures"]:
                process["state"] = FAILED
            else:
                process["state"] = WAITING if code or process["daemon"] else SUCCESS
            self.changed.notify_all()

    def _signal(self, process, number):
        try:
            os.killpg(self.children[process["name"]].pid, number)
        except ProcessLookupError:
            pass

    def _due(self, process):
        """When a waiting process may start, or None."""
        if process["state"] != WAITING or any(
            self.processes[b]["state"] != SUCCESS for b in self.before[process["name"]]
        ):
            return None
        return process["runs"][-1]["start"] + process["min_duration"] if process["runs"] else 0

    def _stage(self, processes, deadline):
        """Run these processes until they are done (True), too many failed, the task is killed or time is up (False)."""
        counted = [p for p in processes if not p["ephemeral"]]
        limit, room = self.spec["max_failures"], self.spec["max_concurrency"] or len(processes)
        with self.changed:
            while not self.killed and time.time() < deadline:
                if 0 < limit <= sum(p["state"] == FAILED for p in counted):
                    return False
                wake = deadline
                for process in [p for p in processes if self._due(p) is not None]:
                    if self._due(process) > time.time():
                        wake = min(wake, self._due(process))
                    elif sum(p["state"] == RUNNING for p in processes) < room:
                        self._start(process)
                self.checkpoint()
                if not any(p["state"] == RUNNING or self._due(p) is not None for p in counted):
                    return True  # also when a failure that max_failures allows keeps others from starting
                self.changed.wait(max(0.01, wake - time.time()))
        return False

    def _stop(self, processes, grace):
        with self.changed:
            for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 10)):
                end = time.time() + wait
                for process in [p for p in processes if p["state"] == RUNNING]:
                    self._signal(process, number)
                while any(p["state"] == RUNNING for p in processes) and time.time() < end:
                    self.changed.wait(max(0.01, end - time.time()))

    def run(self):
        """Until the end: SUCCESS, FAILED or KILLED."""
        grace, far = self.spec["finalization_wait"], time.time() + 1e8
        ordinary = [p for p in self.processes.values() if not p["final"]]
        final = [p for p in self.processes.values() if p["final"]]
        succeeded = self._stage(ordinary, far)
        killed, self.killed = self.killed, True  # whatever still runs is stopped, not started again
        self._stop(ordinary, grace)
        self.killed = False
        self._stage(final, time.time() + grace)
        self.killed = True
        self._stop(final, 1)
        self.state = KILLED if killed else SUCCESS if succeeded else FAILED
        self.checkpoint()
        return self.state

    def kill(self):
        with self.changed:
            self.killed = True
            self.changed.notify_all()

    def rotate_logs(self, size, backups, pause=10):
        script = pkgutil.get_data(__package__, "rotate.sh").decode()
        while time.sleep(pause) or self.state == RUNNING:
            self._spawn("/bin/sh", "-c", script, "rotate", str(size), str(backups)).wait()

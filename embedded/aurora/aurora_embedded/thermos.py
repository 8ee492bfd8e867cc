# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one task's processes: order, grace, logs. The executor reports what becomes of them."""

import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import time
from pathlib import Path

WAITING, RUNNING, SUCCESS, FAILED, KILLED = "WAITING", "RUNNING", "SUCCESS", "FAILED", "KILLED"
PAUSE = 0.2  # between two looks at the processes
# The shell opens the logs as the task's user, who owns the directory and could have put a link in their place.
START = 'mkdir -p "$1" && exec "$0" -c "$2" >>"$1/stdout" 2>>"$1/stderr"'


def substitute(text, values):
    """{{mesos.instance}} and its like: the names that are only known on the agent."""
    return re.sub(r"\{\{((?:mesos|thermos)\.[^{}]+)\}\}", lambda match: str(values.get(match[1], match[0])), text)


class Task:
    def __init__(self, spec, values, run_dir, user, killed):
        self.grace, self.values, self.user = spec["finalization_wait"], values, pwd.getpwnam(user)
        self.run_dir, self.sandbox = Path(run_dir), Path(run_dir) / "sandbox"
        self.processes = {p["name"]: {**p, "state": WAITING, "code": None} for p in spec["processes"]}
        self.before = {name: set() for name in self.processes}
        for line in (constraint["order"] for constraint in spec["constraints"]):
            for earlier, later in zip(line, line[1:], strict=False):
                self.before[later].add(earlier)
        self.children, self.killed = {}, killed
        self.state, self.started = RUNNING, time.time()

    def prepare(self):
        """The sandbox is its user's alone; the directory above it lets that user's group through, no one else."""
        self.sandbox.mkdir(mode=0o700, exist_ok=True)
        os.chown(self.sandbox, self.user.pw_uid, self.user.pw_gid)
        os.chown(self.run_dir, -1, self.user.pw_gid)
        self.run_dir.chmod(0o750)
        (self.run_dir / "checkpoints").mkdir(exist_ok=True)
        self.checkpoint()

    def checkpoint(self):
        """What the observer reads."""
        shown = {"taskId": self.values["thermos.task_id"], "host": self.values["mesos.hostname"]}
        shown |= {"user": self.user.pw_name, "state": self.state, "started": self.started}
        partial = self.run_dir / "checkpoints" / "task.partial"
        partial.write_text(json.dumps({**shown, "processes": list(self.processes.values())}))
        partial.replace(partial.with_suffix(".json"))

    def start(self, process):
        logs = f".logs/{process['name']}/0"  # upstream numbers the runs of a process; here is only one
        home, name, path = str(self.sandbox), self.user.pw_name, os.environ.get("PATH", os.defpath)
        self.children[process["name"]] = subprocess.Popen(
            ["/bin/sh", "-c", START, "/bin/bash", logs, substitute(process["cmdline"], self.values)],
            cwd=self.sandbox,
            env={"PATH": path, "HOME": home, "USER": name, "LOGNAME": name, "MESOS_SANDBOX": str(self.run_dir)},
            stdin=subprocess.DEVNULL,
            umask=0o022,
            user=self.user.pw_uid,
            group=self.user.pw_gid,
            extra_groups=os.getgrouplist(name, self.user.pw_gid),
            process_group=0,  # to be signalled; yet the executor's session, by which the agent finds what outlives it
        )
        process["state"] = RUNNING
        self.checkpoint()

    def signal(self, process, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.children[process["name"]].pid, number)

    def running(self):
        """The processes that still run, after noting which have ended."""
        running = [p for p in self.processes.values() if p["state"] == RUNNING]
        for process in running:
            process["code"] = self.children[process["name"]].poll()
            if process["code"] is not None:
                self.signal(process, signal.SIGKILL)  # what the process left behind in its group
                process["state"] = FAILED if process["code"] else SUCCESS
                self.checkpoint()
        return [p for p in running if p["state"] == RUNNING]

    def run(self):
        """Until the end: SUCCESS, FAILED or KILLED."""
        end = None
        while not end:
            running = self.running()
            done = {name for name, p in self.processes.items() if p["state"] == SUCCESS}
            due = [p for p in self.processes.values() if p["state"] == WAITING and self.before[p["name"]] <= done]
            if self.killed.wait(PAUSE if running and not due else 0):
                end = KILLED
            elif any(p["state"] == FAILED for p in self.processes.values()):
                end = FAILED
            elif not running and not due:
                end = SUCCESS
            else:
                for process in due:
                    self.start(process)
        self.stop()
        self.state = end
        self.checkpoint()
        return end

    def stop(self):
        """Ask whatever still runs to end, then see to it."""
        stopped = self.running()
        for number, grace in ((signal.SIGTERM, self.grace), (signal.SIGKILL, 10)):
            end = time.time() + grace
            for process in self.running():
                self.signal(process, number)
            while self.running() and time.time() < end:
                time.sleep(PAUSE)
        for process in stopped:
            process["state"] = KILLED

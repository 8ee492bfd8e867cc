# SPDX-License-Identifier: GPL-3.0-or-later
"""thermos_executor: launched by the agent for each task, reports to it, and outlives its restarts."""

import argparse
import base64
import json
import os
import pwd
import random
import signal
import sys
import threading
import time
import uuid

from . import mesos, thermos
from .flags import SECONDS

STATES = {thermos.SUCCESS: "TASK_FINISHED", thermos.FAILED: "TASK_FAILED", thermos.KILLED: "TASK_KILLED"}
# What these are about does not exist here: containers, service announcements, health checks, users made on the fly.
WITHOUT_EFFECT = (
    "announcer-ensemble",
    "announcer-serverset-path",
    "announcer-hostname",
    "mesos-containerizer-path",
    "sandbox-mount-point",
)
WITHOUT_EFFECT_SWITCHES = ("no-create-user", "nosetuid-health-checks")


def say(*words):
    print(time.strftime("%F %T"), *words, file=sys.stderr, flush=True)


def duration(name, default):
    text = os.environ.get(name, default)
    unit = text.lstrip("0123456789.")
    return float(text[: len(text) - len(unit)]) * SECONDS[unit]


class Executor:
    def __init__(self, options):
        self.options = options
        self.ids = {name: {"value": os.environ[f"MESOS_{name.upper()}"]} for name in ("framework_id", "executor_id")}
        token = os.environ.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")
        self.authorization = f"Bearer {token}" if token else None
        self.lock = threading.RLock()
        self.stream = self.task = self.agent = None
        self.tasks, self.updates, self.offered = {}, {}, set()  # not yet acknowledged, and what a subscription carries
        self.killed = False
        self.ended, self.finished = threading.Event(), threading.Event()

    def run(self):
        """Stay subscribed until the task's end is acknowledged, or the agent stays away for too long."""
        patience = duration("MESOS_RECOVERY_TIMEOUT", "15mins") if os.environ.get("MESOS_CHECKPOINT") == "1" else 0
        last = time.time()
        while not self.finished.is_set():
            subscribed = False
            try:
                with self.lock:
                    self.offered = set(self.updates)
                    updates = [{"status": status} for status in self.updates.values()]
                    again = {"unacknowledged_tasks": list(self.tasks.values()), "unacknowledged_updates": updates}
                body = {"type": "SUBSCRIBE", **self.ids, "subscribe": again}
                stream = mesos.Stream(os.environ["MESOS_AGENT_ENDPOINT"], "/api/v1/executor", body, self.authorization)
                subscribed = True
                for event in stream:
                    self.handle(stream, event["type"], event)
                    if self.finished.is_set():
                        return
            except mesos.MesosError as error:
                say(error)
            with self.lock:
                self.stream = None
            last = time.time() if subscribed else last
            if time.time() - last > patience:
                say(f"no agent for {patience:g} s: stopping the task")
                self.stop()
            self.finished.wait(random.uniform(0.2, 1))  # noqa: S311

    def handle(self, stream, kind, event):
        if kind == "SUBSCRIBED":
            with self.lock:
                self.stream, self.agent = stream, event["subscribed"]["agent_info"]
                for status in [status for key, status in self.updates.items() if key not in self.offered]:
                    self.send(status)  # made while the subscription was under way
        elif kind == "LAUNCH":
            threading.Thread(target=self.launch, args=[event["launch"]["task"]], daemon=True).start()
        elif kind == "ACKNOWLEDGED":
            with self.lock:
                status = self.updates.pop(event["acknowledged"]["uuid"], {})
                self.tasks.pop(event["acknowledged"]["task_id"]["value"], None)
            if status.get("state") in STATES.values():
                self.finished.set()
        elif kind == "KILL":
            self.kill()
        elif kind == "SHUTDOWN":
            threading.Thread(target=self.stop, daemon=True).start()
        elif kind == "ERROR":
            say(event["error"]["message"])

    def kill(self):
        self.killed = True
        if self.task:
            self.task.kill()

    def stop(self):
        self.kill()
        if self.task:
            self.ended.wait(self.options.stop_timeout_in_secs)
            self.finished.wait(2)  # for the acknowledgement of the last update
        self.finished.set()

    def send(self, status):
        try:
            if self.stream:
                self.stream.call({"type": "UPDATE", **self.ids, "update": {"status": status}})
        except mesos.MesosError as error:
            say(f"{status['state']} goes with the next subscription: {error}")

    def update(self, task_id, state, message=""):
        key = base64.b64encode(uuid.uuid4().bytes).decode()
        status = {
            "task_id": {"value": task_id},
            "state": state,
            "message": message,
            "uuid": key,
            "timestamp": time.time(),
        }
        status |= {"source": "SOURCE_EXECUTOR", "executor_id": self.ids["executor_id"]}
        say(task_id, state, message)
        with self.lock:
            self.updates[key] = status
            self.send(status)

    def launch(self, info):
        task_id = info["task_id"]["value"]
        with self.lock:
            self.tasks[task_id] = info
        self.update(task_id, "TASK_STARTING", "Initializing sandbox.")
        try:
            self.task = self.make_task(json.loads(base64.b64decode(info["data"])))
            self.task.prepare()
            if self.options.runner_logger_mode == "rotate":
                limits = (self.options.runner_rotate_log_size_mb * 2**20, self.options.runner_rotate_log_backups)
                threading.Thread(target=self.task.rotate_logs, args=limits, daemon=True).start()
            if self.killed:
                self.task.kill()
            self.update(task_id, "TASK_RUNNING")
            state = self.task.run()
            failed = ", ".join(p["name"] for p in self.task.processes.values() if p["state"] == thermos.FAILED)
            self.update(task_id, STATES[state], f"Failed processes: {failed}" if failed else "")
        except (KeyError, ValueError, OSError) as error:
            self.update(task_id, "TASK_FAILED", f"The task cannot run on this agent: {type(error).__name__}: {error}")
        self.ended.set()

    def make_task(self, assigned):
        role = assigned["task"]["job"]["role"]
        values = {
            "mesos.instance": assigned["instanceId"],
            "mesos.hostname": self.agent["hostname"],
            "thermos.user": role,
        }
        values["thermos.task_id"] = assigned["taskId"]
        values |= {f"thermos.ports[{name}]": port for name, port in assigned["assignedPorts"].items()}
        own = os.geteuid() != 0 or self.options.nosetuid
        user = pwd.getpwuid(os.geteuid()).pw_name if own else self.options.execute_as_user or role
        spec = json.loads(assigned["task"]["executorConfig"]["data"])["task"]
        console = self.options.runner_logger_destination == "console"
        return thermos.Task(spec, values, os.environ["MESOS_SANDBOX"], user, console, self.options.preserve_env)


def main():
    parser = argparse.ArgumentParser(prog="thermos_executor", allow_abbrev=False)
    for name in WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", help="no effect here")
    for name in WITHOUT_EFFECT_SWITCHES:
        parser.add_argument(f"--{name}", action="store_true", help="no effect here")
    parser.add_argument("--execute-as-user")
    parser.add_argument("--nosetuid", action="store_true")
    parser.add_argument("--preserve_env", action="store_true")
    parser.add_argument("--runner-logger-destination", choices=("file", "console"), default="file")
    parser.add_argument("--runner-logger-mode", choices=("standard", "rotate"), default="standard")
    parser.add_argument("--runner-rotate-log-size-mb", type=int, default=100)
    parser.add_argument("--runner-rotate-log-backups", type=int, default=5)
    parser.add_argument("--stop_timeout_in_secs", type=int, default=120)
    options = parser.parse_args()
    unused = [n for n in (*WITHOUT_EFFECT, *WITHOUT_EFFECT_SWITCHES) if getattr(options, n.replace("-", "_"))]
    if unused:
        say("without effect in the embedded executor:", *unused)
    executor = Executor(options)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=executor.stop, daemon=True).start())
    executor.run()
    os._exit(0)

# SPDX-License-Identifier: GPL-3.0-or-later
"""thermos_executor: launched by the agent for each task, reports to it, and outlives its restarts."""

import argparse
import base64
import json
import os
import random
import signal
import sys
import threading
import time
import uuid

from . import mesos, thermos

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1, "mins": 60, "hrs": 3600, "days": 86400, "weeks": 604800}
STATES = {thermos.SUCCESS: "TASK_FINISHED", thermos.FAILED: "TASK_FAILED", thermos.KILLED: "TASK_KILLED"}
REFUSED = ("announcer-allow-custom-serverset-path", "announcer-zookeeper-auth-config")


def say(*words):
    print(time.strftime("%F %T"), *words, file=sys.stderr, flush=True)


def duration(name, default):
    text = os.environ.get(name, default)
    unit = text.lstrip("0123456789.")
    return float(text[:len(text) - len(unit)]) * SECONDS[unit]


class Executor:
    def __init__(self, options):
        self.options = options
        self.ids = {"framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]}, "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]}}
        self.lock = threading.RLock()
        self.stream = self.task = self.agent = None
        self.tasks, self.updates = {}, {}  # not yet acknowledged: task id -> TaskInfo, update uuid -> status
        self.offered = set()  # the updates that the current subscription carries
        self.killed = False
        self.ended, self.finished = threading.Event(), threading.Event()
        token = os.environ.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")
        self.authorization = f"Bearer {token}" if token else None

    def run(self):
        """Stay subscribed to the agent until the task's end is acknowledged, or the agent stays away for too long."""
        patience = duration("MESOS_RECOVERY_TIMEOUT", "15mins") if os.environ.get("MESOS_CHECKPOINT") == "1" else 0
        pause = min(1, duration("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"))
        last = time.time()
        while not self.finished.is_set():
            subscribed = False
            try:
                with self.lock:
                    self.offered = set(self.updates)
                    unacknowledged = {"unacknowledged_tasks": list(self.tasks.values()),
                                      "unacknowledged_updates": [{"status": u} for u in self.updates.values()]}
                stream = mesos.Stream(os.environ["MESOS_AGENT_ENDPOINT"], "/api/v1/executor",
                                      {"type": "SUBSCRIBE", **self.ids, "subscribe": unacknowledged}, self.authorization)
                subscribed = True
                for event in stream:
                    self.handle(stream, event)
                    if self.finished.is_set():
                        break
            except mesos.MesosError as error:
                say(error)
            with self.lock:
                self.stream = None
            last = time.time() if subscribed else last
            if time.time() - last > patience and not self.finished.is_set():
                say(f"no agent for {patience:g} s: stopping the task")
                self.stop()
            self.finished.wait(random.uniform(pause / 2, pause))  # noqa: S311

    def handle(self, stream, event):
        kind = event["type"]
        if kind == "SUBSCRIBED":
            with self.lock:
                self.stream, self.agent = stream, event["subscribed"]["agent_info"]
                for status in [u for key, u in self.updates.items() if key not in self.offered]:
                    self.send(status)  # made while the subscription was under way
            say("subscribed to the agent")
        elif kind == "LAUNCH":
            threading.Thread(target=self.launch, args=[event["launch"]["task"]], daemon=True).start()
        elif kind == "ACKNOWLEDGED":
            with self.lock:
                status = self.updates.pop(event["acknowledged"]["uuid"], {})
                self.tasks.pop(event["acknowledged"]["task_id"]["value"], None)
            if status.get("state") in STATES.values():
                self.finished.set()
        elif kind == "KILL":
            self.killed = True
            if self.task:
                self.task.kill()
        elif kind == "SHUTDOWN":
            threading.Thread(target=self.stop, daemon=True).start()
        elif kind == "ERROR":
            say(event["error"]["message"])

    def stop(self):
        if self.task:
            self.task.kill()
            self.ended.wait(self.options.stop_timeout_in_secs)
            self.finished.wait(2)  # for the last update's acknowledgement
        self.finished.set()

    def send(self, status):
        try:
            if not self.stream:
                raise mesos.MesosError("not subscribed")
            self.stream.call({"type": "UPDATE", **self.ids, "update": {"status": status}})
        except mesos.MesosError as error:
            say(f"{status['state']} is sent again later: {error}")

    def update(self, task_id, state, message=None):
        status = {"task_id": {"value": task_id}, "state": state, "source": "SOURCE_EXECUTOR", "timestamp": time.time(),
                  "uuid": base64.b64encode(uuid.uuid4().bytes).decode(), "executor_id": self.ids["executor_id"]}
        if message:
            status["message"] = message
        say(task_id, state, message or "")
        with self.lock:
            self.updates[status["uuid"]] = status
            self.send(status)

    def launch(self, info):
        task_id = info["task_id"]["value"]
        with self.lock:
            self.tasks[task_id] = info
        self.update(task_id, "TASK_STARTING", "Initializing sandbox.")
        try:
            assigned = json.loads(base64.b64decode(info["data"]))
            spec = json.loads(assigned["task"]["executorConfig"]["data"])["task"]
            values = {"mesos.instance": assigned["instanceId"], "mesos.hostname": self.agent["hostname"], "thermos.task_id": task_id,
                      "thermos.user": assigned["task"]["job"]["role"],
                      **{f"thermos.ports[{name}]": port for name, port in assigned["assignedPorts"].items()}}
            nosetuid = os.geteuid() != 0 or self.options.nosetuid
            user = thermos.pwd.getpwuid(os.geteuid()).pw_name if nosetuid else self.options.execute_as_user or assigned["task"]["job"]["role"]
            logger = {"destination": self.options.runner_logger_destination, "mode": self.options.runner_logger_mode,
                      "size": self.options.runner_rotate_log_size_mb * 1024**2, "backups": self.options.runner_rotate_log_backups}
            self.task = thermos.Task(spec, values, os.environ["MESOS_SANDBOX"], user, logger, self.options.preserve_env)
            self.task.prepare()
            if self.killed:
                self.task.kill()
            self.update(task_id, "TASK_RUNNING")
            state = self.task.run()
            failed = [p["name"] for p in self.task.processes.values() if p["state"] == thermos.FAILED]
            self.update(task_id, STATES[state], f"Failed processes: {', '.join(failed)}" if failed else None)
        except (thermos.TaskError, KeyError, ValueError, OSError) as error:
            self.update(task_id, "TASK_FAILED", f"{type(error).__name__}: {error}")
        self.ended.set()


def main():
    if sys.argv[1:2] == ["--run-process"]:
        sys.exit(thermos.run_process(json.loads(sys.argv[2])))
    parser = argparse.ArgumentParser(prog="thermos_executor", allow_abbrev=False)
    for name in ("announcer-ensemble", "announcer-serverset-path", "announcer-hostname"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--mesos-containerizer-path", help="no effect: there are no container images")
    parser.add_argument("--sandbox-mount-point", help="no effect: there are no container images")
    parser.add_argument("--no-create-user", action="store_true", help="no effect: users are never created")
    parser.add_argument("--nosetuid-health-checks", action="store_true", help="no effect: there are no health checks")
    parser.add_argument("--execute-as-user")
    parser.add_argument("--nosetuid", action="store_true")
    parser.add_argument("--preserve_env", action="store_true")
    parser.add_argument("--runner-logger-destination", choices=("file", "console", "both", "none"), default="file")
    parser.add_argument("--runner-logger-mode", choices=("standard", "rotate"), default="standard")
    parser.add_argument("--runner-rotate-log-size-mb", type=int, default=100)
    parser.add_argument("--runner-rotate-log-backups", type=int, default=5)
    parser.add_argument("--stop_timeout_in_secs", type=int, default=120)
    for name in REFUSED:
        parser.add_argument(f"--{name}", nargs="?", action="append", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in REFUSED:
        if getattr(options, name.replace("-", "_")):
            parser.error(f"--{name} is not supported: nothing is announced here")
    if options.announcer_ensemble:
        say("note: --announcer-* has no effect; jobs with `announce` are refused by the client")
    executor = Executor(options)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=executor.stop, daemon=True).start())
    executor.run()
    os._exit(0)

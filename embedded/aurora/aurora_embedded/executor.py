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

from . import flags, mesos, thermos

STATES = {thermos.SUCCESS: "TASK_FINISHED", thermos.FAILED: "TASK_FAILED", thermos.KILLED: "TASK_KILLED"}
# Upstream's flags about what does not exist here: containers, announcing, health checks, log rotation, made-up users.
WITHOUT_EFFECT = """
    announcer-ensemble announcer-serverset-path announcer-hostname announcer-zookeeper-auth-config
    announcer-allow-custom-serverset-path mesos-containerizer-path sandbox-mount-point no-create-user
    nosetuid-health-checks runner-logger-destination runner-logger-mode runner-rotate-log-size-mb
    runner-rotate-log-backups
"""


def say(*words):
    print(time.strftime("%F %T"), *words, file=sys.stderr, flush=True)


class Executor:
    def __init__(self, stop_timeout):
        self.stop_timeout = stop_timeout
        self.ids = {name: {"value": os.environ[f"MESOS_{name.upper()}"]} for name in ("framework_id", "executor_id")}
        self.lock = threading.RLock()
        self.stream = self.hostname = None
        self.tasks, self.updates = {}, {}  # what the agent has not acknowledged yet
        self.killed, self.ended, self.finished = threading.Event(), threading.Event(), threading.Event()
        self.ended.set()  # until a task begins

    def run(self):
        """Stay subscribed until the task's end is acknowledged, or the agent stays away for too long."""
        checkpointing = os.environ.get("MESOS_CHECKPOINT") == "1"
        recovery = os.environ.get("MESOS_RECOVERY_TIMEOUT", "15mins")
        patience = flags.amount(recovery, flags.SECONDS, r"[\d.]+") if checkpointing else 0
        last = time.time()
        while not self.finished.is_set():
            with self.lock:
                updates = [{"status": status} for status in self.updates.values()]
            again = {"unacknowledged_tasks": list(self.tasks.values()), "unacknowledged_updates": updates}
            body = {"type": "SUBSCRIBE", **self.ids, "subscribe": again}
            try:
                stream = mesos.Stream(os.environ["MESOS_AGENT_ENDPOINT"], "/api/v1/executor", body)
                for event in stream:
                    self.handle(stream, event["type"], event)
                    if self.finished.is_set():
                        return
            except mesos.MesosError as error:
                say(error)
            with self.lock:
                last, self.stream = time.time() if self.stream else last, None
            if time.time() - last > patience:
                say(f"no agent for {patience:g} s: stopping the task")
                self.stop()
            self.finished.wait(random.uniform(0.2, 1))  # noqa: S311 - spreads load, protects nothing

    def handle(self, stream, kind, event):
        if kind == "SUBSCRIBED":
            with self.lock:
                self.stream, self.hostname = stream, event["subscribed"]["agent_info"]["hostname"]
                for status in self.updates.values():  # some may be younger than the subscription; others do no harm
                    self.send(status)
        elif kind == "LAUNCH":
            info = event["launch"]["task"]
            self.tasks[info["task_id"]["value"]] = info
            self.ended.clear()
            threading.Thread(target=self.run_task, args=[info], daemon=True).start()
        elif kind == "ACKNOWLEDGED":
            with self.lock:
                status = self.updates.pop(event["acknowledged"]["uuid"], {})
                self.tasks.pop(event["acknowledged"]["task_id"]["value"], None)
            if status.get("state") in STATES.values():
                self.finished.set()
        elif kind == "KILL":
            self.killed.set()
        elif kind == "SHUTDOWN":
            threading.Thread(target=self.stop, daemon=True).start()
        elif kind == "ERROR":
            say(event["error"]["message"])

    def stop(self):
        self.killed.set()
        self.ended.wait(self.stop_timeout)
        self.finished.wait(2)  # for the acknowledgement of the last update
        self.finished.set()

    def send(self, status):
        try:
            if self.stream:
                self.stream.call({"type": "UPDATE", **self.ids, "update": {"status": status}})
        except mesos.MesosError as error:
            say(f"{status['state']} goes after the next subscription: {error}")

    def update(self, task_id, state, message=""):
        key = base64.b64encode(uuid.uuid4().bytes).decode()
        status = {"task_id": {"value": task_id}, "state": state, "message": message, "uuid": key}
        status |= {"timestamp": time.time(), "source": "SOURCE_EXECUTOR", "executor_id": self.ids["executor_id"]}
        say(task_id, state, message)
        with self.lock:
            self.updates[key] = status
            self.send(status)

    def run_task(self, info):
        task_id = info["task_id"]["value"]
        self.update(task_id, "TASK_STARTING", "Initializing sandbox.")
        try:
            assigned = json.loads(base64.b64decode(info["data"]))
            values = {"mesos.instance": assigned["instanceId"], "mesos.hostname": self.hostname}
            values["thermos.task_id"] = task_id
            values |= {f"thermos.ports[{name}]": port for name, port in assigned["assignedPorts"].items()}
            spec, role = json.loads(assigned["task"]["executorConfig"]["data"])["task"], assigned["task"]["job"]["role"]
            task = thermos.Task(spec, values, os.environ["MESOS_SANDBOX"], role, self.killed)
            task.prepare()
            self.update(task_id, "TASK_RUNNING")
            state = task.run()
            failed = ", ".join(p["name"] for p in task.processes.values() if p["state"] == thermos.FAILED)
            self.update(task_id, STATES[state], f"Failed processes: {failed}" if failed else "")
        except (KeyError, ValueError, OSError) as error:
            self.update(task_id, "TASK_FAILED", f"The task cannot run on this agent: {type(error).__name__}: {error}")
        self.ended.set()


def main():
    parser = argparse.ArgumentParser(prog="thermos_executor", allow_abbrev=False)
    flags.accept(parser, WITHOUT_EFFECT)
    parser.add_argument("--stop_timeout_in_secs", type=int, default=120)
    executor = Executor(parser.parse_args().stop_timeout_in_secs)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=executor.stop, daemon=True).start())
    executor.run()
    os._exit(0)

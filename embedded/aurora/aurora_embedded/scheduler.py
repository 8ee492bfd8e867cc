# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader: Mesos' events and the clients' wishes, turned into the states of tasks."""

import base64
import collections
import itertools
import json
import logging
import posixpath
import random
import re
import threading
import time
import uuid

from . import mesos, offers
from .store import Refused

log = logging.getLogger("scheduler")
WAITING = ("THROTTLED", "PENDING")
LAUNCHED = ("ASSIGNED", "STARTING", "RUNNING", "KILLING", "RESTARTING")
ACTIVE = (*WAITING, *LAUNCHED)
TERMINAL = ("FINISHED", "FAILED", "KILLED", "LOST")
STATES = {"TASK_STAGING": None, "TASK_KILLING": None}  # no news here
STATES.update({f"TASK_{name}": name for name in ("STARTING", "RUNNING", *TERMINAL)})  # and all others mean LOST


def job_of(task):
    return task["assignedTask"]["task"]["job"]


def path_of(key):
    return "{role}/{environment}/{name}".format_map(key)


class Scheduler:
    def __init__(self, flags, store, die, host, url):
        self.flags, self.store, self.die, self.host = flags, store, die, host
        self.lock, self.registered = threading.RLock(), threading.Event()
        self.stream, self.reasons = None, {}
        self.revive = False  # whether offers that were declined are wanted again
        self.framework = {"name": flags.framework_name, "user": flags.executor_user, "hostname": host, "webui_url": url}
        self.framework |= {"checkpoint": True, "failover_timeout": flags.framework_failover_timeout}
        now = time.time()
        explicit = now + flags.reconciliation_initial_delay
        implicit = explicit + flags.reconciliation_schedule_spread
        self.periodic = [  # [when next, pause, what]
            [explicit, flags.reconciliation_explicit_interval, self.reconcile_explicitly],
            [implicit, flags.reconciliation_implicit_interval, self.reconcile_implicitly],
            [now + flags.backup_interval, flags.backup_interval, self.backup],
            [now, flags.initial_task_kill_retry_interval, self.kill_again],
            [now + 60, 60, self.prune],
        ]

    def tasks(self, *states, job=None):
        return [t for t in self.store.tasks.values() if t["status"] in states and job in (None, job_of(t))]

    # --- Mesos -------------------------------------------------------------------------------------------------------

    def run_driver(self, find_master):
        """Subscribe, handle events, and do it again whenever the stream ends."""
        while True:
            try:
                master = find_master()
                if not master:
                    raise mesos.MesosError("no Mesos master leads")
                subscribe = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.framework}}
                if self.store.framework_id:
                    self.framework["id"] = subscribe["framework_id"] = {"value": self.store.framework_id}
                # Heartbeats come every 15 s; four missed mean that nobody is there.
                stream = mesos.Stream(master, "/api/v1/scheduler", subscribe, timeout=60)
                for event in stream:
                    with self.lock:
                        self.stream = stream
                        self.handle(event["type"], event)
            except mesos.MesosError as error:
                log.warning("%s", error)
            with self.lock:
                self.stream = None
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, protects nothing

    def handle(self, kind, event):
        if kind == "SUBSCRIBED":
            framework_id = event["subscribed"]["framework_id"]["value"]
            if framework_id != self.store.framework_id:
                self.store.set_framework_id(framework_id)
            log.info("registered with %s as %s", self.stream.address, framework_id)
            self.reconcile_explicitly()
            self.reconcile_implicitly()
            self.revive = True
            self.registered.set()
        elif kind == "OFFERS":
            self.place(event["offers"]["offers"])
        elif kind == "UPDATE":
            self.update(event["update"]["status"])
        elif kind == "ERROR":  # another scheduler has taken over, or the framework was removed
            hint = f"if it was removed on purpose, empty the znode {self.store.framework_path} to register a new one"
            self.die(f"Mesos refuses the framework: {event['error']['message']} ({hint})")

    def call(self, kind, **body):
        """Send a call. One that cannot be sent is made up for by reconciliation after the next subscription."""
        if self.stream:
            try:
                self.stream.call({"type": kind, "framework_id": {"value": self.store.framework_id}, **body})
            except mesos.MesosError as error:
                log.warning("%s", error)

    def update(self, status):
        task, state = self.store.tasks.get(status["task_id"]["value"]), STATES.get(status["state"], "LOST")
        if task and task["status"] in ACTIVE:
            self.transition(task, state, status.get("message"))
        elif state not in TERMINAL:
            log.warning("killing %s, which should not run", status["task_id"]["value"])
            self.call("KILL", kill={name: status[name] for name in ("task_id", "agent_id") if name in status})
        if status.get("uuid"):
            self.call("ACKNOWLEDGE", acknowledge={name: status[name] for name in ("agent_id", "task_id", "uuid")})

    @staticmethod
    def ids(task):
        assigned = task["assignedTask"]
        return {"task_id": {"value": assigned["taskId"]}, "agent_id": {"value": assigned["slaveId"]}}

    def reconcile_explicitly(self):
        tasks = [self.ids(task) for task in self.tasks(*LAUNCHED)]
        if tasks:  # an empty list would ask for all
            self.call("RECONCILE", reconcile={"tasks": tasks})

    def reconcile_implicitly(self):
        self.call("RECONCILE", reconcile={"tasks": []})

    # --- states of tasks ---------------------------------------------------------------------------------------------

    def new_task(self, config, instance, status="PENDING", message=None, **more):
        task_id = f"{path_of(config['job']).replace('/', '-')}-{instance}-{uuid.uuid4()}"
        assigned = {"taskId": task_id, "task": config, "instanceId": instance, "assignedPorts": {}}
        task = {"assignedTask": assigned, "failureCount": 0, "taskEvents": [], "ancestorId": None, "flaps": 0, **more}
        self.set_status(task, status, message)

    def set_status(self, task, status, message=None):
        event = {"timestamp": int(time.time() * 1000), "status": status, "message": message, "scheduler": self.host}
        task_id = task["assignedTask"]["taskId"]
        self.store.put(task_id, {**task, "status": status, "taskEvents": [*task["taskEvents"], event]})
        self.reasons.pop(task_id, None)
        log.info("%s is %s%s", task_id, status, f": {message}" if message else "")
        self.revive |= status == "PENDING"

    def transition(self, task, state, message=None):
        """A task reports its state: keep it, and decide whether its instance goes on in a new task."""
        before = task["status"]
        if state in TERMINAL:
            if before == "KILLING":
                state = "KILLED" if state == "LOST" else state
            elif before == "RESTARTING" or state in ("KILLED", "LOST") or task["assignedTask"]["task"]["isService"]:
                self.reschedule(task, state in ("FINISHED", "FAILED") and before != "RESTARTING")
        elif state in (None, before) or before not in ("ASSIGNED", "STARTING"):
            return
        self.set_status({**task, "failureCount": task["failureCount"] + (state == "FAILED")}, state, message)

    def reschedule(self, task, may_flap):
        """Stored before the task's own end: a leader that dies between the two must not lose the instance."""
        task_id, flags, now = task["assignedTask"]["taskId"], self.flags, time.time()
        if any(t["ancestorId"] == task_id for t in self.store.tasks.values()):
            return
        started = next((e["timestamp"] / 1000 for e in task["taskEvents"] if e["status"] == "RUNNING"), now)
        flaps = task["flaps"] + 1 if may_flap and now - started < flags.flapping_task_threshold else 0
        delay = min(flags.initial_flapping_task_delay * 2 ** min(flaps - 1, 30), flags.max_flapping_task_delay)
        more = {"failureCount": task["failureCount"], "ancestorId": task_id, "flaps": flaps, "notBefore": now + delay}
        message = f"Rescheduled, penalized for {delay:g} seconds for flapping" if flaps else "Rescheduled"
        config, instance = task["assignedTask"]["task"], task["assignedTask"]["instanceId"]
        self.new_task(config, instance, "THROTTLED" if flaps else "PENDING", message, **more)

    # --- placement ---------------------------------------------------------------------------------------------------

    def place(self, offered):
        """Give pending tasks any offer that suits them; decline what is left."""
        offered = [offers.Offer(offer) for offer in offered]
        executor = {"cpus": self.flags.thermos_executor_cpu, "mem": self.flags.thermos_executor_ram}
        for task in sorted(self.tasks("PENDING"), key=lambda task: task["taskEvents"][-1]["timestamp"]):
            config = task["assignedTask"]["task"]
            values, ports = offers.wanted(config)
            together = {name: value + executor.get(name, 0) for name, value in values.items()}
            vetoes = {offer: offer.vetoes(config["constraints"], together, len(ports)) for offer in offered}
            suitable = [offer for offer in offered if not vetoes[offer]]
            if suitable:
                self.assign(task, random.choice(suitable), values, ports, executor)  # noqa: S311 - spreads load, protects nothing
            else:
                self.reasons[task["assignedTask"]["taskId"]] = ", ".join(sorted({*itertools.chain(*vetoes.values())}))
        for offer in offered:
            body = {"offer_ids": [offer.id], "filters": {"refuse_seconds": self.flags.offer_filter_duration}}
            if offer.launches:
                launch = {"type": "LAUNCH", "launch": {"task_infos": offer.launches}}
                self.call("ACCEPT", accept={**body, "operations": [launch]})
            else:
                self.call("DECLINE", decline=body)

    def assign(self, task, offer, values, names, executor):
        """Write down where the task goes, then describe it to Mesos."""
        flags, task_id = self.flags, task["assignedTask"]["taskId"]
        resources, numbers = offer.take(values, len(names))
        assigned = {**task["assignedTask"], "slaveId": offer.agent_id["value"], "slaveHost": offer.hostname}
        assigned["assignedPorts"] = dict(zip(names, numbers, strict=True))
        self.set_status({**task, "assignedTask": assigned}, "ASSIGNED")
        uris = [flags.thermos_executor_path, *flags.thermos_executor_resources]
        program = f"${{MESOS_SANDBOX=.}}/{posixpath.basename(uris[0])} {flags.thermos_executor_flags or ''}".strip()
        command = {"value": program, "user": flags.executor_user}
        command["uris"] = [{"value": uri, "executable": True} for uri in uris]
        executor_id, (overhead, _none) = {"value": f"thermos-{task_id}"}, offer.take(executor)
        offer.launches.append(
            {
                "name": path_of(job_of(task)),
                "task_id": {"value": task_id},
                "agent_id": offer.agent_id,
                "resources": resources,
                "data": base64.b64encode(json.dumps(assigned).encode()).decode(),
                "executor": {"executor_id": executor_id, "command": command, "resources": overhead},
            }
        )

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self):
        """Twice a second: everything that time alone brings about."""
        now = time.time()
        for task in self.tasks("THROTTLED"):
            if task["notBefore"] <= now:
                self.set_status(task, "PENDING")
        for task in self.tasks("ASSIGNED", "KILLING", "RESTARTING"):
            if now - task["taskEvents"][-1]["timestamp"] / 1000 > self.flags.transient_task_state_timeout:
                self.transition(task, "LOST", f"{task['status']} for too long")
        if self.revive:
            self.call("REVIVE")
            self.revive = False
        for entry in [entry for entry in self.periodic if entry[0] <= now]:
            entry[0] = now + entry[1]
            entry[2]()

    def kill_again(self):
        for task in self.tasks("KILLING", "RESTARTING"):
            self.call("KILL", kill=self.ids(task))

    def backup(self):
        try:
            self.store.backup(self.flags.backup_dir, self.flags.max_saved_backups)
        except OSError as error:
            log.error("no backup: %s", error)

    def prune(self):
        """Forget tasks that ended long ago, or so many tasks of their job ago."""
        flags, younger = self.flags, collections.Counter()
        for task in sorted(self.tasks(*TERMINAL), key=lambda task: -task["taskEvents"][-1]["timestamp"]):
            age, job = time.time() - task["taskEvents"][-1]["timestamp"] / 1000, path_of(job_of(task))
            many = younger[job] >= flags.history_max_per_job_threshold and age > flags.history_min_retention_threshold
            if many or age > flags.history_prune_threshold:
                self.store.delete(task["assignedTask"]["taskId"])
            younger[job] += 1

    # --- clients -----------------------------------------------------------------------------------------------------

    def create(self, config, instances):
        """Take in a job: each of its instances becomes a pending task."""
        key, environments = config["job"], self.flags.allowed_job_environments
        for field in ("role", "environment", "name"):
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key[field]):
                raise Refused(f"Bad {field} {key[field]!r}: letters, digits, '_', '.' and '-' only, at most 64")
        if not environments.search(key["environment"]):
            raise Refused(f"Job environment {key['environment']} doesn't match: {environments.pattern}")
        if not 0 < instances <= self.flags.max_tasks_per_job:
            raise Refused(f"{instances} instances: at least 1 and at most {self.flags.max_tasks_per_job}")
        if not {"constraints", "executorConfig", "isService"} <= {*config} or not all(
            offers.wanted(config)[0].values()
        ):
            raise Refused("The task lacks constraints, executorConfig, isService, cpu, ram or disk")
        if self.tasks(*ACTIVE, job=key):
            raise Refused(f"Job already exists: {path_of(key)}")
        for instance in range(instances):
            self.new_task(config, instance)

    def stop_tasks(self, key, instances, status):
        """KILLING ends instances for good, RESTARTING makes a new task of each."""
        tasks = self.tasks(*ACTIVE, job=key)
        tasks = [t for t in tasks if instances is None or t["assignedTask"]["instanceId"] in instances]
        if not tasks:
            raise Refused("No active tasks found for the job and instances given")
        for task in tasks:
            if task["status"] in LAUNCHED and task["status"] != status:
                self.set_status(task, status)
                self.call("KILL", kill=self.ids(task))
            elif task["status"] in WAITING and status == "KILLING":
                self.store.delete(task["assignedTask"]["taskId"])

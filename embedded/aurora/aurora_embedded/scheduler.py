# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader: Mesos' events and the clients' wishes, turned into the states of tasks."""

import base64
import collections
import json
import logging
import posixpath
import random
import re
import threading
import time
import uuid

from . import mesos, offers

log = logging.getLogger("scheduler")
ACTIVE = ("THROTTLED", "PENDING", "ASSIGNED", "STARTING", "RUNNING", "KILLING", "RESTARTING")
TERMINAL = ("FINISHED", "FAILED", "KILLED", "LOST")
WAITING = ("THROTTLED", "PENDING")
FROM_MESOS = {"TASK_STARTING": "STARTING", "TASK_RUNNING": "RUNNING", "TASK_FINISHED": "FINISHED", "TASK_FAILED": "FAILED",
              "TASK_KILLED": "KILLED", "TASK_KILLING": None, "TASK_STAGING": None}  # all others: LOST
IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Refused(Exception):
    """A request that cannot be carried out; the message says why."""


def job_name(key):
    for field in ("role", "environment", "name"):
        if not isinstance(key, dict) or not IDENTIFIER.fullmatch(str(key.get(field, ""))):
            raise Refused(f"Job key has a bad {field}: letters, digits, '_', '.' and '-' only, at most 64")
    return ":".join((key["role"], key["environment"], key["name"]))


def owner(task):
    """The store's name of the job a task belongs to."""
    key = task["assignedTask"]["task"]["job"]
    return f"{key['role']}:{key['environment']}:{key['name']}"


class Scheduler:
    def __init__(self, flags, store, die, host, port):
        self.flags, self.store, self.die = flags, store, die
        self.lock = threading.RLock()
        self.stream = None
        self.registered = threading.Event()
        self.offers = {}  # agent id -> {offer id: (offer, when to give it back)}
        self.retry = {}  # task id -> (when to look at it again, delay used): scheduling penalties and kills
        self.reasons = {}  # task id -> why no offer suited it
        self.counters = collections.Counter()
        self.framework = {
            "name": flags.framework_name, "user": flags.executor_user, "checkpoint": True, "hostname": host,
            "failover_timeout": flags.framework_failover_timeout, "webui_url": f"http://{host}:{port}/scheduler"}
        if flags.mesos_role:
            self.framework["role"] = flags.mesos_role
        self.authorization = None
        if flags.framework_authentication_file:
            with open(flags.framework_authentication_file) as file:
                properties = dict(line.strip().split("=", 1) for line in file if "=" in line and line[0] != "#")
            principal = properties["aurora_authentication_principal"]
            self.authorization = mesos.basic(principal, properties["aurora_authentication_secret"])
            if flags.framework_announce_principal:
                self.framework["principal"] = principal
        now = time.time()
        spread = flags.reconciliation_schedule_spread
        self.due = {"explicit": now + flags.reconciliation_initial_delay, "backup": now + flags.backup_interval,
                    "implicit": now + flags.reconciliation_initial_delay + spread, "prune": now + 60}

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
                stream = mesos.Stream(master, "/api/v1/scheduler", subscribe, self.authorization, timeout=60)
                for event in stream:
                    with self.lock:
                        self.stream = stream
                        self.handle(event["type"], event)
            except mesos.MesosError as error:
                log.warning("%s", error)
            except Exception:  # state in doubt: let another scheduler take over from what is in ZooKeeper
                log.exception("cannot handle an event")
                self.die("the Mesos driver failed")
            with self.lock:
                self.stream = None
                self.offers.clear()
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    def handle(self, kind, event):
        if kind == "SUBSCRIBED":
            framework_id = event["subscribed"]["framework_id"]["value"]
            if framework_id != self.store.framework_id:
                self.store.set_framework_id(framework_id)
            log.info("registered with %s as %s", self.stream.address, framework_id)
            self.reconcile("explicit")
            self.registered.set()
        elif kind == "OFFERS":
            self.add_offers(event["offers"]["offers"])
        elif kind == "RESCIND":
            for held in self.offers.values():
                held.pop(event["rescind"]["offer_id"]["value"], None)
        elif kind == "UPDATE":
            self.update(event["update"]["status"])
        elif kind == "ERROR":
            self.die(f"Mesos refuses the framework: {event['error']['message']} (if it was removed on purpose, delete the "
                     f"znode {self.store.root}/framework to register a new one)")
        elif kind == "FAILURE":
            log.info("agent or executor failed: %s", event["failure"])

    def call(self, kind, **body):
        """Send a call; without a stream it is dropped, and reconciliation or a retry makes up for it."""
        if self.stream is None:
            return
        try:
            self.stream.call({"type": kind, "framework_id": {"value": self.store.framework_id}, **body})
        except mesos.MesosError as error:
            log.warning("%s", error)

    def update(self, status):
        task_id, state = status["task_id"]["value"], FROM_MESOS.get(status["state"], "LOST")
        task = self.store.tasks.get(task_id)
        if task is None or task["status"] in TERMINAL:
            if state not in TERMINAL:
                log.warning("killing %s, which should not run", task_id)
                self.call("KILL", kill={k: status[k] for k in ("task_id", "agent_id") if k in status})
        elif state:
            self.transition(task, state, status.get("message") or None)
        if status.get("uuid"):
            self.call("ACKNOWLEDGE", acknowledge={k: status[k] for k in ("agent_id", "task_id", "uuid")})

    def reconcile(self, kind):
        tasks = [t["assignedTask"] for t in self.store.tasks.values() if t["status"] in ACTIVE and t["status"] not in WAITING]
        known = [{"task_id": {"value": t["taskId"]}, "agent_id": {"value": t["slaveId"]}} for t in tasks]
        if kind == "implicit" or known:
            self.call("RECONCILE", reconcile={"tasks": [] if kind == "implicit" else known})
        self.counters[f"reconciliation_{kind}_runs"] += 1

    def add_offers(self, new):
        for offer in new:
            until = time.time() + self.flags.min_offer_hold_time + random.uniform(0, self.flags.offer_hold_jitter_window)  # noqa: S311
            self.offers.setdefault(offer["agent_id"]["value"], {})[offer["id"]["value"]] = (offer, until)
        self.counters["scheduler_resource_offers"] += len(new)
        for task_id in [i for i in self.retry if self.store.tasks.get(i, {}).get("status") == "PENDING"]:
            del self.retry[task_id]  # something new may fit
        self.schedule()

    # --- tasks -------------------------------------------------------------------------------------------------------

    def new_task(self, config, instance, status="PENDING", message=None, **more):
        key = config["job"]
        task_id = f"{key['role']}-{key['environment']}-{key['name']}-{instance}-{uuid.uuid4()}"
        task = {"assignedTask": {"taskId": task_id, "task": config, "instanceId": instance, "assignedPorts": {}},
                "status": "INIT", "failureCount": 0, "taskEvents": [], "ancestorId": None, "flaps": 0, **more}
        self.set_status(task, status, message)

    def set_status(self, task, status, message=None):
        event = {"timestamp": int(time.time() * 1000), "status": status, "message": message, "scheduler": self.framework["hostname"]}
        changed = {**task, "status": status, "taskEvents": task["taskEvents"] + [event]}
        task_id = task["assignedTask"]["taskId"]
        self.store.put("tasks", task_id, changed)
        self.retry.pop(task_id, None)
        self.reasons.pop(task_id, None)
        log.info("%s: %s -> %s%s", task_id, task["status"], status, f" ({message})" if message else "")
        return changed

    def transition(self, task, state, message=None):
        """A task reports its state: keep it, and decide whether the instance lives on in a new task."""
        before = task["status"]
        if state == before or (before in ("RUNNING", "KILLING", "RESTARTING") and state in ("STARTING", "RUNNING")):
            return
        config = task["assignedTask"]["task"]
        failures = task["failureCount"] + (state == "FAILED")
        again = (state in ("KILLED", "LOST") or config["isService"] or before == "RESTARTING"
                 or (state == "FAILED" and (config["maxTaskFailures"] == -1 or failures < config["maxTaskFailures"])))
        if state in TERMINAL and before == "KILLING":
            state = "KILLED" if state == "LOST" else state
        elif state in TERMINAL and again:
            # The heir is stored first: a scheduler that dies between the two writes must not lose the instance.
            started = next((e["timestamp"] for e in task["taskEvents"] if e["status"] == "RUNNING"), None)
            short = started is None or time.time() - started / 1000 < self.flags.flapping_task_threshold
            flaps = task["flaps"] + 1 if short and before != "RESTARTING" and state in ("FINISHED", "FAILED") else 0
            delay = min(self.flags.initial_flapping_task_delay * 2 ** min(flaps - 1, 30), self.flags.max_flapping_task_delay)
            heir = {"failureCount": failures, "ancestorId": task["assignedTask"]["taskId"], "flaps": flaps}
            if not self.heirs(task):
                if flaps:
                    heir["notBefore"] = time.time() + delay
                    self.new_task(config, task["assignedTask"]["instanceId"], "THROTTLED", f"Rescheduled in {delay:g} s", **heir)
                else:
                    self.new_task(config, task["assignedTask"]["instanceId"], "PENDING", "Rescheduled", **heir)
        self.set_status({**task, "failureCount": failures}, state, message)
        if state in TERMINAL and not [t for t in self.of_job(owner(task)) if t["status"] in ACTIVE]:
            self.store.delete("jobs", owner(task))

    def heirs(self, task):
        return [t for t in self.store.tasks.values() if t["ancestorId"] == task["assignedTask"]["taskId"]]

    def of_job(self, name):
        return [t for t in self.store.tasks.values() if owner(t) == name]

    def schedule(self):
        """Give every pending task that is due the first agent that suits it."""
        now = time.time()
        pending = [t for t in self.store.tasks.values()
                   if t["status"] == "PENDING" and self.retry.get(t["assignedTask"]["taskId"], (0, 0))[0] <= now]
        if not pending or self.stream is None:
            return
        pools = {agent: offers.Pool([o for o, _until in held.values()]) for agent, held in self.offers.items() if held}
        launches = collections.defaultdict(list)
        first = {agent: next(iter(held.values()))[0] for agent, held in self.offers.items() if held}
        pending.sort(key=lambda t: (not t["assignedTask"]["task"]["production"], -t["assignedTask"]["task"]["priority"],
                                    t["taskEvents"][-1]["timestamp"]))
        for task in pending:
            config, task_id = task["assignedTask"]["task"], task["assignedTask"]["taskId"]
            values, ports = offers.wanted(config)
            extra = {"cpus": self.flags.thermos_executor_cpu, "mem": self.flags.thermos_executor_ram}
            needs = {name: value + extra.get(name, 0) for name, value in values.items()}
            active = [t["attributes"] for t in self.of_job(owner(task)) if t["status"] in ACTIVE and "attributes" in t
                      ] if config["constraints"] else []
            reasons = set()
            for agent in random.sample(list(pools), len(pools)):
                has = offers.attributes(first[agent])
                why = offers.vetoes(config, has, active) or [f"Insufficient: {n}" for n in pools[agent].lacks(needs, len(ports))]
                if not why:
                    break
                reasons.update(why)
            else:
                self.counters["schedule_attempts_no_match"] += 1
                self.reasons[task_id] = ", ".join(sorted(reasons)) or "No offers"
                delay = self.retry.get(task_id, (0, self.flags.initial_schedule_penalty / 2))[1] * 2
                delay = min(delay, self.flags.max_schedule_penalty)
                self.retry[task_id] = (now + delay, delay)
                continue
            taken, numbers = pools[agent].take_ports(len(ports))
            assigned = {**task["assignedTask"], "slaveId": agent, "slaveHost": first[agent]["hostname"],
                        "assignedPorts": dict(zip(ports, numbers, strict=True))}
            changed = {**task, "assignedTask": assigned, "attributes": {k: sorted(v) for k, v in has.items()}}
            self.set_status(changed, "ASSIGNED")
            launches[agent].append(self.task_info(assigned, pools[agent], values, extra, taken))
        for agent, infos in launches.items():
            held = self.offers.pop(agent)
            self.call("ACCEPT", accept={
                "offer_ids": [{"value": i} for i in held], "filters": {"refuse_seconds": 0},
                "operations": [{"type": "LAUNCH", "launch": {"task_infos": infos}}]})

    def task_info(self, assigned, pool, values, extra, ports):
        flags, task_id = self.flags, assigned["taskId"]
        uris = [{"value": u, "executable": True} for u in [flags.thermos_executor_path, *flags.thermos_executor_resources]]
        command = f"${{MESOS_SANDBOX=.}}/{posixpath.basename(flags.thermos_executor_path)} {flags.thermos_executor_flags or ''}"
        executor = {"executor_id": {"value": f"thermos-{task_id}"}, "name": "aurora.task", "source": ".".join(
            [*(assigned["task"]["job"][k] for k in ("role", "environment", "name")), str(assigned["instanceId"])]),
            "command": {"value": command.strip(), "uris": uris, "user": flags.executor_user}, "resources": pool.take(extra)}
        data = base64.b64encode(json.dumps(assigned).encode()).decode()
        return {"name": f"{assigned['task']['job']['role']}/{assigned['task']['job']['environment']}/{assigned['task']['job']['name']}",
                "task_id": {"value": task_id}, "agent_id": {"value": assigned["slaveId"]}, "executor": executor, "data": data,
                "resources": pool.take(values) + ports}

    def tick(self):
        """Twice a second: everything that time alone brings about."""
        with self.lock:
            now = time.time()
            for task in list(self.store.tasks.values()):
                task_id, since = task["assignedTask"]["taskId"], task["taskEvents"][-1]["timestamp"] / 1000
                if task["status"] == "THROTTLED" and task.get("notBefore", 0) <= now:
                    self.set_status(task, "PENDING")
                elif task["status"] in ("ASSIGNED", "KILLING", "RESTARTING"):
                    if now - since > self.flags.transient_task_state_timeout:
                        self.counters["timed_out_tasks"] += 1
                        self.transition(task, "LOST", f"{task['status']} for too long")
                    elif task["status"] != "ASSIGNED" and self.retry.get(task_id, (0, 0))[0] <= now:
                        self.send_kill(task)
            self.schedule()
            for held in self.offers.values():
                old = [i for i, (_offer, until) in held.items() if until < now and not self.flags.hold_offers_forever]
                for offer_id in old:
                    del held[offer_id]
                if old:
                    self.call("DECLINE", decline={"offer_ids": [{"value": i} for i in old],
                                                  "filters": {"refuse_seconds": self.flags.offer_filter_duration}})
            for kind in [k for k, when in self.due.items() if when <= now]:
                self.due[kind] = now + 60
                if kind == "backup":
                    self.due[kind] = now + self.flags.backup_interval
                    self.store.backup(self.flags.backup_dir, self.flags.max_saved_backups)
                elif kind == "prune":
                    self.prune(now)
                else:
                    self.due[kind] = now + getattr(self.flags, f"reconciliation_{kind}_interval")
                    self.reconcile(kind)

    def send_kill(self, task):
        task_id, assigned = task["assignedTask"]["taskId"], task["assignedTask"]
        delay = self.retry.get(task_id, (0, self.flags.initial_task_kill_retry_interval / 2))[1] * 2
        self.retry[task_id] = (time.time() + delay, delay)
        self.call("KILL", kill={"task_id": {"value": task_id}, "agent_id": {"value": assigned["slaveId"]}})

    def prune(self, now):
        done = collections.defaultdict(list)
        for task in self.store.tasks.values():
            if task["status"] in TERMINAL:
                done[owner(task)].append((now - task["taskEvents"][-1]["timestamp"] / 1000, task["assignedTask"]["taskId"]))
        for ended in done.values():
            for rank, (age, task_id) in enumerate(sorted(ended)):
                many = rank >= self.flags.history_max_per_job_threshold and age > self.flags.history_min_retention_threshold
                if many or age > self.flags.history_prune_threshold:
                    self.store.delete("tasks", task_id)

    # --- wishes of clients -------------------------------------------------------------------------------------------

    def create(self, job):
        name, config = job_name(job["key"]), job["taskConfig"]
        if job.get("cronSchedule"):
            raise Refused("Cron jobs are not supported by the embedded scheduler")
        if not self.flags.allowed_job_environments.search(job["key"]["environment"]):
            raise Refused(f"Job environment {job['key']['environment']} doesn't match: {self.flags.allowed_job_environments.pattern}")
        if not 0 < job["instanceCount"] <= self.flags.max_tasks_per_job:
            raise Refused(f"Instance count must be from 1 to {self.flags.max_tasks_per_job}, not {job['instanceCount']}")
        if config["job"] != job["key"] or min(offers.wanted(config)[0].values()) <= 0:
            raise Refused("The task must carry its job's key and ask for some cpu, ram and disk")
        config = {"isService": bool(config.get("isService")), "production": bool(config.get("production")), "constraints": [],
                  "priority": 0, "maxTaskFailures": 1, **config}
        if name in self.store.jobs:
            raise Refused(f"Job already exists: {job['key']['role']}/{job['key']['environment']}/{job['key']['name']}")
        for instance in range(job["instanceCount"]):
            self.new_task(config, instance)
        self.store.put("jobs", name, {**job, "taskConfig": config})  # last: from here on the job exists
        self.schedule()

    def forget_unfinished(self):
        """After a takeover: drop the tasks of a job whose creation was cut short."""
        for task in [t for t in self.store.tasks.values() if t["status"] in WAITING and owner(t) not in self.store.jobs]:
            self.store.delete("tasks", task["assignedTask"]["taskId"])

    def stop_tasks(self, key, instances, status, message):
        """KILLING ends an instance, RESTARTING makes a new task of it. Returns how many were told."""
        tasks = [t for t in self.of_job(job_name(key)) if t["status"] in ACTIVE
                 and (instances is None or t["assignedTask"]["instanceId"] in instances)]
        for task in tasks:
            if task["status"] not in WAITING and task["status"] != status:
                self.send_kill(self.set_status(task, status, message))
            elif task["status"] in WAITING and status == "KILLING":
                self.store.delete("tasks", task["assignedTask"]["taskId"])
        if not [t for t in self.of_job(job_name(key)) if t["status"] in ACTIVE] and job_name(key) in self.store.jobs:
            self.store.delete("jobs", job_name(key))
        return len(tasks)

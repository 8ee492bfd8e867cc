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
WAITING = ("THROTTLED", "PENDING")
ACTIVE = (*WAITING, "ASSIGNED", "STARTING", "RUNNING", "KILLING", "RESTARTING")
TERMINAL = ("FINISHED", "FAILED", "KILLED", "LOST")
STATES = {"TASK_STAGING": None, "TASK_KILLING": None}  # no news here
STATES.update({f"TASK_{name}": name for name in ("STARTING", "RUNNING", *TERMINAL)})  # and all others mean LOST
IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Refused(Exception):
    """A request that cannot be carried out; the message says why."""


def job_name(key):
    """The store's name of a job."""
    for field in ("role", "environment", "name"):
        if not IDENTIFIER.fullmatch(key[field]):
            raise Refused(f"Bad {field} {key[field]!r}: letters, digits, '_', '.' and '-' only, at most 64")
    return f"{key['role']}:{key['environment']}:{key['name']}"


class Scheduler:
    def __init__(self, flags, store, die, host, port):
        self.flags, self.store, self.die = flags, store, die
        self.lock = threading.RLock()
        self.registered = threading.Event()
        self.stream = self.authorization = None
        self.agents, self.reasons, self.kills = {}, {}, {}
        self.revive = True  # whether offers that were declined are wanted again
        self.counters = collections.Counter()
        self.framework = {
            "name": flags.framework_name,
            "user": flags.executor_user,
            "checkpoint": True,
            "failover_timeout": flags.framework_failover_timeout,
            "hostname": host,
            "webui_url": f"http://{host}:{port}/scheduler",
        }
        if flags.mesos_role:
            self.framework["role"] = flags.mesos_role
        if flags.framework_authentication_file:
            with open(flags.framework_authentication_file) as file:
                properties = dict(line.strip().split("=", 1) for line in file if "=" in line and line[0] != "#")
            principal = properties["aurora_authentication_principal"]
            self.authorization = mesos.basic(principal, properties["aurora_authentication_secret"])
            if flags.framework_announce_principal:
                self.framework["principal"] = principal
        explicit = time.time() + flags.reconciliation_initial_delay
        self.due = {
            "explicit": explicit,
            "implicit": explicit + flags.reconciliation_schedule_spread,
            "backup": time.time() + flags.backup_interval,
            "prune": time.time() + 60,
        }
        # A job counts as created once its own znode exists, which is written last.
        for task in [t for t in self.tasks(*WAITING) if self.job_of(t) not in store.jobs]:
            store.delete("tasks", task["assignedTask"]["taskId"])

    def tasks(self, *states, job=None):
        return [t for t in self.store.tasks.values() if t["status"] in states and job in (None, self.job_of(t))]

    @staticmethod
    def job_of(task):
        return "{role}:{environment}:{name}".format_map(task["assignedTask"]["task"]["job"])

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
            except Exception:  # in doubt, start again from what is in ZooKeeper
                log.exception("cannot handle an event")
                self.die("the Mesos driver failed")
            with self.lock:
                self.stream = None
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    def handle(self, kind, event):
        if kind == "SUBSCRIBED":
            framework_id = event["subscribed"]["framework_id"]["value"]
            if framework_id != self.store.framework_id:
                self.store.set_framework_id(framework_id)
            log.info("registered with %s as %s", self.stream.address, framework_id)
            self.reconcile("explicit")
            self.reconcile("implicit")
            self.revive = True
            self.registered.set()
        elif kind == "OFFERS":
            self.place(event["offers"]["offers"])
        elif kind == "UPDATE":
            self.update(event["update"]["status"])
        elif kind == "ERROR":  # another scheduler has taken over, or the framework was removed
            hint = f"if it was removed on purpose, delete the znode {self.store.root}/framework to register a new one"
            self.die(f"Mesos refuses the framework: {event['error']['message']} ({hint})", at_once=True)

    def call(self, kind, **body):
        """Send a call. One that cannot be sent is made up for by reconciliation after the next subscription."""
        if self.stream:
            try:
                self.stream.call({"type": kind, "framework_id": {"value": self.store.framework_id}, **body})
            except mesos.MesosError as error:
                log.warning("%s", error)

    def update(self, status):
        task_id, state = status["task_id"]["value"], STATES.get(status["state"], "LOST")
        task = self.store.tasks.get(task_id)
        if task and task["status"] in ACTIVE:
            self.transition(task, state, status.get("message"))
        elif state not in TERMINAL:
            log.warning("killing %s, which should not run", task_id)
            self.call("KILL", kill={name: status[name] for name in ("task_id", "agent_id") if name in status})
        if status.get("uuid"):
            self.call("ACKNOWLEDGE", acknowledge={name: status[name] for name in ("agent_id", "task_id", "uuid")})

    def reconcile(self, kind):
        tasks = [t["assignedTask"] for t in self.tasks(*ACTIVE[2:])] if kind == "explicit" else []
        known = [{"task_id": {"value": t["taskId"]}, "agent_id": {"value": t["slaveId"]}} for t in tasks]
        if known or kind == "implicit":
            self.call("RECONCILE", reconcile={"tasks": known})
        self.counters[f"reconciliation_{kind}_runs"] += 1

    def new_task(self, config, instance, status="PENDING", message=None, **more):
        key = config["job"]
        task_id = f"{key['role']}-{key['environment']}-{key['name']}-{instance}-{uuid.uuid4()}"
        assigned = {"taskId": task_id, "task": config, "instanceId": instance, "assignedPorts": {}}
        task = {"assignedTask": assigned, "failureCount": 0, "taskEvents": [], "ancestorId": None, "flaps": 0, **more}
        self.set_status(task, status, message)

    def set_status(self, task, status, message=None):
        event = {"timestamp": int(time.time() * 1000), "status": status, "message": message}
        event["scheduler"] = self.framework["hostname"]
        task_id = task["assignedTask"]["taskId"]
        self.store.put("tasks", task_id, {**task, "status": status, "taskEvents": [*task["taskEvents"], event]})
        self.reasons.pop(task_id, None)
        log.info("%s is %s%s", task_id, status, f": {message}" if message else "")
        self.revive |= status == "PENDING"
        return self.store.tasks[task_id]

    def transition(self, task, state, message=None):
        """A task reports its state: keep it, and decide whether its instance goes on in a new task."""
        before, config = task["status"], task["assignedTask"]["task"]
        if state in (None, before) or (state not in TERMINAL and before not in ("ASSIGNED", "STARTING")):
            return
        task = {**task, "failureCount": task["failureCount"] + (state == "FAILED")}
        retries = config["maxTaskFailures"] == -1 or task["failureCount"] < config["maxTaskFailures"]
        again = state in ("KILLED", "LOST") or config["isService"] or (state == "FAILED" and retries)
        if before == "KILLING":
            state = "KILLED" if state == "LOST" else state
        elif state in TERMINAL and (again or before == "RESTARTING"):
            self.reschedule(task, state in ("FINISHED", "FAILED") and before != "RESTARTING")
        self.set_status(task, state, message)
        self.forget_ended_job(self.job_of(task))

    def forget_ended_job(self, name):
        if name in self.store.jobs and not self.tasks(*ACTIVE, job=name):
            self.store.delete("jobs", name)

    def reschedule(self, task, may_flap):
        """Stored before the task's own end: a leader that dies between the two must not lose the instance."""
        task_id = task["assignedTask"]["taskId"]
        if any(t["ancestorId"] == task_id for t in self.store.tasks.values()):
            return
        started = next((e["timestamp"] / 1000 for e in task["taskEvents"] if e["status"] == "RUNNING"), time.time())
        flaps = task["flaps"] + 1 if may_flap and time.time() - started < self.flags.flapping_task_threshold else 0
        delay = min(
            self.flags.initial_flapping_task_delay * 2 ** min(flaps - 1, 30), self.flags.max_flapping_task_delay
        )
        more = {"failureCount": task["failureCount"], "ancestorId": task_id, "flaps": flaps}
        config, instance = task["assignedTask"]["task"], task["assignedTask"]["instanceId"]
        if flaps:
            message = f"Rescheduled, penalized for {delay:g} seconds for flapping"
            self.new_task(config, instance, "THROTTLED", message, notBefore=time.time() + delay, **more)
        else:
            self.new_task(config, instance, "PENDING", "Rescheduled", **more)

    def place(self, new):
        """Give pending tasks the first offered agent that suits them; decline what is left."""
        by_agent, launches = collections.defaultdict(list), collections.defaultdict(list)
        for offer in new:
            by_agent[offer["agent_id"]["value"]].append(offer)
            self.agents[offer["hostname"]] = offers.attributes(offer)
        self.counters["scheduler_resource_offers"] += len(new)
        pools = {agent: offers.Pool(held) for agent, held in by_agent.items()}
        pending = sorted(self.tasks("PENDING"), key=lambda t: t["taskEvents"][-1]["timestamp"])
        pending.sort(
            key=lambda t: (t["assignedTask"]["task"]["production"], t["assignedTask"]["task"]["priority"]), reverse=True
        )
        around = collections.defaultdict(list)  # job -> the attributes of the agents its tasks are on
        for task in self.tasks(*ACTIVE[2:]):
            around[self.job_of(task)].append(task["attributes"])
        for task in pending:
            agent = self.choose(task, by_agent, pools, around[self.job_of(task)])
            if agent:
                launches[agent].append(self.assign(task, by_agent[agent][0], pools[agent]))
                around[self.job_of(task)].append(offers.attributes(by_agent[agent][0]))
        for agent, held in by_agent.items():
            body = {
                "offer_ids": [o["id"] for o in held],
                "filters": {"refuse_seconds": self.flags.offer_filter_duration},
            }
            if agent in launches:
                launch = [{"type": "LAUNCH", "launch": {"task_infos": launches[agent]}}]
                self.call("ACCEPT", accept={**body, "operations": launch})
            else:
                self.call("DECLINE", decline=body)

    def needs(self, config):
        """(the task's resources, its executor's, both together, the names of its ports)"""
        values, ports = offers.wanted(config)
        executor = {"cpus": self.flags.thermos_executor_cpu, "mem": self.flags.thermos_executor_ram}
        return values, executor, {name: values[name] + executor.get(name, 0) for name in values}, ports

    def choose(self, task, by_agent, pools, around):
        config, reasons = task["assignedTask"]["task"], set()
        _values, _executor, together, ports = self.needs(config)
        for agent in random.sample(list(by_agent), len(by_agent)):
            has = offers.attributes(by_agent[agent][0])
            why = offers.vetoes(config, has, around)
            why += [f"Insufficient: {name}" for name in pools[agent].lacks(together, len(ports))]
            if not why:
                return agent
            reasons.update(why)
        self.reasons[task["assignedTask"]["taskId"]] = ", ".join(sorted(reasons))
        return None

    def assign(self, task, offer, pool):
        """Write down where the task goes, then describe it to Mesos."""
        flags, config, task_id = self.flags, task["assignedTask"]["task"], task["assignedTask"]["taskId"]
        values, executor, _together, names = self.needs(config)
        ports, numbers = pool.take_ports(len(names))
        assigned = {**task["assignedTask"], "slaveId": offer["agent_id"]["value"], "slaveHost": offer["hostname"]}
        assigned["assignedPorts"] = dict(zip(names, numbers, strict=True))
        self.set_status({**task, "assignedTask": assigned, "attributes": offers.attributes(offer)}, "ASSIGNED")
        command = f"${{MESOS_SANDBOX=.}}/{posixpath.basename(flags.thermos_executor_path)} {flags.thermos_executor_flags or ''}"
        uris = [flags.thermos_executor_path, *flags.thermos_executor_resources]
        job = ".".join([*self.job_of(task).split(":"), str(assigned["instanceId"])])
        return {
            "name": job,
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "resources": pool.take(values) + ports,
            "data": base64.b64encode(json.dumps(assigned).encode()).decode(),
            "executor": {
                "executor_id": {"value": f"thermos-{task_id}"},
                "name": "aurora.task",
                "source": job,
                "resources": pool.take(executor),
                "command": {
                    "value": command.strip(),
                    "user": flags.executor_user,
                    "uris": [{"value": uri, "executable": True} for uri in uris],
                },
            },
        }

    def tick(self):
        """Twice a second: everything that time alone brings about."""
        now = time.time()
        for task in self.tasks("THROTTLED"):
            if task["notBefore"] <= now:
                self.set_status(task, "PENDING")
        for task in self.tasks("ASSIGNED", "KILLING", "RESTARTING"):
            if now - task["taskEvents"][-1]["timestamp"] / 1000 > self.flags.transient_task_state_timeout:
                self.counters["timed_out_tasks"] += 1
                self.transition(task, "LOST", f"{task['status']} for too long")
            elif task["status"] != "ASSIGNED":
                self.kill(task, now)
        if self.revive:
            self.call("REVIVE")
            self.revive = False
        for kind in [kind for kind, when in self.due.items() if when <= now]:
            if kind == "backup":
                try:
                    self.store.backup(self.flags.backup_dir, self.flags.max_saved_backups)
                except OSError as error:
                    self.counters["scheduler_backup_failed"] += 1
                    log.error("no backup: %s", error)
            elif kind == "prune":
                self.prune(now)
            else:
                self.reconcile(kind)
            interval = {"backup": "backup_interval"}.get(kind, f"reconciliation_{kind}_interval")
            self.due[kind] = now + getattr(self.flags, interval, 60)

    def kill(self, task, now):
        """Ask for a task's end, again and again with growing pauses."""
        task_id = task["assignedTask"]["taskId"]
        when, pause = self.kills.get(task_id, (0, self.flags.initial_task_kill_retry_interval))
        if when <= now:
            self.kills[task_id] = (now + pause, pause * 2)
            agent = {"value": task["assignedTask"]["slaveId"]}
            self.call("KILL", kill={"task_id": {"value": task_id}, "agent_id": agent})

    def prune(self, now):
        done, flags = collections.defaultdict(list), self.flags
        for task in self.tasks(*TERMINAL):
            age = now - task["taskEvents"][-1]["timestamp"] / 1000
            done[self.job_of(task)].append((age, task["assignedTask"]["taskId"]))
        for ended in done.values():
            for rank, (age, task_id) in enumerate(sorted(ended)):
                many = rank >= flags.history_max_per_job_threshold and age > flags.history_min_retention_threshold
                if many or age > flags.history_prune_threshold:
                    self.store.delete("tasks", task_id)
                    self.kills.pop(task_id, None)

    def create(self, job):
        name, config = (
            job_name(job["key"]),
            {"constraints": [], "priority": 0, "maxTaskFailures": 1, **job["taskConfig"]},
        )
        config = {"isService": False, "production": False, **config}
        environments = self.flags.allowed_job_environments
        if not environments.search(job["key"]["environment"]):
            raise Refused(f"Job environment {job['key']['environment']} doesn't match: {environments.pattern}")
        if not 0 < job["instanceCount"] <= self.flags.max_tasks_per_job:
            raise Refused(f"{job['instanceCount']} instances: at least 1 and at most {self.flags.max_tasks_per_job}")
        if job.get("cronSchedule"):
            raise Refused("Cron jobs are not supported by the embedded scheduler")
        if config["job"] != job["key"] or min(offers.wanted(config)[0].values()) <= 0:
            raise Refused("The task must carry its job's key and ask for some cpu, ram and disk")
        if name in self.store.jobs:
            raise Refused(f"Job already exists: {name.replace(':', '/')}")
        for instance in range(job["instanceCount"]):
            self.new_task(config, instance)
        self.store.put("jobs", name, {**job, "taskConfig": config})

    def stop_tasks(self, key, instances, status, message):
        """KILLING ends instances for good, RESTARTING makes a new task of each."""
        name = job_name(key)
        tasks = [
            t
            for t in self.tasks(*ACTIVE, job=name)
            if instances is None or t["assignedTask"]["instanceId"] in instances
        ]
        if not tasks:
            raise Refused("No active tasks found for the job and instances given")
        for task in tasks:
            if task["status"] not in (*WAITING, status):
                self.kill(self.set_status(task, status, message), time.time())
            elif task["status"] in WAITING and status == "KILLING":
                self.store.delete("tasks", task["assignedTask"]["taskId"])
        self.forget_ended_job(name)

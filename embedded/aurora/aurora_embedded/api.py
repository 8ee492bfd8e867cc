# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's HTTP: health, metrics, the JSON calls of the clients and the pages a person reads."""

import collections
import json
import time

from . import VERSION, web
from .scheduler import ACTIVE, TERMINAL, Refused
from .store import TooLarge

STATES = ("IDLE", "PREPARING_STORAGE", "STORAGE_PREPARED", "LEADER_AWAITING_REGISTRATION", "ACTIVE", "DEAD")
LEADER_ONLY = ("scheduler", "apibeta", "agents", "slaves", "maintenance")
INTERNAL = ("attributes", "flaps", "notBefore")
JOB = ("role", "environment", "name")


def metrics(program):
    """What /vars shows; names as upstream's wherever the meaning is the same."""
    values = {"jvm_uptime_secs": round(time.time() - program.started, 1), "scheduler_version": VERSION}
    values["http_500_responses_events"] = program.server.errors
    values["framework_registered"] = int(program.state == "ACTIVE")
    values["zk_connection_state_CONNECTED"] = int(bool(program.zk and program.zk.connected))
    values.update({f"scheduler_lifecycle_{state}": int(program.state == state) for state in STATES})
    values.update({f"flag_{k}": v for k, v in program.flags.given.items() if k != "zk_digest_credentials"})
    if program.scheduler:
        with program.scheduler.lock:
            count = collections.Counter(task["status"] for task in program.scheduler.store.tasks.values())
            values.update(
                {f"task_store_{state}": count[state] for state in ACTIVE + TERMINAL}, **program.scheduler.counters
            )
    return values


def matches(task, query):
    assigned = task["assignedTask"]
    have = {"jobName" if name == "name" else name: assigned["task"]["job"][name] for name in JOB}
    among = {"taskIds": assigned["taskId"], "statuses": task["status"], "instanceIds": assigned["instanceId"]}
    exact = all(query.get(name) in (None, value) for name, value in have.items())
    return exact and all(not query.get(name) or value in query[name] for name, value in among.items())


def perform(scheduler, name, arguments):
    """One call of the API: its result, or Refused."""
    store, flags, result = scheduler.store, scheduler.flags, {}
    if name == "createJob":
        scheduler.create(arguments["description"])
    elif name == "getTasksStatus":
        found = [task for task in store.tasks.values() if matches(task, arguments.get("query") or {})]
        public = [{k: v for k, v in task.items() if k not in INTERNAL} for task in found]
        result = {"scheduleStatusResult": {"tasks": public}}
    elif name == "getJobs":
        role = arguments.get("ownerRole")
        result = {"getJobsResult": {"configs": [j for j in store.jobs.values() if role in (None, j["key"]["role"])]}}
    elif name in ("killTasks", "restartShards"):
        status, instances = ("KILLING", "instances") if name == "killTasks" else ("RESTARTING", "shardIds")
        scheduler.stop_tasks(arguments["job"], arguments.get(instances), status, arguments.get("message"))
    elif name == "performBackup":
        result = {"backup": store.backup(flags.backup_dir, flags.max_saved_backups)}
    elif name == "listBackups":
        result = {"listBackupsResult": {"backups": store.backups(flags.backup_dir)}}
    elif name in ("triggerExplicitTaskReconciliation", "triggerImplicitTaskReconciliation"):
        scheduler.reconcile("explicit" if "Explicit" in name else "implicit")
    elif name != "snapshot":  # nothing to do: every change is in ZooKeeper before it counts, there is no log to compact
        raise Refused(f"The call {name} is not supported by the embedded scheduler")
    return result


class Api(web.Handler):
    program = None  # set by the program that serves

    def route(self, method, parts, _query):
        head, program = parts[0] if parts else "scheduler", self.program
        if head == "health":
            self.send(200, "OK")
        elif head == "leaderhealth":
            code = 200 if program.state == "ACTIVE" else 503 if program.leader() else 502
            self.send(code, "OK\n" if code == 200 else "Not leading\n")
        elif head in ("vars", "vars.json"):
            self.send_vars(head, metrics(program))
        elif head in ("quitquitquit", "abortabortabort"):
            self.send(200 if method == "POST" else 405, "" if method == "POST" else "POST only\n")
            if method == "POST":
                program.stop(at_once=head == "abortabortabort")
        elif head not in LEADER_ONLY:
            self.send(404, f"The embedded scheduler has no /{head}\n")
        elif program.state != "ACTIVE":
            leader = program.leader()
            if leader and leader != program.endpoint:
                self.send(307, "", Location=f"http://{leader[0]}:{leader[1]}{self.path}")
            else:
                self.send(503, "No leader found, not redirecting\n")
        elif head == "apibeta":
            self.api(method, parts[1:])
        else:
            with program.scheduler.lock:
                getattr(self, f"page_{head}")(program.scheduler, parts[1:])

    def api(self, method, parts):
        # A page of another site cannot post this type without the browser asking first.
        if method != "POST" or len(parts) != 1 or self.headers.get_content_type() != "application/json":
            self.send(400, "POST /apibeta/CALL with application/json\n")
            return
        answer = {"responseCode": "OK", "serverInfo": {"clusterName": self.program.flags.cluster_name}, "details": []}
        try:
            with self.program.scheduler.lock:
                answer["result"] = perform(self.program.scheduler, parts[0], json.loads(self.body or b"{}"))
                self.send_json(answer)
        except (Refused, TooLarge, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            meant = isinstance(error, (Refused, TooLarge, OSError))
            message = str(error) if meant else f"Malformed request: {type(error).__name__}: {error}"
            self.send_json({**answer, "responseCode": "INVALID_REQUEST", "details": [{"message": message}]})

    def page_scheduler(self, scheduler, where):
        """All jobs, those of a role or environment, or the tasks of one, by the length of the path."""
        keyed = [
            ([task["assignedTask"]["task"]["job"][name] for name in JOB], task)
            for task in scheduler.store.tasks.values()
        ]
        inside = [(key, task) for key, task in keyed if key[: len(where)] == where]
        shown = {"cluster": self.program.flags.cluster_name, "where": where}
        if where and not inside:
            self.send(404, "No such role or job\n")
        elif len(where) < 3:
            groups = collections.defaultdict(collections.Counter)
            for key, task in inside:
                groups["/".join(key)].update([task["status"], "active" if task["status"] in ACTIVE else "ended"])
            self.send_page("jobs.html", groups=sorted(groups.items()), **shown)
        else:
            tasks = sorted(
                (t for _key, t in inside),
                key=lambda t: (t["assignedTask"]["instanceId"], -t["taskEvents"][-1]["timestamp"]),
            )
            active, ended = ([t for t in tasks if t["status"] in states] for states in (ACTIVE, TERMINAL))
            self.send_page("job.html", active=active, ended=ended, reasons=scheduler.reasons, **shown)

    def page_agents(self, scheduler, _where):
        hosts = [t["assignedTask"]["slaveHost"] for t in scheduler.tasks(*ACTIVE) if "slaveHost" in t["assignedTask"]]
        agents = {
            host: {"tasks": hosts.count(host), "attributes": scheduler.agents.get(host, {})}
            for host in {*hosts, *scheduler.agents}
        }
        self.send_page("agents.html", agents=agents)

    page_slaves = page_agents

    def page_maintenance(self, _scheduler, _where):
        self.send_page("maintenance.html")

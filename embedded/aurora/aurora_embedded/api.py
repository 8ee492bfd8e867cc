# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's HTTP: health, metrics, the JSON calls of the clients and the pages a person reads."""

import collections
import json
import re
import time

from . import VERSION, store, web
from .scheduler import ACTIVE, TERMINAL, job_of, path_of

STATES = ("IDLE", "PREPARING_STORAGE", "STORAGE_PREPARED", "LEADER_AWAITING_REGISTRATION", "ACTIVE", "DEAD")
LIMIT = 4 * 1024 * 1024  # of a call's body
INTERNAL = ("flaps", "notBefore", "attributes")


def find(scheduler, query):
    """Tasks, by any of role, environment, jobName and lists of instanceIds and statuses."""
    found = []
    for task in scheduler.store.tasks.values():
        job, instance = job_of(task), task["assignedTask"]["instanceId"]
        have = {"role": job["role"], "environment": job["environment"], "jobName": job["name"]}
        have |= {"instanceIds": instance, "statuses": task["status"]}
        if all(v in (None, have[k]) or (isinstance(v, list) and have[k] in v) for k, v in query.items()):
            found.append({k: v for k, v in task.items() if k not in INTERNAL})
    return found


# name -> function of the scheduler and the call's arguments; it gives the answer or raises store.Refused
CALLS = {
    "createJob": lambda s, description: s.create(description["taskConfig"], description["instanceCount"]),
    "getTasksStatus": find,
    "killTasks": lambda s, job, instances: s.stop_tasks(job, instances, "KILLING"),
    "restartShards": lambda s, job, shardIds: s.stop_tasks(job, shardIds, "RESTARTING"),
    "performBackup": lambda s: s.store.backup(s.flags.backup_dir, s.flags.max_saved_backups),
    "listBackups": lambda s: store.backups(s.flags.backup_dir),
    "triggerExplicitTaskReconciliation": lambda s: s.reconcile_explicitly(),
    "triggerImplicitTaskReconciliation": lambda s: s.reconcile_implicitly(),
}


class Api(web.Handler):
    program = None  # set by the program that serves
    home = "scheduler"

    def check(self, head):
        """What only the leader answers is sent on to it."""
        program = self.program
        if head in ("scheduler", "apibeta") and program.state != "ACTIVE":
            leader = program.leader()
            if leader in (None, program.address):
                raise web.Problem(503, "No leader found, not redirecting")
            raise web.Problem(307, f"{leader} leads", Location=f"http://{leader}{self.path}")

    def get_leaderhealth(self, _parts):
        if self.program.state != "ACTIVE":
            raise web.Problem(503 if self.program.leader() else 502, "Not leading")
        self.send(200, "OK\n")

    def metrics(self):
        """Names as upstream's wherever the meaning is the same."""
        program = self.program
        values = {"jvm_uptime_secs": round(time.time() - program.started, 1), "scheduler_version": VERSION}
        values["http_500_responses_events"] = self.server.errors
        values["framework_registered"] = int(program.state == "ACTIVE")
        values["zk_connection_state_CONNECTED"] = int(bool(program.zk and program.zk.connected))
        values |= {f"scheduler_lifecycle_{state}": int(program.state == state) for state in STATES}
        given = {k: v for k, v in program.flags.given.items() if k != "zk_digest_credentials"}
        values |= {f"flag_{k}": re.sub("//[^/]*@", "//", v) for k, v in given.items()}  # zk://user:password@…
        if program.scheduler:
            with program.scheduler.lock:
                count = collections.Counter(task["status"] for task in program.scheduler.store.tasks.values())
            values |= {f"task_store_{state}": count[state] for state in ACTIVE + TERMINAL}
        return values

    def post_apibeta(self, parts):
        # A page of another site cannot post this type without the browser asking first.
        if self.headers.get_content_type() != "application/json" or len(parts) != 1:
            raise web.Problem(400, "POST /apibeta/CALL with application/json")
        length, call = int(self.headers.get("Content-Length") or 0), CALLS.get(parts[0])
        if length > LIMIT or not call:
            raise web.Problem(
                413 if call else 404, f"A call has at most {LIMIT} bytes and is one of {', '.join(CALLS)}"
            )
        try:
            arguments = json.loads(self.rfile.read(length) or b"{}")
            with self.program.scheduler.lock:
                answer = call(self.program.scheduler, **arguments)
        except (store.Refused, OSError) as error:
            raise web.Problem(400, str(error)) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise web.Problem(400, f"Malformed request: {error!r}") from error
        self.send_json(answer)

    def get_scheduler(self, where):
        """All jobs, those of a role or environment, or the tasks of one, by the length of the path."""
        scheduler = self.program.scheduler
        with scheduler.lock:
            tasks, reasons = list(scheduler.store.tasks.values()), dict(scheduler.reasons)
        tasks = [t for t in tasks if path_of(job_of(t)).split("/")[: len(where)] == where]
        shown = {"cluster": self.program.flags.cluster_name, "where": where}
        if where and not tasks:
            raise web.Problem(404, "No such role or job")
        if len(where) < 3:
            groups = collections.defaultdict(collections.Counter)
            for task in tasks:
                state = "active" if task["status"] in ACTIVE else "ended"
                groups[path_of(job_of(task))].update([task["status"], state])
            self.send_page("jobs.html", groups=sorted(groups.items()), **shown)
        else:
            tasks.sort(key=lambda t: (t["assignedTask"]["instanceId"], -t["taskEvents"][-1]["timestamp"]))
            active, ended = ([t for t in tasks if t["status"] in states] for states in (ACTIVE, TERMINAL))
            self.send_page("job.html", active=active, ended=ended, reasons=reasons, **shown)

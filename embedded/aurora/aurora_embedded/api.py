# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's HTTP: health, metrics, the JSON calls of the clients and the pages a person reads."""

import collections
import json
import time

from . import VERSION, web
from .scheduler import ACTIVE, TERMINAL, Refused
from .store import TooLarge

STATES = ("IDLE", "PREPARING_STORAGE", "STORAGE_PREPARED", "LEADER_AWAITING_REGISTRATION", "ACTIVE", "DEAD")
LEADER_ONLY = ("scheduler", "apibeta", "agents", "slaves", "maintenance", "offers", "pendingtasks")
NOT_HERE = ("api", "cron", "quotas", "tiers", "utilization", "updates", "mname", "state", "structdump", "contention",
            "graphdata", "graphview", "logconfig", "threads", "services")
INTERNAL = ("attributes", "flaps", "notBefore")


def public(task):
    return {k: v for k, v in task.items() if k not in INTERNAL}


def metrics(process):
    """What /vars shows; names as upstream's wherever the meaning is the same."""
    values = {"jvm_uptime_secs": round(time.time() - process.started, 1), "http_500_responses_events": process.server.errors,
              "framework_registered": int(process.state == "ACTIVE"), "zk_connection_state_CONNECTED": int(process.zk_connected()),
              "scheduler_version": VERSION}
    values.update({f"scheduler_lifecycle_{s}": int(process.state == s) for s in STATES})
    values.update({f"flag_{k}": v for k, v in process.flags.given.items() if k != "zk_digest_credentials"})
    if process.scheduler:
        with process.scheduler.lock:
            count = collections.Counter(t["status"] for t in process.scheduler.store.tasks.values())
            values.update({f"task_store_{s}": count[s] for s in ACTIVE + TERMINAL})
            values.update(process.scheduler.counters)
            values["outstanding_offers"] = sum(len(held) for held in process.scheduler.offers.values())
    return values


def calls(scheduler, name, arguments):
    """One call of the API: its result, or Refused."""
    store, flags = scheduler.store, scheduler.flags
    if name == "createJob":
        scheduler.create(arguments["description"])
        return {}
    if name == "getTasksStatus":
        query = arguments.get("query") or {}
        found = [public(t) for t in store.tasks.values() if matches(t, query)]
        return {"scheduleStatusResult": {"tasks": found, "reasons": {
            i: r for i, r in scheduler.reasons.items() if any(t["assignedTask"]["taskId"] == i for t in found)}}}
    if name == "getJobs":
        return {"getJobsResult": {"configs": [j for j in store.jobs.values() if arguments.get("ownerRole") in (None, j["key"]["role"])]}}
    if name in ("killTasks", "restartShards"):
        instances = arguments.get("instances" if name == "killTasks" else "shardIds")
        verb, status = ("killed", "KILLING") if name == "killTasks" else ("restarted", "RESTARTING")
        if not scheduler.stop_tasks(arguments["job"], instances, status, arguments.get("message") or f"Task {verb} by a client"):
            raise Refused("No active tasks found for the job or instances given")
        return {}
    if name == "performBackup":
        return {"backup": store.backup(flags.backup_dir, flags.max_saved_backups)}
    if name == "listBackups":
        return {"listBackupsResult": {"backups": store.backups(flags.backup_dir)}}
    if name == "snapshot":
        return {}  # every change is in ZooKeeper before it is acknowledged: there is no log to compact
    if name in ("triggerExplicitTaskReconciliation", "triggerImplicitTaskReconciliation"):
        scheduler.reconcile("explicit" if "Explicit" in name else "implicit")
        return {}
    raise Refused(f"The call {name} is not supported by the embedded scheduler")


def matches(task, query):
    assigned = task["assignedTask"]
    key = assigned["task"]["job"]
    have = {"role": key["role"], "environment": key["environment"], "jobName": key["name"]}
    among = {"taskIds": assigned["taskId"], "statuses": task["status"], "instanceIds": assigned["instanceId"],
             "slaveHosts": assigned.get("slaveHost")}
    return (all(query.get(k) in (None, v) for k, v in have.items())
            and all(not query.get(k) or v in query[k] for k, v in among.items()))


class Api(web.Handler):
    process = None  # the running scheduler program, set by main

    def route(self, method, parts, query):
        head = parts[0] if parts else ""
        if head == "":
            self.send(302, "", Location="/scheduler")
        elif head == "health":
            self.send(200, "OK")
        elif head == "leaderhealth":
            leads = self.process.state == "ACTIVE"
            self.send(200 if leads else 503 if self.process.leader() else 502, "OK\n" if leads else "Not leading\n")
        elif head in ("vars", "vars.json"):
            self.send_vars(metrics(self.process), head == "vars.json")
        elif head in ("quitquitquit", "abortabortabort"):
            if method != "POST":
                self.send(405, "POST only\n", Allow="POST")
            else:
                self.send(200, "")
                self.process.stop(abort=head == "abortabortabort")
        elif head in NOT_HERE:
            self.send(501, f"/{head} is not part of the embedded scheduler.\n")
        elif head not in LEADER_ONLY:
            self.send(404, f"No page /{head}\n")
        elif self.process.state != "ACTIVE":
            leader = self.process.leader()
            if leader and leader != self.process.endpoint:
                self.send(307, "", Location=f"http://{leader[0]}:{leader[1]}{self.path}")
            else:
                self.send(503, "No leader found, not redirecting\n")
        elif head == "apibeta":
            self.api(method, parts)
        else:
            with self.process.scheduler.lock:
                body = getattr(self, f"page_{'agents' if head == 'slaves' else head}")(parts[1:])
            self.send(*((404, "No such page\n") if body is None else (200, body)))

    def api(self, method, parts):
        # A web page elsewhere cannot send this type without the browser asking first.
        if method != "POST" or len(parts) != 2 or self.headers.get_content_type() != "application/json":
            self.send(400, "POST /apibeta/CALL with application/json\n")
            return
        answer = {"responseCode": "OK", "serverInfo": {"clusterName": self.process.flags.cluster_name}, "details": []}
        try:
            with self.process.scheduler.lock:
                answer["result"] = calls(self.process.scheduler, parts[1], json.loads(self.body or b"{}"))
                text = json.dumps(answer)
        except (Refused, TooLarge, ValueError, KeyError, TypeError, AttributeError) as error:
            bad = str(error) if isinstance(error, (Refused, TooLarge)) else f"Malformed request: {type(error).__name__}: {error}"
            text = json.dumps({**answer, "responseCode": "INVALID_REQUEST", "details": [{"message": bad}]})
        self.send(200, text, "application/json")

    # --- pages -------------------------------------------------------------------------------------------------------

    def page_scheduler(self, where):
        scheduler, cluster = self.process.scheduler, self.process.flags.cluster_name
        trail = [("/scheduler", f"cluster {cluster}")] + [("/scheduler/" + "/".join(map(web.quote, where[:n])), where[n - 1])
                                                          for n in range(1, len(where) + 1)]
        keys = ("role", "environment", "name")
        if len(where) > 3:
            return None
        inside = [t for t in scheduler.store.tasks.values() if all(t["assignedTask"]["task"]["job"][k] == w
                                                                  for k, w in zip(keys, where, strict=False))]
        if where and not inside:
            return None
        if len(where) == 3:
            return web.page(f"Job {'/'.join([cluster, *where])}", *self.job(inside), trail=trail)
        groups = collections.defaultdict(collections.Counter)
        for task in inside:
            job = tuple(task["assignedTask"]["task"]["job"][k] for k in keys)
            groups[job if where else job[:1]][task["status"]] += 1
        rows = [[web.link("/scheduler/" + "/".join(map(web.quote, name)), "/".join(name)), sum(c[s] for s in ACTIVE), c["RUNNING"],
                 c["PENDING"] + c["THROTTLED"], sum(c[s] for s in TERMINAL)] for name, c in sorted(groups.items())]
        others = web.Raw(f"<p>{web.link('/agents', 'Agents')} · {web.link('/maintenance', 'Maintenance')} · "
                         f"{web.link('/pendingtasks', 'Pending tasks')} · {web.link('/vars', 'Metrics')}</p>")
        title = f"Jobs of {'/'.join(where)}" if where else f"Aurora cluster {cluster} (embedded scheduler)"
        return web.page(title, others, web.table(["Job" if where else "Role", "Active", "Running", "Waiting", "Ended"], rows), trail=trail)

    def job(self, tasks):
        def row(task):
            assigned, host = task["assignedTask"], task["assignedTask"].get("slaveHost")
            events = web.Raw("<br>".join(
                web.escape(f"{time.strftime('%F %T', time.gmtime(e['timestamp'] / 1000))} {e['status']} {e['message'] or ''}")
                for e in task["taskEvents"][-6:]))
            sandbox = web.link(f"http://{host}:1338/task/{assigned['taskId']}", "sandbox") if host else ""
            reason = self.process.scheduler.reasons.get(assigned["taskId"], "") if task["status"] == "PENDING" else ""
            ports = ", ".join(f"{k}: {v}" for k, v in assigned["assignedPorts"].items())
            return [assigned["instanceId"], web.Raw(f"{web.status(task['status'])} {web.escape(reason)}"), host or "", sandbox, ports,
                    assigned["taskId"], events]
        tasks.sort(key=lambda t: (t["assignedTask"]["instanceId"], -t["taskEvents"][-1]["timestamp"]))
        for title, states in (("Active tasks", ACTIVE), ("Ended tasks", TERMINAL)):
            yield web.Raw(f"<h2>{title}</h2>")
            yield web.table(["Instance", "Status", "Host", "", "Ports", "Task", "Events (UTC)"],
                            [row(t) for t in tasks if t["status"] in states])

    def page_agents(self, _where):
        hosts = collections.defaultdict(list)
        for task in self.process.scheduler.store.tasks.values():
            if task["status"] in ACTIVE and "slaveHost" in task["assignedTask"]:
                hosts[task["assignedTask"]["slaveHost"]].append(task)
        held = {o["hostname"]: o for offers in self.process.scheduler.offers.values() for o, _until in offers.values()}
        rows = []
        for host in sorted({*hosts, *held}):
            attributes = [f"{a['name']}:{a.get('text', {}).get('value', '')}" for a in held.get(host, {}).get("attributes", [])]
            rows.append([host, len(hosts[host]), ", ".join(attributes), "offered" if host in held else "",
                         web.link(f"http://{host}:1338/", "observer")])
        return web.page("Agents", web.table(["Host", "Active tasks", "Attributes", "Resources", ""], rows), trail=[("/scheduler", "jobs")])

    def page_maintenance(self, _where):
        return web.page("Maintenance", web.Raw("<p>The embedded scheduler has no maintenance of hosts: use Mesos' own.</p>"),
                        trail=[("/scheduler", "jobs")])

    def page_pendingtasks(self, _where):
        scheduler = self.process.scheduler
        return [{"taskId": i, "reason": scheduler.reasons.get(i, ""), "penaltyMs": int(1000 * scheduler.retry.get(i, (0, 0))[1])}
                for i, t in scheduler.store.tasks.items() if t["status"] == "PENDING"]

    def page_offers(self, _where):
        return [o for held in self.process.scheduler.offers.values() for o, _until in held.values()]

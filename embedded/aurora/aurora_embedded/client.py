# SPDX-License-Identifier: GPL-3.0-or-later
"""`aurora` and `aurora-admin`: command lines, finding the leading scheduler, exit codes as upstream's."""

import argparse
import difflib
import http.client
import json
import logging
import os
import re
import sys
import time
import urllib.parse
from pathlib import Path

from . import VERSION

OK, BAD_CONFIG, FAILED, BAD_COMMAND, BAD_PARAMETER, NETWORK, TIMEOUT, API_ERROR, UNKNOWN, INTERRUPTED = 0, 3, 4, 5, 6, 7, 9, 10, 20, 130
ACTIVE = ("THROTTLED", "PENDING", "ASSIGNED", "STARTING", "RUNNING", "KILLING", "RESTARTING")
REFUSED_JOB = ("add", "open")
REFUSED_NOUNS = ("update", "cron", "task", "quota", "config", "beta-update", "sla")
REFUSED_ADMIN = ("get_cluster_config", "get_locks", "get_quota", "host_activate", "host_deactivate", "host_drain", "host_status",
                 "increase_quota", "prune_tasks", "scheduler_commit_recovery", "scheduler_delete_recovery_tasks",
                 "scheduler_print_recovery_tasks", "scheduler_stage_recovery", "scheduler_unload_recovery", "set_quota",
                 "sla_host_drain", "sla_list_safe_domain", "sla_probe_hosts")


class Exit(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Exit(BAD_COMMAND if "invalid choice" in message else BAD_PARAMETER, f"{self.prog}: {message}")


def clusters():
    """name -> entry of clusters.json, the user's own over the machine's."""
    found = {}
    for path in (Path(os.environ.get("AURORA_CONFIG_ROOT", "/etc/aurora"), "clusters.json"), Path.home() / ".aurora/clusters.json"):
        try:
            data = json.loads(path.read_text()) if path.exists() else []
            found.update({e["name"]: e for e in (data.values() if isinstance(data, dict) else data) if "name" in e})
        except (OSError, ValueError, TypeError) as error:
            raise Exit(BAD_CONFIG, f"{path}: {error}") from None
    return found


def find_scheduler(name):
    """host:port of a cluster's leading scheduler."""
    known = clusters()
    if name not in known:
        raise Exit(BAD_PARAMETER, f"Unknown cluster {name}; clusters.json has: {', '.join(sorted(known)) or 'none'}")
    entry = known[name]
    if entry.get("auth_mechanism", "UNAUTHENTICATED") != "UNAUTHENTICATED":
        raise Exit(BAD_CONFIG, f"auth_mechanism {entry['auth_mechanism']} is not supported by the embedded client")
    if entry.get("scheduler_uri"):
        return urllib.parse.urlsplit(entry["scheduler_uri"]).netloc
    if not entry.get("zk") or not entry.get("scheduler_zk_path"):
        raise Exit(BAD_CONFIG, f"Cluster {name} needs zk and scheduler_zk_path (or scheduler_uri) in clusters.json")
    from kazoo.handlers.threading import KazooTimeoutError

    from . import store
    hosts = ",".join(h if ":" in h else f"{h}:{entry.get('zk_port', 2181)}" for h in entry["zk"].split(","))
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    try:
        client = store.connect(hosts, session=10, wait=10)
    except KazooTimeoutError:
        raise Exit(NETWORK, f"No scheduler found: ZooKeeper at {hosts} does not answer") from None
    try:
        leader = store.leader(client, entry["scheduler_zk_path"])
    finally:
        client.stop()
    if not leader:
        raise Exit(NETWORK, f"No scheduler found at {entry['scheduler_zk_path']} in ZooKeeper {hosts}: none leads, or the path is "
                            f"not the scheduler's -serverset_path")
    return "{}:{}".format(*leader)


class Api:
    def __init__(self, cluster):
        self.address = find_scheduler(cluster)

    def call(self, name, **arguments):
        try:
            for _hop in range(3):
                connection = http.client.HTTPConnection(self.address, timeout=30)
                connection.request("POST", f"/apibeta/{name}", json.dumps(arguments), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
                if answer.status != 307:
                    break
                self.address = urllib.parse.urlsplit(answer.headers["Location"]).netloc
        except (OSError, http.client.HTTPException) as error:
            raise Exit(NETWORK, f"Scheduler {self.address} does not answer: {error}") from None
        if answer.status != 200:
            raise Exit(NETWORK if answer.status == 503 else API_ERROR, f"Scheduler {self.address}: {answer.status} {text.decode().strip()}")
        result = json.loads(text)
        if result["responseCode"] != "OK":
            raise Exit(FAILED, "; ".join(d["message"] for d in result["details"]))
        return result["result"]

    def tasks(self, key, **more):
        query = {"role": key[1], "environment": key[2], "jobName": key[3], **more}
        return self.call("getTasksStatus", query=query)["scheduleStatusResult"]["tasks"]


def job_key(text):
    parts = text.split("/")
    if len(parts) != 4 or not all(parts):
        raise Exit(BAD_PARAMETER, f"{text!r} is not a job key CLUSTER/ROLE/ENV/NAME")
    return parts


def instance_key(text):
    """CLUSTER/ROLE/ENV/NAME[/0,2-5] -> key, instances or None for all."""
    parts = text.split("/")
    if len(parts) == 5 and parts[4] != "all":
        if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", parts[4]):
            raise Exit(BAD_PARAMETER, f"{parts[4]!r} is not a list of instances such as 0,2-5")
        ends = [[int(n) for n in span.split("-")] for span in parts[4].split(",")]
        return job_key("/".join(parts[:4])), [n for span in ends for n in range(span[0], span[-1] + 1)]
    return job_key("/".join(parts[:4])), None


def wait(what, done, limit):
    end = time.time() + limit
    while not done():
        if time.time() > end:
            raise Exit(TIMEOUT, f"{what}: not within {limit} s")
        time.sleep(0.5)


def read_config(options):
    from . import config
    bindings = []
    for text in options.bind:
        name, equals, value = text.partition("=")
        if not equals:
            raise Exit(BAD_PARAMETER, f"--bind {text!r} is not NAME=VALUE")
        bindings.append((name, value))
    try:
        return config.load(options.file, "/".join(job_key(options.key)), bindings)
    except config.ConfigError as error:
        raise Exit(BAD_CONFIG, f"Error loading configuration: {error}") from None


def create(options):
    job, key = read_config(options), job_key(options.key)
    api = Api(key[0])
    try:
        api.call("createJob", description=job)
    except Exit as error:
        raise Exit(error.code, f"Job creation failed due to error:\n\t{error}") from None
    if options.wait_until != "PENDING":
        def done():
            last = {}
            for task in sorted(api.tasks(key), key=lambda t: t["taskEvents"][-1]["timestamp"]):
                last[task["assignedTask"]["instanceId"]] = task["status"]
            if not set(last.values()) - {"FAILED", "KILLED", "LOST"}:
                raise Exit(FAILED, f"Job {options.key} ended: {', '.join(sorted(set(last.values())))}")
            wanted = {"RUNNING", "FINISHED"} if options.wait_until == "RUNNING" else {"FINISHED"}
            return set(last.values()) <= wanted
        wait(f"Job {options.key} is not {options.wait_until}", done, options.timeout)
    print(f"Job create succeeded: job url=http://{api.address}/scheduler/{'/'.join(key[1:])}")


def status(options):
    key = job_key(options.key)
    tasks = Api(key[0]).tasks(key)
    active, inactive = ([t for t in tasks if (t["status"] in ACTIVE) == wanted] for wanted in (True, False))
    if options.write_json:
        print(json.dumps([{"job": "/".join(key), "active": active, "inactive": inactive}] if tasks else
                         {"error": "No matching jobs found"}, indent=2))
        return
    if not tasks:
        raise Exit(BAD_PARAMETER, f"Found no jobs matching {options.key}")
    for title, group in (("Active", active), ("Inactive", inactive)):
        print(f"{title} tasks ({len(group)}):")
        for task in sorted(group, key=lambda t: t["assignedTask"]["instanceId"]):
            assigned, amounts = task["assignedTask"], {k: v for r in task["assignedTask"]["task"]["resources"] for k, v in r.items()}
            print(f"\tTask role: {key[1]}, env: {key[2]}, name: {key[3]}, instance: {assigned['instanceId']}, status: {task['status']} on "
                  f"{assigned.get('slaveHost', 'no host yet')}\n\t  task id: {assigned['taskId']}\n\t  CPU: {amounts['numCpus']} core(s), "
                  f"RAM: {amounts['ramMb']} MB, Disk: {amounts['diskMb']} MB\n\t  events:")
            for event in task["taskEvents"]:
                print(time.strftime("\t   %F %T UTC", time.gmtime(event["timestamp"] / 1000)), f"{event['status']}: {event['message'] or ''}")


def kill(options, everything=False):
    key, instances = (job_key(options.key), None) if everything else instance_key(options.key)
    if not everything and options.key.count("/") < 4:
        raise Exit(BAD_PARAMETER, "kill needs instances, CLUSTER/ROLE/ENV/NAME/0,2-5; killall kills the whole job")
    api = Api(key[0])
    if not [t for t in api.tasks(key, instanceIds=instances) if t["status"] in ACTIVE]:
        raise Exit(BAD_PARAMETER, f"No active tasks of {options.key}")
    api.call("killTasks", job=dict(zip(("role", "environment", "name"), key[1:], strict=True)), instances=instances, message=options.message)
    if not options.no_wait:
        wait("tasks still end", lambda: not [t for t in api.tasks(key, instanceIds=instances) if t["status"] in ACTIVE], options.timeout)
    print("Job killall succeeded" if everything else "Job kill succeeded")


def restart(options):
    key, wanted = instance_key(options.key)
    api = Api(key[0])
    old = {t["assignedTask"]["instanceId"]: t["assignedTask"]["taskId"] for t in api.tasks(key, instanceIds=wanted) if t["status"] in ACTIVE}
    if not old:
        raise Exit(BAD_PARAMETER, f"No active tasks of {options.key}")
    numbers = sorted(old)
    for start in range(0, len(numbers), options.batch_size):
        batch = numbers[start:start + options.batch_size]
        api.call("restartShards", job=dict(zip(("role", "environment", "name"), key[1:], strict=True)), shardIds=batch)

        def again(batch=batch):
            running = {t["assignedTask"]["instanceId"] for t in api.tasks(key, instanceIds=batch, statuses=["RUNNING"])
                       if t["assignedTask"]["taskId"] not in old.values()}
            return running == set(batch)
        wait(f"Instances {batch} do not run again", again, options.timeout)
    print("Job restart succeeded")


def list_jobs(options):
    parts = [*options.key.split("/"), None, None, None][:4]
    for job in Api(parts[0]).call("getJobs", ownerRole=parts[1])["getJobsResult"]["configs"]:
        key = [job["key"][k] for k in ("role", "environment", "name")]
        if all(w in (None, "*", k) for w, k in zip(parts[1:], key, strict=True)):
            print("/".join([parts[0], *key]))


def shown(job):
    """A job as text that two of can be compared."""
    config = dict(job["taskConfig"])
    config["executorConfig"] = json.loads(config["executorConfig"]["data"])
    config.pop("owner", None)
    return json.dumps({"instances": job["instanceCount"], **config}, indent=2, sort_keys=True).splitlines()


def inspect(options):
    print(f"Job {options.key}\n" + "\n".join(shown(read_config(options))))


def diff(options):
    job, key = read_config(options), job_key(options.key)
    there = [j for j in Api(key[0]).call("getJobs", ownerRole=key[1])["getJobsResult"]["configs"] if j["key"] == job["key"]]
    lines = list(difflib.unified_diff(shown(there[0]) if there else [], shown(job), "scheduler", options.file, lineterm=""))
    print("\n".join(lines) or "No differences.")


def aurora_parser():
    parser = Parser(prog="aurora", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    nouns = parser.add_subparsers(dest="noun", required=True, parser_class=Parser)
    nouns.add_parser("version").set_defaults(run=lambda _options: print(VERSION))
    verbs = nouns.add_parser("job").add_subparsers(dest="verb", required=True, parser_class=Parser)
    for name, run, takes_file in (("create", create, True), ("status", status, False), ("kill", kill, False),
                                  ("killall", lambda o: kill(o, everything=True), False), ("restart", restart, False),
                                  ("list", list_jobs, False), ("inspect", inspect, True), ("diff", diff, True)):
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=run)
        verb.add_argument("key", metavar="CLUSTER/ROLE/ENV/NAME")
        if takes_file:
            verb.add_argument("file", metavar="FILE.aurora")
            verb.add_argument("--bind", action="append", default=[], metavar="NAME=VALUE")
        if name == "create":
            verb.add_argument("--wait-until", "--wait_until", choices=("PENDING", "RUNNING", "FINISHED"), default="PENDING")
        if name == "status":
            verb.add_argument("--write-json", action="store_true")
        if name in ("kill", "killall"):
            verb.add_argument("--no-wait", "--no-batching", action="store_true")
            verb.add_argument("--message", "-m")
        if name == "restart":
            verb.add_argument("--batch-size", type=int, default=1)
        verb.add_argument("--timeout", type=int, default=300, help="seconds to wait (default 300)")
    return parser


def query(options):
    wanted = {"role": options.role, "jobName": options.job, "statuses": options.states.split(",") if options.states else None,
              "instanceIds": [int(n) for n in options.shards.split(",")] if options.shards else None}
    for task in Api(options.cluster).call("getTasksStatus", query=wanted)["scheduleStatusResult"]["tasks"]:
        assigned = task["assignedTask"]
        values = {"taskId": assigned["taskId"], "status": task["status"], "slaveHost": assigned.get("slaveHost", ""), "shard": assigned["instanceId"],
                  **{"jobName" if k == "name" else k: v for k, v in assigned["task"]["job"].items()}}
        print(re.sub(r"%(\w+)%", lambda m, values=values: str(values.get(m[1], m[0])), options.format))


def reconcile(options):
    for kind in ("Explicit", "Implicit") if options.type == "both" else (options.type.capitalize(),):
        Api(options.cluster).call(f"trigger{kind}TaskReconciliation")
    print("Reconciliation requested")


def admin_parser():
    parser = Parser(prog="aurora-admin", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=Parser)
    show = verbs.add_parser("query", allow_abbrev=False)
    show.add_argument("--shards", metavar="0,1")
    show.add_argument("--states", metavar="RUNNING,…")
    show.add_argument("-l", "--listformat", dest="format", default="%taskId% %status% %slaveHost%")
    calls = {"query": query, "reconcile_tasks": reconcile,
             "scheduler_backup_now": lambda o: print(Api(o.cluster).call("performBackup")["backup"]),
             "scheduler_list_backups": lambda o: print("\n".join(Api(o.cluster).call("listBackups")["listBackupsResult"]["backups"])),
             "scheduler_snapshot": lambda o: Api(o.cluster).call("snapshot")}
    for name, run in calls.items():
        verb = show if name == "query" else verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=run)
        verb.add_argument("cluster")
        if name == "reconcile_tasks":
            verb.add_argument("--type", choices=("explicit", "implicit", "both"), default="explicit")
    show.add_argument("role", nargs="?")
    show.add_argument("job", nargs="?")
    return parser


def run(parser, argv, refused):
    try:
        words = [w for w in argv if not w.startswith("-")]
        for place, names in enumerate(refused):
            if words[place:place + 1] and words[place] in names and (place == 0 or words[0] == "job"):
                raise Exit(BAD_COMMAND, f"{parser.prog}: {' '.join(words[:place + 1])} is not supported by the embedded default")
        options = parser.parse_args(argv)
        options.run(options)
    except Exit as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        logging.exception("unexpected: %s", error)
        return UNKNOWN
    return OK


def aurora():
    sys.exit(run(aurora_parser(), sys.argv[1:], (REFUSED_NOUNS, REFUSED_JOB)))


def admin():
    sys.exit(run(admin_parser(), sys.argv[1:], (REFUSED_ADMIN,)))

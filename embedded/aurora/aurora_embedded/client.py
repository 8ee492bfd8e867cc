# SPDX-License-Identifier: GPL-3.0-or-later
"""`aurora` and `aurora-admin`: their command lines, finding the leading scheduler, exit codes as upstream's."""

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

from kazoo.handlers.threading import KazooTimeoutError

from . import VERSION, store

BAD_CONFIG, FAILED, BAD_COMMAND, BAD_PARAMETER, NETWORK, TIMEOUT, API_ERROR, UNKNOWN = 3, 4, 5, 6, 7, 9, 10, 20
INTERRUPTED = 130
ENDED = ("FINISHED", "FAILED", "KILLED", "LOST")
PARTS = ("role", "environment", "name")


class Exit(Exception):
    """The end of the command: an exit code and what to say."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    def error(self, message):
        unknown = re.search(r"argument (?!--).*invalid choice: '([\w-]+)'", message)
        if unknown:
            raise Exit(BAD_COMMAND, f"{self.prog}: the embedded default has no command {unknown[1]}")
        raise Exit(BAD_PARAMETER, f"{self.prog}: {message}")


# --- the scheduler ---------------------------------------------------------------------------------------------------


def find_scheduler(name):
    """host:port of a cluster's leading scheduler, by clusters.json; the user's own file goes before the machine's."""
    known = {}
    for directory in (os.environ.get("AURORA_CONFIG_ROOT", "/etc/aurora"), Path.home() / ".aurora"):
        path = Path(directory, "clusters.json")
        try:
            known.update({entry["name"]: entry for entry in json.loads(path.read_text())} if path.exists() else {})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Exit(BAD_CONFIG, f"{path} is not a list of clusters: {error!r}") from None
    if name not in known:
        raise Exit(BAD_PARAMETER, f"Unknown cluster {name}; clusters.json has: {', '.join(sorted(known)) or 'none'}")
    entry = known[name]
    if entry.get("auth_mechanism", "UNAUTHENTICATED") != "UNAUTHENTICATED":
        raise Exit(BAD_CONFIG, f"Cluster {name}: auth_mechanism {entry['auth_mechanism']} is not supported here")
    if "scheduler_uri" in entry:
        return urllib.parse.urlsplit(entry["scheduler_uri"]).netloc
    if not entry.get("zk") or not entry.get("scheduler_zk_path"):
        raise Exit(BAD_CONFIG, f"Cluster {name} needs zk and scheduler_zk_path, or scheduler_uri, in clusters.json")
    port, path = entry.get("zk_port", 2181), entry["scheduler_zk_path"]
    hosts = ",".join(host if ":" in host else f"{host}:{port}" for host in entry["zk"].split(","))
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    try:
        zk = store.connect(hosts, wait=5)
    except KazooTimeoutError:
        raise Exit(NETWORK, f"No scheduler found: ZooKeeper at {hosts} does not answer") from None
    leader = store.leader(zk, path)
    zk.stop()
    if not leader:
        where = f"{path} of ZooKeeper {hosts}"
        raise Exit(NETWORK, f"No scheduler found: none leads at {where}, or that is not its -serverset_path")
    return leader


class Api:
    def __init__(self, cluster):
        self.address = find_scheduler(cluster)

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 307:
            return answer.status, answer.read().decode()
        self.address = urllib.parse.urlsplit(answer.headers["Location"]).netloc
        return self.post(path, body)

    def call(self, call, **arguments):
        try:
            status, text = self.post(f"/apibeta/{call}", json.dumps(arguments))
        except (OSError, http.client.HTTPException) as error:
            raise Exit(NETWORK, f"Scheduler {self.address} does not answer: {error}") from None
        if status != 200:
            raise Exit({400: FAILED, 503: NETWORK}.get(status, API_ERROR), f"Scheduler {self.address}: {text.strip()}")
        return json.loads(text)

    def tasks(self, **query):
        return self.call("getTasksStatus", query=query)


class Job:
    """CLUSTER/ROLE/ENV/NAME, with /0,2-5 behind it where a command takes instances."""

    def __init__(self, text, instances=False):
        form = r"([^/]+)/([^/]+)/([^/]+)/([^/]+)" + r"(?:/(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*))?" * instances
        found = re.fullmatch(form, text)
        if not found:
            raise Exit(BAD_PARAMETER, f"{text} is not a job key CLUSTER/ROLE/ENV/NAME{'[/0,2-5]' * instances}")
        cluster, *parts = found.groups()
        self.name, self.key, self.instances = "/".join([cluster, *parts[:3]]), dict(zip(PARTS, parts)), None
        if parts[3:] and parts[3]:
            spans = [[int(number) for number in span.split("-")] for span in parts[3].split(",")]
            self.instances = [number for span in spans for number in range(span[0], span[-1] + 1)]
        self.api = Api(cluster)

    def tasks(self):
        role, environment, name = self.key.values()
        return self.api.tasks(role=role, environment=environment, jobName=name, instanceIds=self.instances)

    def active(self):
        """instance -> task."""
        active = {t["assignedTask"]["instanceId"]: t for t in self.tasks() if t["status"] not in ENDED}
        if not active:
            raise Exit(BAD_PARAMETER, f"No active tasks of {self.name}")
        return active


def wait(what, done, limit):
    end = time.time() + limit
    while not done():
        if time.time() > end:
            raise Exit(TIMEOUT, f"{what}: not within {limit} s")
        time.sleep(0.5)


# --- aurora ----------------------------------------------------------------------------------------------------------


def read_config(options):
    from . import config  # here, because pystachio takes as long to load as all the rest

    try:
        return config.load(options.file, options.key, [text.partition("=")[::2] for text in options.bind])
    except config.ConfigError as error:
        raise Exit(BAD_CONFIG, f"Error loading configuration: {error}") from None


def create(options):
    description, job = read_config(options), Job(options.key)
    job.api.call("createJob", description=description)
    print(f"Job create succeeded: job url=http://{job.api.address}/scheduler/{'/'.join(job.key.values())}")


def status(options):
    job = Job(options.key)
    groups = {"active": [], "inactive": []}
    for task in job.tasks():
        groups["inactive" if task["status"] in ENDED else "active"].append(task)
    found = any(groups.values())
    if options.write_json:
        print(json.dumps([{"job": job.name, **groups}] if found else {"error": "No matching jobs found"}, indent=2))
    elif not found:
        raise Exit(BAD_PARAMETER, f"Found no jobs matching {job.name}")
    else:
        for title, tasks in groups.items():
            print(f"{title.capitalize()} tasks ({len(tasks)}):")
            for task in sorted(tasks, key=lambda task: task["assignedTask"]["instanceId"]):
                assigned, host = task["assignedTask"], task["assignedTask"].get("slaveHost", "no host")
                print(f"\tinstance: {assigned['instanceId']}, status: {task['status']} on {host}, {assigned['taskId']}")
                for event in task["taskEvents"]:
                    when = time.strftime("%F %T UTC", time.gmtime(event["timestamp"] / 1000))
                    print(f"\t\t{when} {event['status']}: {event['message'] or ''}")


def kill(options):
    one = options.verb == "kill"
    if one and options.key.count("/") < 4:
        raise Exit(BAD_PARAMETER, f"Which instances? {options.key}/0,2-5; killall ends the whole job")
    job = Job(options.key, instances=one)
    job.active()
    job.api.call("killTasks", job=job.key, instances=job.instances)
    wait("Some tasks still run", lambda: all(task["status"] in ENDED for task in job.tasks()), options.timeout)
    print(f"Job {options.verb} succeeded")


def restart(options):
    """One instance after another, each until it runs: as a new task, or as the same one where it was only waiting."""
    job = Job(options.key, instances=True)
    for instance in sorted(job.active()):
        job.api.call("restartShards", job=job.key, shardIds=[instance])

        def again(instance=instance):  # what is restarted is RUNNING no more once the call is answered
            return job.active().get(instance, {}).get("status") == "RUNNING"

        wait(f"Instance {instance} does not run again", again, options.timeout)
    print("Job restart succeeded")


def list_jobs(options):
    cluster, *wanted = options.key.split("/")
    active = [task for task in Api(cluster).tasks() if task["status"] not in ENDED]
    for key in sorted({tuple(task["assignedTask"]["task"]["job"][part] for part in PARTS) for task in active}):
        if list(key[: len(wanted)]) == wanted:
            print("/".join([cluster, *key]))


def lines(job):
    """A job as text that can be compared."""
    task = {k: v for k, v in job["taskConfig"].items() if k != "owner"}
    task["executorConfig"] = json.loads(task["executorConfig"]["data"])
    return json.dumps({"instances": job["instanceCount"], **task}, indent=2, sort_keys=True).splitlines()


def inspect(options):
    print("\n".join([f"Job {options.key}", *lines(read_config(options))]))


def diff(options):
    new, tasks = lines(read_config(options)), [t for t in Job(options.key).tasks() if t["status"] not in ENDED]
    count = len({task["assignedTask"]["instanceId"] for task in tasks})
    old = lines({"taskConfig": tasks[0]["assignedTask"]["task"], "instanceCount": count}) if tasks else []
    print("\n".join(difflib.unified_diff(old, new, "scheduler", options.file, lineterm="")) or "No differences")


# --- aurora-admin ----------------------------------------------------------------------------------------------------


def query(options):
    wanted = {"role": options.role, "jobName": options.job}
    wanted["statuses"] = options.states.split(",") if options.states else None
    wanted["instanceIds"] = [int(number) for number in options.shards.split(",")] if options.shards else None
    for task in Api(options.cluster).tasks(**wanted):
        assigned = task["assignedTask"]
        job = assigned["task"]["job"]
        shown = {**job, "jobName": job["name"], "shard": assigned["instanceId"], "status": task["status"]}
        shown.update(taskId=assigned["taskId"], slaveHost=assigned.get("slaveHost", ""))
        print(re.sub(r"%(\w+)%", lambda match, shown=shown: str(shown.get(match[1], match[0])), options.format))


def reconcile(options):
    Api(options.cluster).call(f"trigger{options.type.capitalize()}TaskReconciliation")


def backup_now(options):
    print(Api(options.cluster).call("performBackup"))


def list_backups(options):
    print(*Api(options.cluster).call("listBackups"), sep="\n")


# --- command lines ---------------------------------------------------------------------------------------------------

KEY = {"key": {"metavar": "CLUSTER/ROLE/ENV/NAME"}}
FILE = {"file": {"metavar": "FILE.aurora"}, "--bind": {"action": "append", "default": [], "metavar": "NAME=VALUE"}}
LIMIT = {"--timeout": {"type": int, "default": 300, "metavar": "SECONDS"}}
CLUSTER = {"cluster": {}}
FORMAT = {"dest": "format", "default": "%taskId% %status% %slaveHost%"}
FILTERS = {"role": {"nargs": "?"}, "job": {"nargs": "?"}, "--shards": {"metavar": "0,1"}, "--states": {}}
# command -> (its function, its arguments)
JOB_COMMANDS = {
    "create": (create, KEY | FILE),
    "diff": (diff, KEY | FILE),
    "inspect": (inspect, KEY | FILE),
    "kill": (kill, KEY | LIMIT),
    "killall": (kill, KEY | LIMIT),
    "list": (list_jobs, {"key": {"metavar": "CLUSTER[/ROLE[/ENV]]"}}),
    "restart": (restart, KEY | LIMIT),
    "status": (status, KEY | {"--write-json": {"action": "store_true"}}),
}
ADMIN_COMMANDS = {
    "query": (query, CLUSTER | FILTERS | {"-l": FORMAT}),
    "reconcile_tasks": (reconcile, CLUSTER | {"--type": {"choices": ("explicit", "implicit"), "default": "explicit"}}),
    "scheduler_backup_now": (backup_now, CLUSTER),
    "scheduler_list_backups": (list_backups, CLUSTER),
}


def run(prog, nouns, commands):
    parser = Parser(prog=prog, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb", required=True)
    if nouns:
        verbs.add_parser("version").set_defaults(run=lambda _options: print(VERSION))
        verbs = verbs.add_parser("job").add_subparsers(dest="verb", required=True)
    for name, (function, arguments) in commands.items():
        command = verbs.add_parser(name, allow_abbrev=False)
        command.set_defaults(run=function)
        for argument, settings in arguments.items():
            command.add_argument(argument, **settings)
    try:
        options = parser.parse_args()
        options.run(options)
    except Exit as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        logging.exception("unexpected: %s", error)
        sys.exit(UNKNOWN)


def aurora():
    run("aurora", True, JOB_COMMANDS)


def admin():
    run("aurora-admin", False, ADMIN_COMMANDS)

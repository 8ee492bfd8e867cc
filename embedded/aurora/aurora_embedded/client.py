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

from . import VERSION

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
        unknown = re.search(r"invalid choice: '([\w-]+)'", message)
        if unknown and "argument --" not in message:
            raise Exit(BAD_COMMAND, f"{self.prog}: the embedded default has no command {unknown[1]}")
        raise Exit(BAD_PARAMETER, f"{self.prog}: {message}")


def find_scheduler(name):
    """host:port of a cluster's leading scheduler, by clusters.json; the user's own file goes before the machine's."""
    known = {}
    for directory in (os.environ.get("AURORA_CONFIG_ROOT", "/etc/aurora"), Path.home() / ".aurora"):
        path = Path(directory, "clusters.json")
        try:
            data = json.loads(path.read_text()) if path.exists() else []
            known.update({e["name"]: e for e in (data.values() if isinstance(data, dict) else data) if "name" in e})
        except (OSError, ValueError, TypeError) as error:
            raise Exit(BAD_CONFIG, f"{path}: {error}") from None
    if name not in known:
        raise Exit(BAD_PARAMETER, f"Unknown cluster {name}; clusters.json has: {', '.join(sorted(known)) or 'none'}")
    entry = known[name]
    if entry.get("auth_mechanism", "UNAUTHENTICATED") != "UNAUTHENTICATED":
        raise Exit(BAD_CONFIG, f"auth_mechanism {entry['auth_mechanism']} is not supported by the embedded client")
    if entry.get("scheduler_uri"):
        return urllib.parse.urlsplit(entry["scheduler_uri"]).netloc
    if not entry.get("zk") or not entry.get("scheduler_zk_path"):
        raise Exit(BAD_CONFIG, f"Cluster {name} needs zk and scheduler_zk_path, or scheduler_uri, in clusters.json")
    from kazoo.handlers.threading import KazooTimeoutError

    from . import store

    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    hosts = ",".join(h if ":" in h else f"{h}:{entry.get('zk_port', 2181)}" for h in entry["zk"].split(","))
    try:
        zk = store.connect(hosts, wait=10)
    except KazooTimeoutError:
        raise Exit(NETWORK, f"No scheduler found: ZooKeeper at {hosts} does not answer") from None
    leader = store.leader(zk, entry["scheduler_zk_path"])
    zk.stop()
    if not leader:
        where = f"{entry['scheduler_zk_path']} of ZooKeeper {hosts}"
        raise Exit(NETWORK, f"No scheduler found: none leads at {where}, or that is not its -serverset_path")
    return f"{leader[0]}:{leader[1]}"


class Api:
    def __init__(self, cluster):
        self.address = find_scheduler(cluster)

    def call(self, call, **arguments):
        try:
            for _hop in range(3):
                connection = http.client.HTTPConnection(self.address, timeout=30)
                connection.request(
                    "POST", f"/apibeta/{call}", json.dumps(arguments), {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                text = answer.read().decode()
                connection.close()
                if answer.status != 307:
                    break
                self.address = urllib.parse.urlsplit(answer.headers["Location"]).netloc
        except (OSError, http.client.HTTPException) as error:
            raise Exit(NETWORK, f"Scheduler {self.address} does not answer: {error}") from None
        if answer.status != 200:
            raise Exit(
                NETWORK if answer.status == 503 else API_ERROR, f"Scheduler {self.address}: {answer.status} {text}"
            )
        result = json.loads(text)
        if result["responseCode"] != "OK":
            raise Exit(FAILED, "; ".join(detail["message"] for detail in result["details"]))
        return result["result"]

    def tasks(self, **query):
        return self.call("getTasksStatus", query=query)["scheduleStatusResult"]["tasks"]


class Job:
    """CLUSTER/ROLE/ENV/NAME, with /0,2-5 behind it where a command takes instances."""

    def __init__(self, text, instances=False):
        self.text, (self.cluster, *parts) = text, text.split("/")
        if len(parts) < 3 or not all((self.cluster, *parts)) or len(parts) > 3 + instances:
            form = "CLUSTER/ROLE/ENV/NAME" + "[/INSTANCES]" * instances
            raise Exit(BAD_PARAMETER, f"{text} is not a job key {form}")
        self.key, self.instances = dict(zip(PARTS, parts, strict=False)), None
        if len(parts) == 4:
            if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", parts[3]):
                raise Exit(BAD_PARAMETER, f"{parts[3]} is not a list of instances such as 0,2-5")
            spans = [[int(n) for n in span.split("-")] for span in parts[3].split(",")]
            self.instances = [n for span in spans for n in range(span[0], span[-1] + 1)]
        self.name = "/".join([self.cluster, *parts[:3]])
        self._api = None

    @property
    def api(self):
        self._api = self._api or Api(self.cluster)
        return self._api

    def tasks(self):
        query = {"role": self.key["role"], "environment": self.key["environment"], "jobName": self.key["name"]}
        return self.api.tasks(**query, instanceIds=self.instances)

    def active(self):
        """instance -> task."""
        active = {t["assignedTask"]["instanceId"]: t for t in self.tasks() if t["status"] not in ENDED}
        if not active:
            raise Exit(BAD_PARAMETER, f"No active tasks of {self.text}")
        return active

    def stored(self):
        jobs = self.api.call("getJobs", ownerRole=self.key["role"])["getJobsResult"]["configs"]
        return next((job for job in jobs if job["key"] == self.key), None)


def wait(what, done, limit):
    end = time.time() + limit
    while not done():
        if time.time() > end:
            raise Exit(TIMEOUT, f"{what}: not within {limit} s")
        time.sleep(0.5)


def read_config(options):
    from . import config

    try:
        return config.load(options.file, Job(options.key).name, [text.partition("=")[::2] for text in options.bind])
    except config.ConfigError as error:
        raise Exit(BAD_CONFIG, f"Error loading configuration: {error}") from None


def create(options):
    description, job = read_config(options), Job(options.key)
    try:
        job.api.call("createJob", description=description)
    except Exit as error:
        raise Exit(error.code, f"Job creation failed due to error:\n\t{error}") from None

    def reached():
        last = {}
        for task in sorted(job.tasks(), key=lambda task: task["taskEvents"][0]["timestamp"]):
            last[task["assignedTask"]["instanceId"]] = task["status"]
        states = set(last.values())
        if states <= {"FAILED", "KILLED", "LOST"}:
            raise Exit(FAILED, f"Job {job.name} has ended: {', '.join(sorted(states))}")
        return states <= ({"FINISHED"} if options.wait_until == "FINISHED" else {"RUNNING", "FINISHED"})

    if options.wait_until != "PENDING":
        wait(f"Job {job.name} is not {options.wait_until}", reached, options.timeout)
    print(f"Job create succeeded: job url=http://{job.api.address}/scheduler/{'/'.join(job.key.values())}")


def status(options):
    job = Job(options.key)
    tasks = job.tasks()
    groups = {
        "active": [t for t in tasks if t["status"] not in ENDED],
        "inactive": [t for t in tasks if t["status"] in ENDED],
    }
    if options.write_json:
        print(json.dumps([{"job": job.name, **groups}] if tasks else {"error": "No matching jobs found"}, indent=2))
        return
    if not tasks:
        raise Exit(BAD_PARAMETER, f"Found no jobs matching {job.name}")
    for title, group in groups.items():
        print(f"{title.capitalize()} tasks ({len(group)}):")
        for task in sorted(group, key=lambda task: task["assignedTask"]["instanceId"]):
            assigned = task["assignedTask"]
            wanted = ", ".join(f"{k}: {v}" for resource in assigned["task"]["resources"] for k, v in resource.items())
            print(f"\tTask role: {job.key['role']}, env: {job.key['environment']}, name: {job.key['name']}, ", end="")
            print(
                f"instance: {assigned['instanceId']}, status: {task['status']} on {assigned.get('slaveHost', 'no host')}"
            )
            print(f"\t  task: {assigned['taskId']}\n\t  {wanted}\n\t  events:")
            for event in task["taskEvents"]:
                when = time.strftime("%F %T UTC", time.gmtime(event["timestamp"] / 1000))
                print(f"\t   {when} {event['status']}: {event['message'] or ''}")


def kill(options):
    job = Job(options.key, instances=options.verb == "kill")
    if options.verb == "kill" and job.instances is None:
        raise Exit(BAD_PARAMETER, f"Which instances? {job.name}/0,2-5; killall ends the whole job")
    job.active()
    job.api.call("killTasks", job=job.key, instances=job.instances, message=options.message)
    wait("Some tasks still run", lambda: all(task["status"] in ENDED for task in job.tasks()), options.timeout)
    print(f"Job {options.verb} succeeded")


def restart(options):
    job = Job(options.key, instances=True)
    old = job.active()
    numbers = sorted(old)
    ids = {t["assignedTask"]["taskId"] for t in old.values() if t["status"] not in ("PENDING", "THROTTLED")}
    for start in range(0, len(numbers), options.batch_size):
        batch = numbers[start : start + options.batch_size]
        job.api.call("restartShards", job=job.key, shardIds=batch)

        def again(batch=batch):
            new = [t["assignedTask"] for t in job.tasks() if t["status"] == "RUNNING"]
            return {t["instanceId"] for t in new if t["taskId"] not in ids} >= set(batch)

        wait(f"Instances {batch} do not run again", again, options.timeout)
    print("Job restart succeeded")


def list_jobs(options):
    cluster, *wanted = options.key.split("/")
    for job in Api(cluster).call("getJobs")["getJobsResult"]["configs"]:
        key = [job["key"][part] for part in PARTS]
        if all(pattern in ("*", part) for pattern, part in zip(wanted, key, strict=False)):
            print("/".join([cluster, *key]))


def lines(job):
    """A job as text that can be compared."""
    config = {k: v for k, v in job["taskConfig"].items() if k != "owner"}
    config["executorConfig"] = json.loads(config["executorConfig"]["data"])
    return json.dumps({"instances": job["instanceCount"], **config}, indent=2, sort_keys=True).splitlines()


def inspect(options):
    print("\n".join([f"Job {options.key}", *lines(read_config(options))]))


def diff(options):
    new, old = lines(read_config(options)), Job(options.key).stored()
    print(
        "\n".join(difflib.unified_diff(lines(old) if old else [], new, "scheduler", options.file, lineterm=""))
        or "No differences"
    )


def query(options):
    wanted = {"role": options.role, "jobName": options.job}
    wanted["statuses"] = options.states.split(",") if options.states else None
    wanted["instanceIds"] = [int(n) for n in options.shards.split(",")] if options.shards else None
    for task in Api(options.cluster).tasks(**wanted):
        assigned = task["assignedTask"]
        shown = {
            **assigned["task"]["job"],
            "taskId": assigned["taskId"],
            "status": task["status"],
            "shard": assigned["instanceId"],
        }
        shown.update(jobName=shown["name"], slaveHost=assigned.get("slaveHost", ""))
        print(re.sub(r"%(\w+)%", lambda match, shown=shown: str(shown.get(match[1], match[0])), options.format))


def reconcile(options):
    Api(options.cluster).call(f"trigger{options.type.capitalize()}TaskReconciliation")


def aurora_parser():
    parser = Parser(prog="aurora", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    nouns = parser.add_subparsers(dest="noun", required=True)
    nouns.add_parser("version").set_defaults(run=lambda _options: print(VERSION))
    verbs = nouns.add_parser("job").add_subparsers(dest="verb", required=True)
    functions = {"create": create, "diff": diff, "inspect": inspect, "kill": kill, "killall": kill, "list": list_jobs}
    for name, function in {**functions, "restart": restart, "status": status}.items():
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=function)
        verb.add_argument("key", metavar="CLUSTER/ROLE/ENV/NAME")
        if name in ("create", "diff", "inspect"):
            verb.add_argument("file", metavar="FILE.aurora")
            verb.add_argument("--bind", action="append", default=[], metavar="NAME=VALUE")
        if name == "create":
            verb.add_argument("--wait-until", choices=("PENDING", "RUNNING", "FINISHED"), default="PENDING")
        elif name == "status":
            verb.add_argument("--write-json", action="store_true")
        elif name == "restart":
            verb.add_argument("--batch-size", type=int, default=1)
        elif name.startswith("kill"):
            verb.add_argument("--message", "-m")
        if name in ("create", "kill", "killall", "restart"):
            verb.add_argument("--timeout", type=int, default=300, metavar="SECONDS")
    return parser


def admin_parser():
    parser = Parser(prog="aurora-admin", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb", required=True)
    functions = {
        "query": query,
        "reconcile_tasks": reconcile,
        "scheduler_backup_now": lambda o: print(Api(o.cluster).call("performBackup")["backup"]),
        "scheduler_list_backups": lambda o: print(
            *Api(o.cluster).call("listBackups")["listBackupsResult"]["backups"], sep="\n"
        ),
        "scheduler_snapshot": lambda o: Api(o.cluster).call("snapshot"),
    }
    for name, function in functions.items():
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=function)
        verb.add_argument("cluster")
        if name == "query":
            verb.add_argument("role", nargs="?")
            verb.add_argument("job", nargs="?")
            verb.add_argument("--shards", metavar="0,1")
            verb.add_argument("--states", metavar="RUNNING,PENDING")
            verb.add_argument("-l", "--listformat", dest="format", default="%taskId% %status% %slaveHost%")
        elif name == "reconcile_tasks":
            verb.add_argument("--type", choices=("explicit", "implicit"), default="explicit")
    return parser


def run(parser, argv):
    try:
        options = parser.parse_args(argv)
        options.run(options)
    except Exit as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        logging.exception("unexpected: %s", error)
        return UNKNOWN
    return 0


def aurora():
    sys.exit(run(aurora_parser(), sys.argv[1:]))


def admin():
    sys.exit(run(admin_parser(), sys.argv[1:]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""`.aurora` files: the job language on pystachio, and what a job becomes for the scheduler."""

import getpass
import json
import re
import traceback

from pystachio import Boolean, Default, Float, Integer, List, Map, Ref, Required, String, Struct
from pystachio.config import Config

IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
REFUSED = ("Announcer", "AppcImage", "Container", "CoordinatorSlaPolicy", "CountSlaPolicy", "CronJob", "DisableLifecycle",
           "Docker", "DockerImage", "HealthCheckConfig", "HttpLifecycleConfig", "HttpHealthChecker", "JVMProcess", "LifecycleConfig",
           "Logger", "Mesos", "Metadata", "PartitionPolicy", "PercentageSlaPolicy", "RotatePolicy", "ShellHealthChecker", "Volume")


class ConfigError(Exception):
    """The job file cannot be used; the message says why."""


class Process(Struct):
    name = Required(String)
    cmdline = Required(String)
    max_failures = Default(Integer, 1)
    min_duration = Default(Integer, 5)
    daemon = Default(Boolean, False)
    ephemeral = Default(Boolean, False)
    final = Default(Boolean, False)


class Resources(Struct):
    cpu = Required(Float)
    ram = Required(Integer)
    disk = Required(Integer)


class Constraint(Struct):
    order = List(String)


class Task(Struct):
    name = Default(String, "{{processes[0].name}}")
    processes = List(Process)
    resources = Resources
    constraints = List(Constraint)
    max_failures = Default(Integer, 1)
    max_concurrency = Default(Integer, 0)
    finalization_wait = Default(Integer, 30)


class Job(Struct):
    name = Default(String, "{{task.name}}")
    role = Required(String)
    contact = String
    cluster = Required(String)
    environment = Required(String)
    instances = Default(Integer, 1)
    task = Required(Task)
    constraints = Map(String, String)
    service = Default(Boolean, False)
    max_task_failures = Default(Integer, 1)
    production = Default(Boolean, False)
    priority = Default(Integer, 0)


def order(*names):
    return [Constraint(order=[str(n.name()) if isinstance(n, Process) else n for n in names])]


def sequential(task):
    names = [str(p.name()) for p in task.processes()]
    return task(constraints=order(*names)) if len(names) > 1 else task


def refuse(name):
    def refused(*_args, **_kw):
        raise ConfigError(f"{name} is not supported by the embedded default scheduler")
    return refused


SCHEMA = {
    "Process": Process, "Resources": Resources, "Constraint": Constraint, "Task": Task, "Job": Job, "order": order,
    "Service": lambda *args, **kw: Job(*args, **{"service": True, **kw}),
    "SequentialTask": lambda *args, **kw: sequential(Task(*args, **kw)),
    "SimpleTask": lambda name, command: Task(name=name, processes=[Process(name=name, cmdline=command)], resources=Resources(
        cpu=1.0, ram=128 * 2**20, disk=128 * 2**20)), **UNITS, **{name: refuse(name) for name in REFUSED},
}


class File(Config):
    @classmethod
    def load_schema(cls, environment, schema=None):
        super().load_schema(environment, schema)
        environment.update(SCHEMA)


def load(path, key, bindings=()):
    """The JobConfiguration, as the scheduler takes it, of job key (cluster, role, environment, name) in file path."""
    try:
        jobs = File(path).environment.get("jobs")
    except ConfigError:
        raise
    except Exception as error:  # the file is a program: it may fail in any way
        where = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename in (path, path.rpartition("/")[2])]
        line = f" line {where[-1]}" if where else ""
        raise ConfigError(f"{path}{line}: {type(error).__name__}: {error}") from error
    if not isinstance(jobs, list) or not all(isinstance(j, Job) for j in jobs):
        raise ConfigError(f"{path}: needs a list `jobs` of Job or Service objects")
    jobs = [j.bind(*({Ref.from_address(n): v} for n, v in bindings)) for j in jobs]
    keys = ["/".join(str(getattr(j, k)()) for k in ("cluster", "role", "environment", "name")) for j in jobs]
    if key not in keys:
        raise ConfigError(f"{path}: no job {key}; it has: {', '.join(keys) or 'none'}")
    return convert(jobs[keys.index(key)])


def convert(job):
    job, unbound = job.interpolate()
    refs = [ref.address() for ref in unbound]
    ports = sorted({m[1] for m in (re.fullmatch(r"thermos\.ports\[([\w.-]+)\]", r) for r in refs) if m})
    fine = {"mesos.instance", "mesos.hostname", "thermos.task_id", "thermos.user", *(f"thermos.ports[{p}]" for p in ports)}
    if set(refs) - fine:
        raise ConfigError(f"not bound: {', '.join('{{%s}}' % r for r in sorted(set(refs) - fine))} (bind with --bind NAME=VALUE)")
    checked = job.check()
    if not checked.ok():
        raise ConfigError(checked.message())
    data = json.loads(job.json_dumps())
    task = data["task"]
    check(data, task)
    key = {"role": data["role"], "environment": data["environment"], "name": data["name"]}
    config = {
        "job": key, "owner": {"user": getpass.getuser()}, "isService": data["service"], "priority": data["priority"],
        "maxTaskFailures": data["max_task_failures"], "production": data["production"], "requestedPorts": ports,
        "constraints": [constraint(n, v) for n, v in sorted(data.get("constraints", {}).items())],
        "resources": [{"numCpus": task["resources"]["cpu"]}, {"ramMb": -(-task["resources"]["ram"] // 2**20)},
                      {"diskMb": -(-task["resources"]["disk"] // 2**20)}, *({"namedPort": p} for p in ports)],
        "executorConfig": {"name": "AuroraExecutor", "data": json.dumps({"task": task}, sort_keys=True)}}
    if "contact" in data:
        config["contactEmail"] = data["contact"]
    return {"key": key, "owner": config["owner"], "taskConfig": config, "instanceCount": data["instances"]}


def check(job, task):
    for field in ("role", "environment", "name"):
        if not IDENTIFIER.fullmatch(job[field]):
            raise ConfigError(f"{field} {job[field]!r}: letters, digits, '_', '.' and '-' only, at most 64")
    names = [p["name"] for p in task.get("processes", [])]
    if not names or len(set(names)) < len(names):
        raise ConfigError("a task needs processes, each with a name of its own")
    for name in names:
        if not IDENTIFIER.fullmatch(name) or name in (".", ".."):
            raise ConfigError(f"process name {name!r}: letters, digits, '_', '.' and '-' only, at most 64")
    if "resources" not in task or min(task["resources"].values()) <= 0:
        raise ConfigError("a task needs resources: cpu, ram and disk, each above 0")
    if job["instances"] < 1:
        raise ConfigError("instances must be at least 1")
    after = {name: set() for name in names}
    for line in (c["order"] for c in task.get("constraints", []) if "order" in c):
        if set(line) - set(names):
            raise ConfigError(f"order names no process: {', '.join(sorted(set(line) - set(names)))}")
        for first, second in zip(line, line[1:], strict=False):
            after[second].add(first)
    while after:
        free = [n for n, before in after.items() if not before & set(after)]
        if not free:
            raise ConfigError(f"order goes round in a circle: {', '.join(sorted(after))}")
        for name in free:
            del after[name]


def constraint(name, text):
    """'a,b' one of these, '!a' none of these, 'limit:N' at most N of the job's tasks per value."""
    if text.startswith("limit:"):
        if not re.fullmatch(r"limit:[1-9]\d*", text):
            raise ConfigError(f"constraint {name}: {text!r} is not limit:<number>")
        return {"name": name, "constraint": {"limit": {"limit": int(text[6:])}}}
    values = [v for v in text.lstrip("!").split(",") if v]
    if not values:
        raise ConfigError(f"constraint {name}: {text!r} names no value")
    return {"name": name, "constraint": {"value": {"negated": text.startswith("!"), "values": values}}}

# SPDX-License-Identifier: GPL-3.0-or-later
"""`.aurora` files: the job language on pystachio, and what a job becomes for the scheduler."""

import getpass
import json
import re
import traceback
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pystachio's regular expressions are older than Python's warning about them
    from pystachio import Boolean, Default, Float, Integer, List, Map, Ref, Required, String, Struct
    from pystachio.config import Config

IDENTIFIER = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]{1,64}")
UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


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
    order = Required(List(String))


class Task(Struct):
    name = Default(String, "{{processes[0].name}}")
    processes = Required(List(Process))
    resources = Required(Resources)
    constraints = Default(List(Constraint), [])
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
    constraints = Default(Map(String, String), {})
    service = Default(Boolean, False)
    max_task_failures = Default(Integer, 1)
    production = Default(Boolean, False)
    priority = Default(Integer, 0)


def order(*names):
    return [Constraint(order=[n if isinstance(n, str) else str(n.name()) for n in names])]


def sequential_task(*args, **fields):
    task = Task(*args, **fields)
    return task(constraints=order(*task.processes()))


def simple_task(name, command):
    resources = Resources(cpu=1.0, ram=128 * UNITS["MB"], disk=128 * UNITS["MB"])
    return Task(name=name, processes=[Process(name=name, cmdline=command)], resources=resources)


class File(Config):
    @classmethod
    def load_schema(cls, environment, schema=None):
        super().load_schema(environment, schema)
        environment.update({kind.__name__: kind for kind in (Process, Resources, Constraint, Task, Job)}, **UNITS)
        environment.update(order=order, SequentialTask=sequential_task, SimpleTask=simple_task)
        environment.update(Service=lambda *args, **fields: Job(*args, **{"service": True, **fields}))


def load(path, name, bindings=()):
    """The job `cluster/role/environment/name` of file path, as the scheduler takes it. Raises ConfigError."""
    try:
        return find(path, name, bindings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except Exception as error:  # the file is a program and may fail in any way
        at = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        what = re.search(r"name '(\w+)' is not defined|Unknown schema attribute (\w+)|^'(jobs)'$", str(error))
        hint = f"{type(error).__name__}: {error}"
        if what:
            hint = (
                "no list `jobs`"
                if what[3]
                else f"{what[1] or what[2]} is not supported by the embedded default scheduler"
            )
        raise ConfigError(f"{path}{f', line {at[-1]}' if at else ''}: {hint}") from error


def find(path, name, bindings):
    jobs = [job.bind({Ref.from_address(k): v for k, v in bindings}) for job in File(path).environment["jobs"]]
    names = ["/".join(str(getattr(j, k)()) for k in ("cluster", "role", "environment", "name")) for j in jobs]
    if name not in names:
        raise ConfigError(f"no job {name}; it has: {', '.join(names) or 'none'}")
    job, unbound = jobs[names.index(name)].interpolate()
    refs = {ref.address() for ref in unbound}
    ports = sorted(ref[14:-1] for ref in refs if re.fullmatch(r"thermos\.ports\[[\w.-]+\]", ref))
    refs -= {
        "mesos.instance",
        "mesos.hostname",
        "thermos.task_id",
        "thermos.user",
        *(f"thermos.ports[{p}]" for p in ports),
    }
    if refs:
        raise ConfigError(f"not bound: {', '.join(sorted(refs))} (--bind NAME=VALUE)")
    checked = job.check()
    if not checked.ok():
        raise ConfigError(checked.message())
    data = json.loads(job.json_dumps())
    check(data, data["task"])
    return convert(data, ports)


def check(job, task):
    names = [process["name"] for process in task["processes"]]
    for name in (job["role"], job["environment"], job["name"], *names):
        if not IDENTIFIER.fullmatch(name):
            raise ConfigError(f"bad name {name!r}: letters, digits, '_', '.' and '-' only, at most 64")
    if not names or len(set(names)) < len(names):
        raise ConfigError("a task needs processes, each with a name of its own")
    if min(*task["resources"].values(), job["instances"]) <= 0:
        raise ConfigError("cpu, ram, disk and instances must be above 0")
    before = {name: set() for name in names}
    for line in (constraint["order"] for constraint in task["constraints"]):
        if set(line) - set(names):
            raise ConfigError(f"order names no process: {', '.join(sorted(set(line) - set(names)))}")
        for first, second in zip(line, line[1:], strict=False):
            before[second].add(first)
    while before:
        free = [name for name in before if not before[name] & set(before)]
        if not free:
            raise ConfigError(f"order goes round in a circle: {', '.join(sorted(before))}")
        before = {name: earlier for name, earlier in before.items() if name not in free}


def convert(data, ports):
    key = {part: data[part] for part in ("role", "environment", "name")}
    wanted = data["task"]["resources"]
    resources = [
        {"numCpus": wanted["cpu"]},
        {"ramMb": -(-wanted["ram"] // 2**20)},
        {"diskMb": -(-wanted["disk"] // 2**20)},
    ]
    config = {
        "job": key,
        "owner": {"user": getpass.getuser()},
        "isService": data["service"],
        "priority": data["priority"],
        "production": data["production"],
        "maxTaskFailures": data["max_task_failures"],
        "requestedPorts": ports,
        "constraints": [constraint(name, text) for name, text in sorted(data["constraints"].items())],
        "resources": resources + [{"namedPort": port} for port in ports],
        "executorConfig": {"name": "AuroraExecutor", "data": json.dumps({"task": data["task"]}, sort_keys=True)},
        **({"contactEmail": data["contact"]} if "contact" in data else {}),
    }
    return {"key": key, "owner": config["owner"], "taskConfig": config, "instanceCount": data["instances"]}


def constraint(name, text):
    """'a,b' one of these, '!a' none of these, 'limit:N' at most N of the job's tasks per value."""
    limit, values = re.fullmatch(r"limit:([1-9]\d*)", text), [v for v in text.removeprefix("!").split(",") if v]
    if (text.startswith("limit:") and not limit) or not values:
        raise ConfigError(f"constraint {name}={text!r}: must be VALUE,VALUE or !VALUE or limit:NUMBER")
    kind = (
        {"limit": {"limit": int(limit[1])}} if limit else {"value": {"negated": text.startswith("!"), "values": values}}
    )
    return {"name": name, "constraint": kind}

# SPDX-License-Identifier: GPL-3.0-or-later
"""`.aurora` files: the job language on pystachio, and what a job becomes for the scheduler."""

import getpass
import graphlib
import json
import re
import traceback
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pystachio's regular expressions are older than Python's warning about them
    from pystachio import Boolean, Default, Float, Integer, List, Map, Ref, Required, String, Struct
    from pystachio.config import Config

IDENTIFIER = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]{1,64}")
PORT = re.compile(r"thermos\.ports\[([\w.-]+)\]")
UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
ON_THE_AGENT = {"mesos.instance", "mesos.hostname", "thermos.task_id"}


class ConfigError(Exception):
    """The job file cannot be used; the message says why."""


class Process(Struct):
    name = Required(String)
    cmdline = Required(String)


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
    finalization_wait = Default(Integer, 30)


class Job(Struct):
    name = Default(String, "{{task.name}}")
    role = Required(String)
    cluster = Required(String)
    environment = Required(String)
    instances = Default(Integer, 1)
    task = Required(Task)
    constraints = Default(Map(String, String), {})
    service = Default(Boolean, False)


def order(*names):
    return [Constraint(order=[n if isinstance(n, str) else str(n.name()) for n in names])]


def sequential_task(*args, **fields):
    task = Task(*args, **fields)
    return task(constraints=order(*task.processes()))


class File(Config):
    @classmethod
    def load_schema(cls, environment, schema=None):
        super().load_schema(environment, schema)
        environment.update({kind.__name__: kind for kind in (Process, Resources, Constraint, Task, Job)}, **UNITS)
        environment.update(order=order, SequentialTask=sequential_task)
        environment.update(Service=lambda *args, **fields: Job(*args, **{"service": True, **fields}))


def load(path, name, bindings=()):
    """The job `cluster/role/environment/name` of file path, as the scheduler takes it. Raises ConfigError."""
    try:
        return find(path, name, bindings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except Exception as error:  # the file is a program and may fail in any way
        at = [f", line {f.lineno}" for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        unknown = re.search(r"name '(\w+)' is not defined|Unknown schema attribute (\w+)", str(error))
        what = f"{type(error).__name__}: {error}"
        if unknown:
            what = f"{unknown[1] or unknown[2]} is not supported by the embedded default scheduler"
        raise ConfigError(f"{path}{at[-1] if at else ''}: {what}") from error


def find(path, name, bindings):
    jobs = File(path).environment.get("jobs")
    if jobs is None:
        raise ConfigError("no list `jobs`")
    jobs = [job.bind({Ref.from_address(k): v for k, v in bindings}) for job in jobs]
    named = {"/".join(str(getattr(j, k)()) for k in ("cluster", "role", "environment", "name")): j for j in jobs}
    if name not in named:
        raise ConfigError(f"no job {name}; it has: {', '.join(named) or 'none'}")
    job, unbound = named[name].interpolate()
    refs = {ref.address() for ref in unbound} - ON_THE_AGENT
    ports = {ref: match[1] for ref in refs if (match := PORT.fullmatch(ref))}
    if refs - {*ports}:
        raise ConfigError(f"not bound: {', '.join(sorted(refs - {*ports}))} (--bind NAME=VALUE)")
    checked = job.check()
    if not checked.ok():
        raise ConfigError(checked.message())
    data = json.loads(job.json_dumps())
    check(data, data["task"])
    return convert(data, data["task"], sorted(ports.values()))


def check(job, task):
    names = [process["name"] for process in task["processes"]]
    for name in (job["role"], job["environment"], job["name"], *names):
        if not IDENTIFIER.fullmatch(name):
            raise ConfigError(f"bad name {name!r}: letters, digits, '_', '.' and '-' only, at most 64")
    if not names or len(set(names)) < len(names):
        raise ConfigError("a task needs processes, each with a name of its own")
    if min(*task["resources"].values(), job["instances"]) <= 0:
        raise ConfigError("cpu, ram, disk and instances must be above 0")
    before = graphlib.TopologicalSorter()
    for line in (constraint["order"] for constraint in task["constraints"]):
        for first, second in zip(line, line[1:], strict=False):
            before.add(second, first)
    if strangers := set(before.static_order()) - set(names):  # static_order raises CycleError
        raise ConfigError(f"order names no process: {', '.join(strangers)}")


def convert(job, task, ports):
    megabytes = {kind: -(-task["resources"][kind] // UNITS["MB"]) for kind in ("ram", "disk")}
    scalars = {"numCpus": task["resources"]["cpu"], "ramMb": megabytes["ram"], "diskMb": megabytes["disk"]}
    config = {
        "job": {part: job[part] for part in ("role", "environment", "name")},
        "owner": {"user": getpass.getuser()},
        "isService": job["service"],
        "requestedPorts": ports,
        "constraints": [constraint(name, text) for name, text in sorted(job["constraints"].items())],
        "resources": [{kind: value} for kind, value in scalars.items()] + [{"namedPort": port} for port in ports],
        "executorConfig": {"name": "AuroraExecutor", "data": json.dumps({"task": task}, sort_keys=True)},
    }
    return {"taskConfig": config, "instanceCount": job["instances"]}


def constraint(name, text):
    """'a,b' means one of these, '!a' none of these."""
    values = [value for value in text.removeprefix("!").split(",") if value]
    if text.startswith("limit:"):
        raise ConfigError(f"constraint {name}={text!r}: limit is not supported by the embedded default scheduler")
    if not values:
        raise ConfigError(f"constraint {name}={text!r}: must be VALUE,VALUE or !VALUE")
    return {"name": name, "constraint": {"value": {"negated": text.startswith("!"), "values": values}}}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Placement and the states of tasks, with tasks kept in memory and a Mesos that does what the test says."""

import json
import sys
import time
from types import SimpleNamespace

import pytest
from aurora_embedded import flags, offers
from conftest import words

# --- placement -------------------------------------------------------------------------------------------------------


def offer(hostname="h1", cpus=2.0, mem=1024.0, ports=(31000, 31002), **attributes):
    scalars = [
        {"name": n, "type": "SCALAR", "scalar": {"value": v}}
        for n, v in (("cpus", cpus), ("mem", mem), ("disk", 100.0))
    ]
    ranges = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": ports[0], "end": ports[1]}]}}
    shown = [{"name": n, "type": "TEXT", "text": {"value": v}} for n, v in attributes.items()]
    ids = {"id": {"value": "o1"}, "agent_id": {"value": hostname}, "hostname": hostname}
    return {**ids, "resources": [*scalars, ranges], "attributes": shown}


def value(name, *values, negated=False):
    return {"name": name, "constraint": {"value": {"negated": negated, "values": list(values)}}}


@pytest.mark.parametrize(
    ("constraints", "attributes", "reasons"),
    [
        ([], {}, []),
        ([value("rack", "a", "b")], {"rack": "b"}, []),
        ([value("rack", "a", "b")], {"rack": "c"}, ["Constraint not satisfied: rack"]),
        ([value("rack", "a")], {}, ["Constraint not satisfied: rack"]),
        ([value("rack", "a", negated=True)], {"rack": "a"}, ["Constraint not satisfied: rack"]),
        ([value("rack", "a", negated=True)], {}, []),
        ([value("host", "h1")], {}, []),
        ([value("host", "h2")], {}, ["Constraint not satisfied: host"]),
        ([{"name": "host", "constraint": {"limit": {"limit": 1}}}], {}, ["Constraint not satisfied: host"]),
        ([], {"dedicated": "www"}, ["Host is dedicated"]),
        ([value("dedicated", "www")], {"dedicated": "www"}, []),
    ],
)
def test_constraints(constraints, attributes, reasons):
    assert offers.Offer(offer(**attributes)).vetoes(constraints, {}, 0) == reasons


def test_offer_gives_until_something_is_short():
    given = offers.Offer(offer(cpus=1.5))
    assert given.vetoes([], {"cpus": 1.2, "mem": 100}, 2) == []
    taken, _numbers = given.take({"cpus": 1.2, "mem": 100})
    assert [(r["name"], r["scalar"]["value"]) for r in taken] == [("cpus", 1.2), ("mem", 100)]
    assert given.vetoes([], {"cpus": 0.3}, 0) == []
    short = ["Insufficient: cpus", "Insufficient: mem", "Insufficient: ports"]
    assert given.vetoes([], {"cpus": 0.31, "mem": 5000}, 7) == short


def test_ports_are_distinct_and_offered():
    given = offers.Offer(offer(ports=(31000, 31002)))
    resources, first = given.take({}, 2)
    _resources, second = given.take({}, 1)
    assert sorted(first + second) == [31000, 31001, 31002]
    assert resources[0]["ranges"]["range"] == [{"begin": n, "end": n} for n in first]
    assert given.vetoes([], {}, 1) == ["Insufficient: ports"]


def test_revocable_resources_are_left_alone():
    revocable = offer()
    for resource in revocable["resources"]:
        resource["revocable"] = {}
    assert offers.Offer(revocable).vetoes([], {"cpus": 0.1}, 1) == ["Insufficient: cpus", "Insufficient: ports"]


def test_attributes_of_other_types_than_text_and_scalar_are_passed_over():
    scalar = {"name": "weight", "type": "SCALAR", "scalar": {"value": 2.0}}
    ranges = {"name": "slots", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 3}]}}
    disks = {"name": "disks", "type": "SET", "set": {"item": ["a", "b"]}}
    shown = offer(rack="a")
    shown["attributes"] += [scalar, ranges, disks]
    assert offers.Offer(shown).attributes == {"host": ["h1"], "rack": ["a"], "weight": ["2"]}


# --- states of tasks -------------------------------------------------------------------------------------------------

KEY = {"role": "www-data", "environment": "prod", "name": "hello"}
SERVICE = {
    "job": KEY,
    "isService": True,
    "constraints": [],
    "resources": [{"numCpus": 0.1}, {"ramMb": 32}, {"diskMb": 16}],
    "executorConfig": {"name": "AuroraExecutor", "data": "{}"},
}


@pytest.fixture(scope="module")
def aurora():
    """The modules that need kazoo, which is Debian's and not in the environment the tests run in."""
    sys.path.append("/usr/lib/python3/dist-packages")
    from aurora_embedded import api, client, scheduler

    sys.path.remove("/usr/lib/python3/dist-packages")
    return SimpleNamespace(api=api, client=client, scheduler=scheduler)


class Memory:
    framework_id = "framework"

    def __init__(self):
        self.tasks = {}

    def put(self, name, task):
        self.tasks[name] = task


@pytest.fixture
def scheduler(aurora):
    """Of one service with one instance, which is pending."""
    made = aurora.scheduler.Scheduler(flags.parse(words())[0], Memory(), None, "h", "http://h/scheduler")
    made.create(SERVICE, 1)
    return made


def report(scheduler, state, *statuses):
    for task in scheduler.tasks(*statuses):
        scheduler.update({"task_id": {"value": task["assignedTask"]["taskId"]}, "state": state})


def launch(scheduler):
    scheduler.place([offer()])
    report(scheduler, "TASK_RUNNING", "ASSIGNED")
    (task,) = scheduler.tasks("RUNNING")
    return task


def end_penalty(scheduler):
    for task in scheduler.tasks("THROTTLED"):
        task["notBefore"] = 0
    scheduler.tick()


def test_penalty_doubles_up_to_its_maximum(scheduler):
    for penalty in (30, 60, 120, 240, 300, 300):
        launch(scheduler)
        report(scheduler, "TASK_FAILED", "RUNNING")
        scheduler.tick()
        (task,) = scheduler.tasks("THROTTLED")
        assert f"penalized for {penalty} seconds" in task["taskEvents"][-1]["message"]
        assert task["notBefore"] - time.time() == pytest.approx(penalty, abs=10)
        end_penalty(scheduler)
        assert len(scheduler.tasks("PENDING")) == 1


def test_no_penalty_after_a_long_run_or_a_loss(scheduler):
    launch(scheduler)
    report(scheduler, "TASK_FAILED", "RUNNING")
    end_penalty(scheduler)
    task = launch(scheduler)
    for event in task["taskEvents"]:
        event["timestamp"] -= 301 * 1000  # a second more than -flapping_task_threshold
    report(scheduler, "TASK_FAILED", "RUNNING")
    assert [task["flaps"] for task in scheduler.tasks("PENDING")] == [0]
    launch(scheduler)
    report(scheduler, "TASK_LOST", "RUNNING")
    assert len(scheduler.tasks("PENDING")) == 1


# --- the client's restart --------------------------------------------------------------------------------------------


@pytest.fixture
def restart(aurora, scheduler, monkeypatch):
    """`aurora job restart` on this scheduler; while the client sleeps, what `meanwhile` does happens."""

    def call(_api, name, **arguments):
        return json.loads(json.dumps(aurora.api.CALLS[name](scheduler, **arguments)))

    def run(meanwhile, timeout=3):
        monkeypatch.setattr(time, "sleep", lambda _seconds: meanwhile())
        aurora.client.restart(SimpleNamespace(key="example/www-data/prod/hello", timeout=timeout))

    monkeypatch.setattr(aurora.client, "find_scheduler", lambda _cluster: None)
    monkeypatch.setattr(aurora.client.Api, "call", call)
    return run


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED"])
def test_restart_of_an_instance_that_waits_ends_when_it_runs(scheduler, restart, status):
    if status == "THROTTLED":
        launch(scheduler)
        report(scheduler, "TASK_FAILED", "RUNNING")
    (before,) = scheduler.tasks(status)

    def meanwhile():
        end_penalty(scheduler)
        if scheduler.tasks("PENDING"):
            launch(scheduler)

    restart(meanwhile)
    (after,) = scheduler.tasks("RUNNING")
    assert after["assignedTask"]["taskId"] == before["assignedTask"]["taskId"]


def test_restart_of_a_running_instance_waits_for_its_successor(scheduler, restart):
    before = launch(scheduler)

    def meanwhile():
        if scheduler.tasks("PENDING"):
            launch(scheduler)
        report(scheduler, "TASK_KILLED", "RESTARTING")

    restart(meanwhile)
    (after,) = scheduler.tasks("RUNNING")
    assert after["ancestorId"] == before["assignedTask"]["taskId"]


def test_restart_tells_what_does_not_run_again(aurora, scheduler, restart):
    with pytest.raises(aurora.client.Exit, match="Instance 0 does not run again: not within 0 s") as ended:
        restart(lambda: None, timeout=0)
    assert ended.value.code == 9


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_metrics_and_notes_show_no_secret(aurora):
    address = "zk://aurora:hush@zk1:2181,zk2:2181/mesos"
    options, notes = flags.parse(words(mesos_master_address=address, zk_digest_credentials="aurora:hush"))
    assert notes == []  # which are logged
    program = SimpleNamespace(flags=options, started=0, state="ACTIVE", zk=None, scheduler=None)
    handler = SimpleNamespace(program=program, server=SimpleNamespace(errors=0))
    values = aurora.api.Api.metrics(handler)
    assert values["flag_mesos_master_address"] == "zk://zk1:2181,zk2:2181/mesos"
    assert "hush" not in str(values)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the running system says of itself: who leads, who is registered, what runs."""

from __future__ import annotations

import json
import re
import time

from conftest import CLUSTER

JOB = "example/www-data/prod/hello"


def active_tasks() -> list[dict]:
    return json.loads(CLUSTER.machine("devtools").check_output(f"aurora job status --write-json {JOB}"))[0]["active"]


def test_zookeeper_leads_alone():
    answer = CLUSTER.machine("devtools").check_output(
        "bash -c 'exec 3<>/dev/tcp/zookeeper/2181; printf srvr >&3; cat <&3'"
    )
    assert re.search(r"^Mode: standalone$", answer, re.MULTILINE)


def test_one_master_is_elected_and_every_agent_registered():
    assert CLUSTER.get("mesos-master", 5050, "/metrics/snapshot")["master/elected"] == 1
    agents = CLUSTER.get("mesos-master", 5050, "/slaves")["slaves"]
    assert sorted((agent["hostname"], agent["active"]) for agent in agents) == [
        ("mesos-slave1", True),
        ("mesos-slave2", True),
    ]


def test_the_scheduler_leads_and_is_a_framework():
    asked = "curl -s -o /dev/null -w '%{http_code}' http://aurora-scheduler:8081/leaderhealth"
    assert CLUSTER.machine("devtools").check_output(asked) == "200"
    assert CLUSTER.get("aurora-scheduler", 8081, "/vars.json")["framework_registered"] == 1
    frameworks = CLUSTER.get("mesos-master", 5050, "/state")["frameworks"]
    assert [(framework["name"], framework["active"]) for framework in frameworks] == [("Aurora", True)]


def test_hello_world_runs_as_its_role_and_its_words_are_read_through_the_agent():
    [task] = active_tasks()
    assert task["status"] == "RUNNING"
    assigned = task["assignedTask"]
    state = CLUSTER.get(assigned["slaveHost"], 5051, "/state")
    [directory] = [
        executor["directory"]
        for framework in state["frameworks"]
        for executor in framework["executors"]
        if executor["id"] == f"thermos-{assigned['taskId']}"
    ]
    printed = CLUSTER.get(
        assigned["slaveHost"], 5051, f"/files/read?offset=0&length=200&path={directory}/sandbox/.logs/hello/0/stdout"
    )
    assert printed["data"].startswith(f"Hello World from {assigned['slaveHost']}, instance 0")


def test_a_task_lives_on_while_its_agent_restarts():
    [before] = active_tasks()
    name, deadline = before["assignedTask"]["slaveHost"], time.monotonic() + 60
    CLUSTER.machine(name).check_output("systemctl restart mesos-agent")
    while time.monotonic() < deadline:
        try:
            if CLUSTER.get(name, 5051, "/metrics/snapshot")["slave/registered"] == 1:
                break
        except OSError:
            pass
        time.sleep(1)
    assert CLUSTER.get(name, 5051, "/metrics/snapshot")["slave/executors_running"] == 1
    [after] = active_tasks()
    assert (after["status"], after["assignedTask"]["taskId"]) == ("RUNNING", before["assignedTask"]["taskId"])

# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages on a real ZooKeeper and a real Mesos. The tests build on one another, in the order of the file."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import free_port, get, until

HELLO = "example/www-data/prod/hello"
JOBS = """
def task(name, command, **more):
    return Task(processes=[Process(name=name, cmdline=command)], resources=Resources(cpu=0.1, ram=32*MB, disk=16*MB), **more)

def job(name, command, instances=1, **more):
    return Job(cluster='example', role='www-data', environment='prod', name=name, instances=instances, task=task(name, command), **more)

jobs = [
    job('hello', 'while true; do echo Hello World {{mesos.instance}} from {{mesos.hostname}}; sleep 1; done', service=True),
    job('web', 'exec /usr/bin/python3 -m http.server --bind 127.0.0.3 {{thermos.ports[http]}}', service=True),
    job('once', 'echo done by $(id -un); sleep 1'),
    job('fails', 'exit 7'),
    job('suited', 'sleep 300', instances=2, constraints={'host': '127.0.0.3', 'rack': 'r1'}),
    job('elsewhere', 'sleep 300', constraints={'zone': '!z1'}),
    job('huge', 'sleep 300', instances=4001),
    job('stubborn', "trap '' TERM; while true; do sleep 0.2; done", service=True)(task=task('stubborn', "trap '' TERM; while true; do sleep 0.2; done", finalization_wait=1)),
]
"""


@pytest.fixture(scope="module")
def jobs(cluster):
    path = cluster.base / "jobs.aurora"
    path.write_text(JOBS)
    return path


@pytest.fixture(scope="module")
def leader(cluster):
    url = cluster.start_scheduler("first", "127.0.0.11")
    until("the first scheduler leads", lambda: get(f"{url}/leaderhealth")[0] == 200)
    return url


def task_id(cluster, job=HELLO):
    return cluster.tasks(job)[0]["assignedTask"]["taskId"]


def running(cluster, job=HELLO):
    return [t["assignedTask"]["taskId"] for t in cluster.tasks(job) if t["status"] == "RUNNING"]


def variables(url):
    return json.loads(get(f"{url}/vars.json")[1])


def ok(cluster, *arguments):
    code, out, err = cluster.aurora(*arguments)
    assert code == 0, out + err
    return out


# --- one scheduler ---------------------------------------------------------------------------------------------------


def test_endpoints(cluster, leader):
    assert get(f"{leader}/health")[:2] == (200, "OK")
    values = variables(leader)
    assert (
        values["framework_registered"],
        values["scheduler_lifecycle_ACTIVE"],
        values["scheduler_lifecycle_DEAD"],
    ) == (1, 1, 0)
    assert "framework_registered 1\n" in get(f"{leader}/vars")[1]
    assert "Aurora cluster example" in get(f"{leader}/scheduler")[1]
    assert get(f"{leader}/")[0] == 200
    assert get(f"{leader}/scheduler/nobody")[0] == 404
    assert get(f"{leader}/nothing")[0] == 404
    for name in ("quitquitquit", "abortabortabort", "agents", "maintenance"):
        status, text, _headers = get(f"{leader}/{name}", b"")
        assert (status, text) == (404, f"POST /{name} is not served by the embedded default\n")
    assert get(f"{leader}/apibeta/getTasksStatus", b"{}", {"Content-Type": "text/plain"})[0] == 400
    status, text, _headers = get(f"{leader}/apibeta/createJob", b"[1]", {"Content-Type": "application/json"})
    assert (status, text.startswith("Malformed request: ")) == (400, True)
    with socket.create_connection(("127.0.0.11", int(leader.rpartition(":")[2])), 5) as raw:
        raw.sendall(
            b"POST /apibeta/getTasksStatus HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.0 413 ")


def test_hello_world(cluster, leader, jobs):
    out = ok(cluster, "job", "create", HELLO, jobs)
    assert out == f"Job create succeeded: job url={leader}/scheduler/www-data/prod/hello\n"
    until("it runs", lambda: running(cluster))
    task = cluster.tasks(HELLO)[0]
    assert [event["status"] for event in task["taskEvents"]] == ["PENDING", "ASSIGNED", "STARTING", "RUNNING"]
    assert task["assignedTask"]["slaveHost"] == "127.0.0.3"
    assert re.fullmatch(r"www-data-prod-hello-0-[0-9a-f-]{36}", task["assignedTask"]["taskId"])
    path = "sandbox/.logs/hello/0/stdout"
    line = until("output", lambda: cluster.sandbox(task["assignedTask"]["taskId"], path))
    assert line.startswith("Hello World 0 from 127.0.0.3\n")
    page = get(f"{leader}/scheduler/www-data/prod/hello")[1]
    assert task["assignedTask"]["taskId"] in page
    assert f"http://127.0.0.3:1338/task/{task['assignedTask']['taskId']}" in page
    state = json.loads(get(f"http://127.0.0.2:{cluster.master_port}/state")[1])
    framework = state["frameworks"][0]
    assert (framework["name"], framework["checkpoint"], framework["webui_url"]) == (
        "Aurora",
        True,
        f"{leader}/scheduler",
    )
    assert framework["failover_timeout"] == 21 * 86400


def test_status_list_inspect_and_diff(cluster, leader, jobs):
    assert "status: RUNNING on 127.0.0.3" in ok(cluster, "job", "status", HELLO)
    assert ok(cluster, "job", "list", "example/www-data") == f"{HELLO}\n"
    assert ok(cluster, "job", "list", "example/nobody") == ""
    assert '"isService": true' in ok(cluster, "job", "inspect", HELLO, jobs)
    assert ok(cluster, "job", "diff", HELLO, jobs) == "No differences\n"
    changed = cluster.base / "changed.aurora"
    changed.write_text(JOBS.replace("cpu=0.1", "cpu=0.2"))
    assert '+      "numCpus": 0.2' in ok(cluster, "job", "diff", HELLO, changed)
    assert cluster.aurora("job", "status", "example/www-data/prod/none")[0] == 6
    assert json.loads(ok(cluster, "job", "status", "--write-json", "example/www-data/prod/none")) == {
        "error": "No matching jobs found"
    }
    code, _out, err = cluster.aurora("job", "create", HELLO, jobs)
    assert (code, "Job already exists: www-data/prod/hello" in err) == (4, True)
    code, _out, err = cluster.aurora("job", "create", "example/www-data/prod/huge", jobs)
    assert (code, "4001 instances: at least 1 and at most 4000" in err) == (4, True)
    qa = cluster.base / "qa.aurora"
    qa.write_text(JOBS.replace("'prod'", "'production'"))
    code, _out, err = cluster.aurora("job", "create", HELLO.replace("prod", "production"), qa)
    assert (code, "Job environment production doesn't match" in err) == (4, True)


@pytest.fixture(scope="module")
def observer(cluster, leader):
    port = free_port("127.0.0.3")
    cluster.spawn(
        "observer",
        cluster.root / "usr/sbin/thermos_observer",
        "--ip=127.0.0.3",
        f"--port={port}",
        f"--mesos-root={cluster.base}/agent",
        "--log_to_disk=NONE",
    )
    url = f"http://127.0.0.3:{port}"
    until("the observer answers", lambda: get(f"{url}/health")[0] == 200)
    return url


def test_observer_shows_task_and_output_but_nothing_outside(cluster, observer):
    task = task_id(cluster)
    assert task in get(f"{observer}/main/active")[1]
    assert task not in get(f"{observer}/main/finished")[1]
    assert f"/file/{task}/.logs/hello/0/stdout" in get(f"{observer}/task/{task}")[1]
    assert "while true; do echo Hello World" in get(f"{observer}/task/{task}")[1]
    assert get(f"{observer}/file/{task}/.logs/hello/0/stdout")[1].startswith("Hello World 0")
    assert ".logs" in get(f"{observer}/file/{task}")[1]
    raw = json.loads(get(f"{observer}/rawtask/{task}")[1])
    assert (raw["state"], raw["user"]) == ("RUNNING", "www-data")
    for path in (
        "%2e%2e/checkpoints/task.json",
        "../checkpoints/task.json",
        "%2fetc%2fpasswd",
        ".logs/..%2f..%2f..",
        "nothing",
    ):
        assert get(f"{observer}/file/{task}/{path}")[0] == 404
    assert get(f"{observer}/task/..")[0] == 404
    assert json.loads(get(f"{observer}/vars.json")[1])["tasks_active"] == 1
    done = subprocess.run(
        [cluster.root / "usr/bin/thermos", f"--mesos-root={cluster.base}/agent", "status"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{task}\tRUNNING\twww-data\thello:RUNNING\n"


def test_ports_users_ends_and_failures(cluster, leader, jobs):
    for name in ("web", "once", "fails"):
        ok(cluster, "job", "create", f"example/www-data/prod/{name}", jobs)
    until("web runs", lambda: running(cluster, "example/www-data/prod/web"))
    ports = cluster.tasks("example/www-data/prod/web")[0]["assignedTask"]["assignedPorts"]
    assert 31000 <= ports["http"] <= 31100
    until("its port answers", lambda: get(f"http://127.0.0.3:{ports['http']}/")[0] == 200)
    once = until("once ends", lambda: cluster.tasks("example/www-data/prod/once", "inactive"))[0]
    assert once["status"] == "FINISHED"
    assert cluster.sandbox(once["assignedTask"]["taskId"], "sandbox/.logs/once/0/stdout") == "done by www-data\n"
    failed = until(
        "fails ends",
        lambda: (
            not cluster.tasks("example/www-data/prod/fails")
            and cluster.tasks("example/www-data/prod/fails", "inactive")
        ),
    )
    assert [(task["status"], task["failureCount"]) for task in failed] == [("FAILED", 1)]
    assert "Failed processes: fails" in failed[0]["taskEvents"][-1]["message"]
    assert ok(cluster, "job", "list", "example") == f"{HELLO}\nexample/www-data/prod/web\n"
    ok(cluster, "job", "killall", "example/www-data/prod/web")


def test_constraints_hold_tasks_back(cluster, leader, jobs):
    for name in ("suited", "elsewhere"):
        ok(cluster, "job", "create", f"example/www-data/prod/{name}", jobs)
    until("both suited run", lambda: len(running(cluster, "example/www-data/prod/suited")) == 2)
    until("a reason", lambda: "Constraint not satisfied: zone" in get(f"{leader}/scheduler/www-data/prod/elsewhere")[1])
    assert [t["status"] for t in cluster.tasks("example/www-data/prod/elsewhere")] == ["PENDING"]
    ok(cluster, "job", "kill", "example/www-data/prod/suited/1")
    assert len(running(cluster, "example/www-data/prod/suited")) == 1
    for name in ("suited", "elsewhere"):
        ok(cluster, "job", "killall", f"example/www-data/prod/{name}")
    assert cluster.aurora("job", "killall", "example/www-data/prod/suited")[0] == 6


def processes_of(task):
    """pid -> uid of what the agent started for a task, the executor and its processes."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"/executors/thermos-{task}/".encode() in (directory / "environ").read_bytes():
                found[int(directory.name)] = directory.stat().st_uid
    return found


def test_killed_service_comes_back(cluster, leader):
    before = task_id(cluster)
    for pid, uid in processes_of(before).items():
        if uid != 0:  # the task's own processes, not its executor
            os.kill(pid, signal.SIGKILL)
    after = until("another task runs", lambda: [i for i in running(cluster) if i != before])
    events = cluster.tasks(HELLO)[0]["taskEvents"]
    assert events[0]["status"] == "THROTTLED"
    assert "penalized for 1 seconds for flapping" in events[0]["message"]
    assert cluster.tasks(HELLO)[0]["ancestorId"] == before
    assert len(after) == 1


def test_dead_executor_costs_only_a_new_task(cluster, leader):
    before = task_id(cluster)
    executors = [pid for pid, uid in processes_of(before).items() if uid == 0]
    assert executors
    for pid in executors:
        os.kill(pid, signal.SIGKILL)
    until("another task runs", lambda: [i for i in running(cluster) if i != before])
    until("nothing of the old one is left", lambda: not processes_of(before))


def test_restart_gives_new_tasks(cluster, leader):
    before = task_id(cluster)
    ok(cluster, "job", "restart", HELLO, "--timeout", "30")
    assert running(cluster) != [before]
    assert len(running(cluster)) == 1


def test_agent_restart_keeps_the_task(cluster, leader):
    before = task_id(cluster)
    lines = len(cluster.sandbox(before, "sandbox/.logs/hello/0/stdout").splitlines())
    cluster.stop("agent", signal.SIGKILL)
    time.sleep(1)
    cluster.start_agent()
    until(
        "the agent serves the sandbox",
        lambda: len(cluster.sandbox(before, "sandbox/.logs/hello/0/stdout").splitlines()) > lines,
    )
    assert running(cluster) == [before]
    stderr = until(
        "the executor is back",
        lambda: "the stream" in cluster.sandbox(before, "stderr") and cluster.sandbox(before, "stderr"),
    )
    assert "stopping the task" not in stderr


# --- several schedulers ----------------------------------------------------------------------------------------------


def test_another_scheduler_takes_over_with_tasks_running(cluster, leader, jobs):
    second = cluster.start_scheduler("second", "127.0.0.12")
    until("the second one waits", lambda: variables(second)["scheduler_lifecycle_STORAGE_PREPARED"] == 1)
    assert get(f"{second}/leaderhealth")[0] == 503
    status, _text, headers = get(f"{second}/scheduler/www-data")
    assert (status, headers["Location"]) == (307, f"{leader}/scheduler/www-data")
    cluster.write_clusters(scheduler_uri=second)  # the client follows as well
    before = running(cluster)
    cluster.write_clusters()
    assert len(before) == 1
    cluster.stop("first", signal.SIGKILL)
    begun = time.monotonic()
    until("the second one leads", lambda: get(f"{second}/leaderhealth")[0] == 200, 40)
    print(f"takeover after kill -9: {time.monotonic() - begun:.1f} s")
    assert running(cluster) == before
    ok(cluster, "job", "create", "example/www-data/prod/stubborn", jobs)
    until("stubborn runs", lambda: running(cluster, "example/www-data/prod/stubborn"))
    state = json.loads(get(f"http://127.0.0.2:{cluster.master_port}/state")[1])
    assert [(f["name"], f["active"]) for f in state["frameworks"]] == [("Aurora", True)]
    assert state["completed_frameworks"] == []


def test_graceful_stop_hands_over_at_once(cluster):
    third = cluster.start_scheduler("third", "127.0.0.13")
    until("the third one waits", lambda: variables(third)["scheduler_lifecycle_STORAGE_PREPARED"] == 1)
    before = running(cluster)
    begun = time.monotonic()
    assert cluster.stop("second") == 0
    until("the third one leads", lambda: get(f"{third}/leaderhealth")[0] == 200)
    print(f"takeover after SIGTERM: {time.monotonic() - begun:.1f} s")
    assert running(cluster) == before


def test_frozen_leader_leaves_when_it_wakes(cluster):
    frozen, before = cluster.processes.pop("third"), running(cluster)
    fresh = cluster.start_scheduler("fresh", "127.0.0.15")
    until("the fresh one waits", lambda: variables(fresh)["scheduler_lifecycle_STORAGE_PREPARED"] == 1)
    frozen.send_signal(signal.SIGSTOP)
    until("the fresh one leads", lambda: get(f"{fresh}/leaderhealth")[0] == 200)
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(10) == 1
    log = (cluster.base / "third.log").read_text()  # whichever tells it first, ZooKeeper or Mesos
    assert re.search(
        "exiting: (Lost leadership: the ZooKeeper session is LOST|Mesos refuses the framework: Framework failed over)",
        log,
    )
    assert running(cluster) == before
    assert get(f"{fresh}/leaderhealth")[0] == 200


def test_backups_query_and_reconciliation(cluster):
    (cluster.base / "backups/scheduler-backup-2020-01-01-00-00").write_text("{}")
    admin = "usr/bin/aurora-admin"
    code, out, err = cluster.aurora("scheduler_backup_now", "example", command=admin)
    assert (code, re.fullmatch(r"scheduler-backup-\d{4}-\d\d-\d\d-\d\d-\d\d\n", out) is not None) == (0, True), err
    saved = json.loads((cluster.base / "backups" / out.strip()).read_text())
    jobs = {task["assignedTask"]["task"]["job"]["name"] for task in saved["tasks"].values()}
    assert {"hello", "stubborn"} <= jobs
    assert cluster.aurora("scheduler_list_backups", "example", command=admin)[1].split() == [
        "scheduler-backup-2020-01-01-00-00",
        out.strip(),
    ]
    code, out, _err = cluster.aurora(
        "query",
        "-l",
        "%taskId% %role%/%jobName%",
        "--shards=0",
        "--states=RUNNING",
        "example",
        "www-data",
        "hello",
        command=admin,
    )
    assert (code, out) == (0, f"{running(cluster)[0]} www-data/hello\n")
    assert cluster.aurora("reconcile_tasks", "example", command=admin)[0] == 0


def test_kill_ends_even_a_stubborn_task(cluster):
    code, _out, err = cluster.aurora("job", "killall", "example/www-data/prod/stubborn", "--timeout", "30")
    assert code == 0, err
    assert [t["status"] for t in cluster.tasks("example/www-data/prod/stubborn", "inactive")] == ["KILLED"]
    ok(cluster, "job", "kill", f"{HELLO}/0")
    assert ok(cluster, "job", "list", "example") == ""
    until(
        "Mesos sees no task",
        lambda: not json.loads(get(f"http://127.0.0.2:{cluster.master_port}/state")[1])["frameworks"][0]["tasks"],
    )


def test_lost_zookeeper_ends_the_leader(cluster):
    url = cluster.start_scheduler(
        "fourth",
        "127.0.0.14",
        max_leading_duration="3secs",
        serverset_path="/other",
        native_log_zk_group_path="/other-log",
    )
    until("it leads", lambda: get(f"{url}/leaderhealth")[0] == 200)
    assert cluster.processes.pop("fourth").wait(20) == 1
    assert "-max_leading_duration" in (cluster.base / "fourth.log").read_text()
    cluster.stop("zookeeper", signal.SIGKILL)
    assert cluster.processes.pop("fresh").wait(20) == 1
    assert "Lost leadership" in (cluster.base / "fresh.log").read_text()

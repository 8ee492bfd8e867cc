# SPDX-License-Identifier: GPL-3.0-or-later
"""A real master and agent: registration, tasks and their sandboxes, restart, TLS."""

import base64
import http.server
import json
import signal
import ssl
import subprocess
import tarfile
import threading
import urllib.request

import pytest
from conftest import ADDRESS, Daemon, clean_environment, free_port, wait_for


def test_the_agent_offers_what_it_was_given(cluster):
    (agent,) = cluster.get("/slaves")["slaves"]
    assert (agent["hostname"], agent["pid"]) == (ADDRESS, f"slave(1)@{cluster.agent_address}")
    assert {name: agent["resources"][name] for name in ("cpus", "mem", "ports")} == {
        "cpus": 2.0,
        "mem": 512.0,
        "ports": "[31000-31010]",
    }


def test_resolve_names_the_leader(cluster, root):
    command = [root / "usr/bin/mesos-resolve", cluster.master_address]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=clean_environment())
    assert (result.stdout, result.stderr) == (cluster.master_address + "\n", "")


def test_a_task_runs_and_its_line_is_read_back(cluster):
    with cluster.scheduler() as scheduler:
        variables = [{"name": "WHO", "value": "World"}]
        scheduler.launch("hello", {"value": "echo Hello $WHO", "environment": {"variables": variables}})
        states = [status["state"] for status in scheduler.updates("hello", "TASK_FINISHED")]
        assert states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
        assert "Hello World\n" in cluster.read(scheduler, "hello", "stdout")


def test_a_command_without_a_shell_gets_its_arguments(cluster):
    with cluster.scheduler() as scheduler:
        command = {"shell": False, "value": "/bin/echo", "arguments": ["echo", "$HOME", "a b"]}
        scheduler.launch("plain", command)
        scheduler.updates("plain", "TASK_FINISHED")
        assert "$HOME a b\n" in cluster.read(scheduler, "plain", "stdout")


@pytest.mark.parametrize(
    ("command", "more", "reason"),
    [
        ({"value": "exit 7"}, {}, "Command exited with status 7"),
        ({"value": "kill -9 $$"}, {}, "Command terminated with signal Killed"),
        ({"shell": False, "value": "/no/such/program"}, {}, "cannot run the command"),
        ({"value": "true"}, {"health_check": {"type": "COMMAND", "command": {"value": "true"}}}, "health_check"),
    ],
)
def test_a_failed_task_says_why(cluster, command, more, reason):
    with cluster.scheduler() as scheduler:
        scheduler.launch("failing", command, **more)
        assert reason in scheduler.updates("failing", "TASK_FAILED")[-1]["message"]


def test_a_killed_task_gets_its_grace_period(cluster):
    with cluster.scheduler() as scheduler:
        policy = {"kill_policy": {"grace_period": {"nanoseconds": 500_000_000}}}
        scheduler.launch("stubborn", {"value": "trap '' TERM; echo ready; while :; do sleep 0.1; done"}, **policy)
        scheduler.updates("stubborn", "TASK_RUNNING")
        wait_for("the trap is set", lambda: "ready" in cluster.read(scheduler, "stubborn", "stdout"))
        scheduler.call("KILL", kill={"task_id": {"value": "stubborn"}})
        assert "signal Killed" in scheduler.updates("stubborn", "TASK_KILLED")[-1]["message"]


def test_uris_are_fetched_and_extracted(cluster, tmp_path):
    (tmp_path / "greeting").write_text("fetched\n")
    (tmp_path / "tool").write_text("#!/bin/sh\necho tool ran\n")
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "greeting", "inside/greeting")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=tmp_path)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer((ADDRESS, 0), Handler) as server, cluster.scheduler() as scheduler:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uris = [
            {"value": f"file://{tmp_path}/archive.tar.gz"},
            {"value": f"http://{ADDRESS}:{server.server_port}/tool", "executable": True, "output_file": "bin/run"},
            {"value": f"http://{ADDRESS}:{server.server_port}/greeting", "cache": True},
        ]
        scheduler.launch("fetching", {"value": "cat inside/greeting greeting; bin/run", "uris": uris})
        scheduler.updates("fetching", "TASK_FINISHED")
        assert "fetched\nfetched\ntool ran\n" in cluster.read(scheduler, "fetching", "stdout")
        scheduler.launch("missing", {"value": "true", "uris": [{"value": f"file://{tmp_path}/nowhere"}]})
        scheduler.updates("missing", "TASK_FAILED")
        assert f"{tmp_path}/nowhere" in cluster.read(scheduler, "missing", "stderr")
        server.shutdown()


def test_a_task_outlives_its_agent(cluster):
    with cluster.scheduler() as scheduler:
        scheduler.launch("survivor", {"value": "until [ -e go ]; do sleep 0.1; done; echo gone on"})
        running = scheduler.updates("survivor", "TASK_RUNNING")[-1]
        cluster.agent.stop(signal.SIGKILL)
        cluster.start_agent()
        (agent,) = cluster.get("/slaves")["slaves"]
        assert agent["id"] == running["agent_id"]["value"]
        (executor,) = wait_for("the executor is back", lambda: executors(cluster, scheduler))
        with open(executor["directory"] + "/go", "w"):
            pass
        scheduler.updates("survivor", "TASK_FINISHED")
        assert "gone on\n" in cluster.read(scheduler, "survivor", "stdout")


def executors(cluster, scheduler):
    frameworks = cluster.from_agent("/state")["frameworks"]
    return [e for f in frameworks if f["id"] == scheduler.framework_id["value"] for e in f["executors"]]


def test_a_command_inside_a_running_task_streams_its_output(cluster):
    """Mesos' `exec`: the agent starts mesos-containerizer and mesos-io-switchboard for it."""
    with cluster.scheduler() as scheduler:
        scheduler.launch("host", {"value": "sleep 60"})
        status = scheduler.updates("host", "TASK_RUNNING")[-1]
        parent = status["container_status"]["container_id"]
        session = {"container_id": {"value": "inner", "parent": parent}, "command": {"value": "echo from inside"}}
        call = {"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session}
        headers = {"Content-Type": "application/json", "Accept": "application/recordio"}
        headers["Message-Accept"] = "application/json"
        request = urllib.request.Request(f"http://{cluster.agent_address}/api/v1", json.dumps(call).encode(), headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            output = response.read()
        assert base64.b64encode(b"from inside\n") in output


def test_tls_goes_through_to_the_system_openssl(root, tmp_path):
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={ADDRESS}", "-days", "2"),
            *(
                "-addext",
                f"subjectAltName=IP:{ADDRESS}",
                "-keyout",
                tmp_path / "key.pem",
                "-out",
                tmp_path / "cert.pem",
            ),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    command = [root / "usr/sbin/mesos-master", f"--ip={ADDRESS}", f"--port={port}", "--registry=in_memory"]
    settings = {
        "LIBPROCESS_SSL_ENABLED": "true",
        "LIBPROCESS_SSL_KEY_FILE": f"{tmp_path}/key.pem",
        "LIBPROCESS_SSL_CERT_FILE": f"{tmp_path}/cert.pem",
    }
    master = Daemon("tls", [*command, f"--hostname={ADDRESS}"], tmp_path, settings)
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

        def version():
            with urllib.request.urlopen(f"https://{ADDRESS}:{port}/version", timeout=5, context=context) as response:
                return json.load(response)["version"]

        assert wait_for("the master answers over TLS", version) == "1.11.0"
    finally:
        master.stop()

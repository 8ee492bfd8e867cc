# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest framework that can run a command task: the v1 scheduler HTTP API with the standard library."""

from __future__ import annotations

import http.client
import json
import time

FINAL = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE"}


class Scheduler:
    """One subscription; launches one task a call and follows it to a wanted state."""

    def __init__(self, master: str, user: str, **info):
        self.master = master
        self.stream = http.client.HTTPConnection(master, timeout=20)
        info = {"user": user, "name": "test", "checkpoint": True, "failover_timeout": 30, **info}
        self.stream.request(
            "POST",
            "/api/v1/scheduler",
            json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        self.response = self.stream.getresponse()
        if self.response.status != 200:
            raise RuntimeError(f"SUBSCRIBE: {self.response.status} {self.response.read()!r}")
        self.stream_id = self.response.headers["Mesos-Stream-Id"]
        self.framework_id = self.wait_for("SUBSCRIBED")["subscribed"]["framework_id"]

    def call(self, kind: str, **body) -> None:
        connection = http.client.HTTPConnection(self.master, timeout=20)
        headers = {"Content-Type": "application/json", "Mesos-Stream-Id": self.stream_id}
        message = {"type": kind, "framework_id": self.framework_id, **body}
        connection.request("POST", "/api/v1/scheduler", json.dumps(message), headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status != 202:
            raise RuntimeError(f"{kind}: {response.status} {text!r}")

    def event(self) -> dict:
        """The next event: records are a length in decimal, a newline, and that many bytes."""
        length = b""
        while not length.endswith(b"\n"):
            byte = self.response.read(1)
            if not byte:
                raise RuntimeError("the master closed the stream")
            length += byte
        return json.loads(self.response.read(int(length)))

    def wait_for(self, kind: str, limit: float = 20) -> dict:
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            event = self.event()
            if event["type"] == "ERROR":
                raise RuntimeError(event["error"]["message"])
            if event["type"] == kind:
                return event
        raise TimeoutError(f"no {kind} within {limit} s")

    def launch(self, task_id: str, command: dict, name: str | None = None, **more) -> dict:
        """Accepts the next offer with a command task; returns the offer."""
        offer = self.wait_for("OFFERS")["offers"]["offers"][0]
        resources = [{"name": n, "type": "SCALAR", "scalar": {"value": v}} for n, v in (("cpus", 0.1), ("mem", 32))]
        task = {
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "name": name or task_id,
            "resources": resources,
            "command": command,
            **more,
        }
        operation = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
        accept = {"offer_ids": [offer["id"]], "operations": [operation], "filters": {"refuse_seconds": 0.1}}
        self.call("ACCEPT", accept=accept)
        return offer

    def updates(self, task_id: str, until: str, limit: float = 20) -> list[dict]:
        """The task's status updates, acknowledged, up to the wanted state; any other final state is an error."""
        seen = []
        while True:
            status = self.wait_for("UPDATE", limit)["update"]["status"]
            if status.get("uuid"):
                ack = {"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]}
                self.call("ACKNOWLEDGE", acknowledge=ack)
            if status["task_id"]["value"] != task_id:
                continue
            seen.append(status)
            if status["state"] == until:
                return seen
            if status["state"] in FINAL:
                raise RuntimeError(f"{task_id}: {status['state']} {status.get('message')}, wanted {until}")

    def close(self) -> None:
        self.call("TEARDOWN")
        self.stream.close()

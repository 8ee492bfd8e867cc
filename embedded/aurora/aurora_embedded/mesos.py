# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of Mesos' v1 HTTP API: one stream of events, calls beside it. Standard library only, because the
executor runs from it on every agent."""

import http.client
import json
import socket


class MesosError(Exception):
    """Mesos refused a call, or the connection broke."""


class Stream:
    """A subscription. Iterating gives events; call() sends a call that belongs to it."""

    def __init__(self, address, path, subscribe, timeout=None):
        self.address, self.path = address, path
        self.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self.events = http.client.HTTPConnection(address, timeout=10)
        try:
            self.events.request("POST", path, json.dumps(subscribe), self.headers)
            self.response = self.events.getresponse()
            if self.response.status != 200:
                reason = self.response.read(500).decode(errors="replace").strip()
                raise MesosError(f"{address} answers {self.response.status} to SUBSCRIBE: {reason}")
            self.events.sock.settimeout(timeout)
        except (OSError, http.client.HTTPException) as error:
            raise MesosError(f"{address}: {error}") from error
        if "Mesos-Stream-Id" in self.response.headers:
            self.headers["Mesos-Stream-Id"] = self.response.headers["Mesos-Stream-Id"]
        self.calls = http.client.HTTPConnection(self.address, timeout=10)

    def __iter__(self):
        try:
            while length := self.response.readline(32):
                yield json.loads(self.response.read(int(length)))
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            raise MesosError(f"the stream from {self.address} broke: {error}") from error
        raise MesosError(f"{self.address} ended the stream")

    def call(self, body):
        try:
            self.calls.request("POST", self.path, json.dumps(body), self.headers)
            answer = self.calls.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.calls.close()
            if self.events.sock:
                self.events.sock.shutdown(socket.SHUT_RDWR)  # subscribe again rather than go on with a call lost
            raise MesosError(f"{body['type']} to {self.address}: {error}") from error
        if answer.status >= 300:
            raise MesosError(f"{self.address} refused {body['type']}: {answer.status} {text}")

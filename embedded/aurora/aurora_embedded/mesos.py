# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of Mesos' v1 HTTP API: one stream of events, calls beside it. Standard library only, because the
executor runs from it on every agent."""

import base64
import http.client
import json
import socket
import urllib.parse


class MesosError(Exception):
    """Mesos refused a call, or the connection broke."""


def zk_address(url):
    """zk://user:pass@host:port,host/path -> (hosts, path, digest credentials or None)."""
    rest = url[len("zk://") :]
    auth, _at, rest = rest.rpartition("@")
    hosts, slash, path = rest.partition("/")
    return hosts, slash + path, auth or None


def leading_master(client, path):
    """host:port of the master with the lowest sequence number below path, or None."""
    from kazoo.exceptions import NoNodeError

    try:
        masters = [c for c in client.get_children(path) if c.startswith("json.info_")]
        if not masters:
            return None
        info = json.loads(client.get(f"{path}/{min(masters)}")[0])
    except NoNodeError:
        return None
    return f"{info['address']['ip']}:{info['address']['port']}"


def basic(principal, secret):
    return "Basic " + base64.b64encode(f"{principal}:{secret}".encode()).decode()


class Stream:
    """A subscription. Iterating gives events; call() sends a call that belongs to it."""

    def __init__(self, address, path, subscribe, authorization=None, timeout=None):
        self.path, self.headers = path, {"Content-Type": "application/json", "Accept": "application/json"}
        if authorization:
            self.headers["Authorization"] = authorization
        try:
            for _hop in range(3):
                self.address, events = address, http.client.HTTPConnection(address, timeout=10)
                events.request("POST", path, json.dumps(subscribe), self.headers)
                self.response = events.getresponse()
                if self.response.status != 307:
                    break
                address = urllib.parse.urlsplit(self.response.headers["Location"]).netloc
            if self.response.status != 200:
                reason = self.response.read(500).decode(errors="replace").strip()
                raise MesosError(f"{address} answers {self.response.status} to SUBSCRIBE: {reason}")
            events.sock.settimeout(timeout)
        except (OSError, http.client.HTTPException) as error:
            raise MesosError(f"{address}: {error}") from error
        if "Mesos-Stream-Id" in self.response.headers:
            self.headers["Mesos-Stream-Id"] = self.response.headers["Mesos-Stream-Id"]
        self.events, self.calls = events, http.client.HTTPConnection(self.address, timeout=10)

    def __iter__(self):
        try:
            while True:
                length = self.response.readline(32)
                if not length:
                    raise MesosError(f"{self.address} ended the stream")
                yield json.loads(self.response.read(int(length)))
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            raise MesosError(f"the stream from {self.address} broke: {error}") from error

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

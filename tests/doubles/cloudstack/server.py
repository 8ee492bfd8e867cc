# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side: one address, commands as parameters, answers wrapped as the API wraps them."""

from __future__ import annotations

import http.server
import importlib
import json
import socketserver
import threading
import time
from typing import Callable
from urllib.parse import parse_qsl, urlsplit

from .cloud import ApiError, Cloud
from .commands import COMMANDS, Request, listing
from .signature import authenticate

for module in ("access", "catalogue", "instances", "tags"):
    importlib.import_module(f".{module}", __package__)  # fills the table of commands

JSON = "application/json;charset=UTF-8"
RETIRED = "This API is deprecated. See https://cloud.example.org/changelog for its replacement."
PROXY = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class Throttle:
    """Lets an account call so many times in so many seconds, as the API's rate limit does."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.calls = calls
        self.seconds = seconds
        self.refused = 0
        self._windows: dict[str, tuple[float, int]] = {}

    def check(self, account: str) -> None:
        begin, count = self._windows.get(account, (0.0, 0))
        left = begin + self.seconds - time.monotonic()
        if left <= 0:
            begin, count, left = time.monotonic(), 0, self.seconds
        if count >= self.calls:
            self.refused += 1
            milliseconds = max(1, int(left * 1000))
            raise ApiError(
                429, f"The given user has reached his/her account api limit, please retry after {milliseconds} ms."
            )
        self._windows[account] = (begin, count + 1)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self,
        address: tuple[str, int],
        cloud: Cloud,
        page_size: int,
        throttle: Throttle | None,
        hardened: bool,
        answers: str,
    ):
        super().__init__(address, Handler)
        self.cloud = cloud
        self.page_size = page_size
        self.throttle = throttle
        self.hardened = hardened
        self.answers = answers
        # Given (command, params), may return (status, content type, text) instead of the real answer, or sleep.
        self.intercept: Callable | None = None
        # Given (command, answer), may return another answer.
        self.alter: Callable | None = None

    def answer(self, method: str, params: dict[str, str]) -> tuple[int, str, str]:
        if self.answers == "retired":
            return 403, JSON, json.dumps({"errorresponse": ApiError(403, RETIRED).body()})
        if self.answers == "proxy":
            return 502, "text/html", PROXY
        asked = params.get("command", "")
        with self.cloud.lock:
            self.cloud.calls[asked] += 1
        if self.intercept and (instead := self.intercept(asked, params)):
            return instead
        try:
            status, body = 200, self.execute(method, params, asked)
        except ApiError as error:
            status, body = error.code, error.body()
        answer = {f"{asked.lower()}response" if asked else "errorresponse": body}
        if self.alter:
            answer = self.alter(asked, answer)
        return status, JSON, json.dumps(answer)

    def execute(self, method: str, params: dict[str, str], asked: str) -> dict:
        user = authenticate(params, self.cloud.users, self.hardened)
        if self.hardened and method != "POST" and not asked.lower().startswith(("list", "query")):
            raise ApiError(405, f"The given command {asked} must be sent by POST")
        found = COMMANDS.get(asked.lower())
        if found is None:
            raise ApiError(
                432,
                f"The given command '{asked}' either does not exist, is not available for user, or not "
                "available from ip address '127.0.0.1'.",
            )
        with self.cloud.lock:
            if self.throttle and not user.admin:
                self.throttle.check(user.account)
            request = Request(self.cloud, user, params, method)
            if found.kind == "list":
                return listing(request, found, self.page_size)
            if found.name != "deployVirtualMachine" and (
                error := self.cloud.strike(found.name, params.get("name"), "call")
            ):
                raise error
            if found.kind == "call":
                body = found.function(request)
            else:
                body, name, finish, failed = found.function(request)
                body["jobid"] = self.cloud.start_job(user, found.name, name, body.get("id"), finish, failed)
            if found.name != "queryAsyncJobResult":
                self.cloud.save()
            return body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, which the other side acknowledges at once
    server: Server

    def do_GET(self) -> None:
        self.respond("GET", urlsplit(self.path).query)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.respond("POST", "&".join(filter(None, (urlsplit(self.path).query, self.rfile.read(length).decode()))))

    def respond(self, method: str, query: str) -> None:
        params = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
        status, content_type, text = self.server.answer(method, params)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        """Requests hold keys and signatures."""


def serve(server: Server) -> threading.Thread:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    return thread

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scheduler's and the observer's HTTP servers share."""

import http.server
import json
import logging
import pkgutil
import time
import urllib.parse

import jinja2

log = logging.getLogger("http")

templates = jinja2.Environment(
    autoescape=True,
    loader=jinja2.FunctionLoader(lambda name: pkgutil.get_data(__package__, f"templates/{name}").decode()),
)
templates.filters["time"] = lambda seconds: time.strftime("%F %T", time.gmtime(seconds)) if seconds else ""


class Problem(Exception):
    """An answer other than 200: its status, a sentence, headers."""

    def __init__(self, status, sentence, **headers):
        super().__init__(sentence)
        self.status, self.headers = status, headers


class Handler(http.server.BaseHTTPRequestHandler):
    """/NAME/A/B is answered by a subclass's method get_NAME(["A", "B"]) or post_NAME, which calls a send method."""

    home = ""  # what / means
    timeout = 30
    server_version, sys_version = "aurora-embedded", ""

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        head, *parts = [urllib.parse.unquote(part) for part in path.split("/") if part] or [self.home]
        verb = "post" if self.command == "POST" else "get"
        try:
            page = getattr(self, f"{verb}_{head.replace('.', '_')}", None)
            if not page:
                raise Problem(404, f"{self.command} /{head} is not served by the embedded default")
            self.check(head)
            page(parts)
        except Problem as problem:
            self.send(problem.status, f"{problem}\n", **problem.headers)
        except ConnectionError:
            log.info("%s went away", self.client_address[0])
        except Exception:
            log.exception("%s %s", self.command, self.path)
            self.server.errors += 1
            self.send(500, "Internal error; the log says more.\n")

    do_HEAD = do_POST = do_GET

    def check(self, head):
        """Raises Problem where a page must not be shown now."""

    def send(self, status, body, kind="text/plain; charset=utf-8", **headers):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(data)), **headers}
        for name, value in {"X-Content-Type-Options": "nosniff", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_json(self, value):
        self.send(200, json.dumps(value, indent=1) + "\n", "application/json")

    def send_page(self, template, **values):
        self.send(200, templates.get_template(template).render(**values), "text/html; charset=utf-8")

    def get_health(self, _parts):
        self.send(200, "OK")

    def get_vars(self, _parts):
        self.send(200, "".join(f"{name} {value}\n" for name, value in sorted(self.metrics().items())))

    def get_vars_json(self, _parts):
        self.send_json(self.metrics())

    def log_message(self, form, *args):
        log.debug(form, *args)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size, errors = True, 128, 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scheduler's and the observer's HTTP servers share."""

import http.server
import json
import logging
import pkgutil
import socket
import time
import urllib.parse

import jinja2

log = logging.getLogger("http")
LIMIT = 4 * 1024 * 1024  # of a request's body

templates = jinja2.Environment(
    autoescape=True,
    loader=jinja2.FunctionLoader(lambda name: pkgutil.get_data(__package__, f"templates/{name}").decode()),
)
templates.filters["time"] = lambda seconds: time.strftime("%F %T", time.gmtime(seconds)) if seconds else ""


class Handler(http.server.BaseHTTPRequestHandler):
    """A subclass answers in route(method, parts of the path, query) by calling one of the send methods."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server_version = "aurora-embedded"
    sys_version = ""

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parts = [urllib.parse.unquote(part) for part in url.path.split("/") if part]
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 <= length <= LIMIT or "Transfer-Encoding" in self.headers:
                self.close_connection = True
                self.send(413, f"A body needs Content-Length and has at most {LIMIT} bytes.\n")
                return
            self.body = self.rfile.read(length)
            self.route(self.command, parts, dict(urllib.parse.parse_qsl(url.query)))
        except OSError:  # the client went away or fell asleep
            self.close_connection = True
        except Exception:
            log.exception("%s %s", self.command, self.path)
            self.server.errors += 1
            self.close_connection = True
            self.send(500, "Internal error; the log says more.\n")

    do_HEAD = do_POST = do_GET

    def send(self, code, body, kind="text/plain; charset=utf-8", **headers):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(code)
        for name, value in {"Content-Type": kind, "X-Content-Type-Options": "nosniff", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_json(self, value):
        self.send(200, json.dumps(value, indent=1) + "\n", "application/json")

    def send_page(self, template, **values):
        self.send(200, templates.get_template(template).render(**values), "text/html; charset=utf-8")

    def send_vars(self, head, values):
        if head == "vars.json":
            self.send_json(values)
        else:
            self.send(200, "".join(f"{name} {value}\n" for name, value in sorted(values.items())))

    def log_message(self, form, *args):
        log.debug(form, *args)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    errors = 0

    def __init__(self, ip, port, handler):
        self.address_family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        super().__init__((ip, port), handler)

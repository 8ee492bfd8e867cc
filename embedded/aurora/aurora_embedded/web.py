# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scheduler's and the observer's HTTP servers share: a bounded threaded server and plain pages."""

import html
import http.server
import json
import logging
import pkgutil
import socket
import urllib.parse

log = logging.getLogger("http")
LIMIT = 4 * 1024 * 1024  # of a request's body


class Raw(str):
    """Text that is HTML already."""


def escape(value):
    return value if isinstance(value, Raw) else Raw(html.escape(str(value)))


def link(url, text):
    return Raw(f'<a href="{html.escape(url)}">{escape(text)}</a>')


def quote(part):
    return urllib.parse.quote(str(part), safe="")


def table(columns, rows):
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    empty = "" if rows else f'<tr><td class="none" colspan="{len(columns)}">none</td></tr>'
    return Raw(f"<table><thead><tr>{head}</tr></thead><tbody>{body}{empty}</tbody></table>")


def status(name):
    return Raw(f'<span class="status {escape(name)}">{escape(name)}</span>')


def page(title, *parts, trail=()):
    crumbs = " / ".join(link(url, text) for url, text in trail)
    style = pkgutil.get_data(__package__, "page.css").decode()
    return Raw(f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
               f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{style}</style></head>'
               f"<body><nav>{crumbs}</nav><h1>{escape(title)}</h1>{''.join(escape(p) for p in parts)}</body></html>")


class Handler(http.server.BaseHTTPRequestHandler):
    """route(method, path parts, query) in a subclass answers by calling send()."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server_version = "aurora-embedded"
    sys_version = ""

    def do_GET(self):
        self._answer("GET")

    def do_HEAD(self):
        self._answer("HEAD")

    def do_POST(self):
        self._answer("POST")

    def _answer(self, method):
        url = urllib.parse.urlsplit(self.path)
        query = {k: v[-1] for k, v in urllib.parse.parse_qs(url.query).items()}
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 <= length <= LIMIT or "chunked" in self.headers.get("Transfer-Encoding", ""):
                self.close_connection = True
                self.send(413 if length > LIMIT else 411, f"A body of at most {LIMIT} bytes with Content-Length, please.\n")
                return
            self.body = self.rfile.read(length)
            self.route("GET" if method == "HEAD" else method, [urllib.parse.unquote(p) for p in url.path.split("/") if p], query)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:
            log.exception("%s %s", method, self.path)
            self.server.errors += 1
            self.close_connection = True
            self.send(500, "Internal error; the log says more.\n")

    def route(self, method, parts, query):
        raise NotImplementedError

    def send(self, code, body, kind=None, **headers):
        if isinstance(body, (dict, list)):
            body, kind = json.dumps(body, indent=1) + "\n", "application/json"
        kind = kind or ("text/html; charset=utf-8" if isinstance(body, Raw) else "text/plain; charset=utf-8")
        data = body if isinstance(body, bytes) else str(body).encode()
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": len(data), "X-Content-Type-Options": "nosniff",
                            **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_vars(self, values, as_json):
        self.send(200, values if as_json else "".join(f"{k} {v}\n" for k, v in sorted(values.items())))

    def log_message(self, form, *args):
        log.debug(form, *args)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    errors = 0

    def __init__(self, ip, port, handler):
        if ":" in ip:
            self.address_family = socket.AF_INET6
        super().__init__((ip, port), handler)

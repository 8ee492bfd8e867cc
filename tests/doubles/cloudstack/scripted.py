# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that says what a test wants it to, for what no cloud should answer and some do."""

from __future__ import annotations

import http.server
import json
from urllib.parse import parse_qsl, urlsplit

KEY, SECRET = "AnApiKeyOfSomebody-_x", "TheSecret/Of+Somebody=="


def answer(document, status=200, kind="application/json", **headers):
    body = document if isinstance(document, str) else json.dumps(document)
    return status, {"Content-Type": kind, **headers}, body


def error(code, text, command="listVirtualMachines", status=None, **headers):
    body = {"uuidList": [], "errorcode": code, "cserrorcode": 4350, "errortext": text}
    return answer({f"{command.lower()}response": body}, status or code, **headers)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.respond(urlsplit(self.path).query)

    def do_POST(self):
        self.respond(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def respond(self, query):
        params = dict(parse_qsl(query, keep_blank_values=True))
        self.server.requests.append((self.command, params))
        said = self.server.say
        said = said.pop(0) if isinstance(said, list) and len(said) > 1 else said[0] if isinstance(said, list) else said
        said = said(params) if callable(said) else said
        self.close_connection = True
        if said == "hang up":
            return
        status, headers, body = said
        cut = headers.pop("Cut", None)
        self.send_response(status)
        if "Date" in headers:  # instead of the one send_response has put there
            self._headers_buffer = [line for line in self._headers_buffer if not line.startswith(b"Date:")]
        for name, value in {"Content-Length": str(len(body.encode())), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode()[:cut])

    def log_message(self, *arguments):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that does not trust the certificate hangs up, which is no news."""

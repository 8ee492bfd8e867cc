# SPDX-License-Identifier: GPL-3.0-or-later
"""The master's page and the sandbox viewer, served by the real master and opened in a browser."""

import html.parser
import http.server
import re
import shutil
import subprocess
import threading
import urllib.request

import pytest
from conftest import ADDRESS, HERE

WEBUI = HERE.parent / "webui"


class Page(html.parser.HTMLParser):
    """A rendered page: text by the id of the enclosing element, links, and the names of all elements."""

    def __init__(self, source):
        super().__init__()
        self.open, self.text, self.links, self.elements, self.hidden = [], {}, {}, set(), set()
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.add(tag)
        if "hidden" in attributes:
            self.hidden.add(attributes.get("id"))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append((tag, attributes.get("id"), attributes.get("href")))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for _tag, name, href in self.open:
            if name:
                self.text[name] = self.text.get(name, "") + data + " "
            if href:
                self.links.setdefault(data, []).append(href)


@pytest.fixture
def browse(tmp_path):
    chromium = shutil.which("chromium")
    assert chromium, "these tests need a browser: apt-get install chromium"

    def browse(url, milliseconds=4000):
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
        command += [f"--virtual-time-budget={milliseconds}", "--dump-dom", url]
        result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return Page(result.stdout)

    return browse


def test_pages_are_served_under_the_root(cluster):
    for path, kind in [
        ("/", "text/html"),
        ("/app/sandbox.html", "text/html"),
        ("/app/style.css", "text/css"),
        ("/app/cluster.js", "application/x-javascript"),
    ]:
        with urllib.request.urlopen(f"http://{cluster.master_address}{path}", timeout=5) as response:
            assert response.headers["Content-Type"] == kind
            assert response.read() == (WEBUI / ("index.html" if path == "/" else path[1:])).read_bytes()


def test_pages_load_nothing_from_elsewhere():
    for page in WEBUI.rglob("*"):
        if page.is_file():
            assert not re.search(r"(?:src|href)=\"(?:https?:)?//|url\(|@import", page.read_text()), page


def test_the_page_shows_the_cluster_and_a_hostile_name_stays_text(cluster, browse):
    name = "<img src=x onerror=\"document.title='taken'\">"
    with cluster.scheduler(name="<b>framework</b>") as scheduler:
        scheduler.launch("shown", {"value": "sleep 60"}, name=name)
        scheduler.updates("shown", "TASK_RUNNING")
        page = browse(f"http://{cluster.master_address}/")
        assert f"Led by  {cluster.master_address}" in page.text["leader"]
        assert "test <1>" in page.text["cluster"]
        assert ADDRESS in page.text["agents"]
        assert "0.1 of 2" in page.text["agents"]
        assert "<b>framework</b>" in page.text["frameworks"]
        for part in (name, "shown", "RUNNING", ADDRESS):
            assert part in page.text["tasks"]
        assert {"error", "standby"} <= page.hidden
        assert not {"img", "b"} & page.elements

        sandbox = browse(page.links["sandbox"][0])
        assert {"stdout", "stderr"} <= set(sandbox.links)
        assert "[executor] task shown" in sandbox.text["tail-stdout"]


def test_only_web_addresses_of_frameworks_become_links(cluster, browse):
    with (
        cluster.scheduler(name="bad", webui_url="javascript:alert(1)"),
        cluster.scheduler(name="good", webui_url="http://127.0.0.1:8081/scheduler"),
    ):
        page = browse(f"http://{cluster.master_address}/")
    assert page.links["good"] == ["http://127.0.0.1:8081/scheduler"]
    assert "bad" not in page.links
    assert "bad" in page.text["frameworks"]


def test_the_sandbox_viewer_contacts_registered_agents_only(cluster, browse):
    page = browse(f"http://{cluster.master_address}/app/sandbox.html?agent=127.0.0.1:1&framework=f&executor=e")
    assert "is not registered" in page.text["error"]


@pytest.fixture
def follower(cluster):
    """Serves the page as a master does that does not lead: own metrics, everything else redirected."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=WEBUI)

        def do_GET(self):
            path, _, query = self.path.partition("?")
            if path == "/metrics/snapshot":
                callback = re.search(r"jsonp=(\w+)", query)[1]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(f'{callback}({{"master/elected": 0.0}});'.encode())
            elif path == "/state" and self.server.leader:
                self.send_response(307)
                self.send_header("Location", f"//{self.server.leader}/master/state?{query}")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer((ADDRESS, 0), Handler) as server:
        server.leader = cluster.master_address
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_master_that_does_not_lead_says_so_and_who_does(cluster, follower, browse):
    page = browse(f"http://{ADDRESS}:{follower.server_port}/")
    assert "does not lead" in page.text["standby"]
    assert page.links["Go to the leader"] == [f"http://{ADDRESS}:{follower.server_port}/master/redirect"]
    assert page.links[cluster.master_address] == [f"http://{cluster.master_address}/"]
    assert ADDRESS in page.text["agents"]


def test_a_leader_that_does_not_answer_is_an_error_line(follower, browse):
    follower.leader = None
    page = browse(f"http://{ADDRESS}:{follower.server_port}/")
    assert "leading master's state could not be read" in page.text["error"]
    assert "error" not in page.hidden

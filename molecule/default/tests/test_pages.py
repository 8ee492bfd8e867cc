# SPDX-License-Identifier: GPL-3.0-or-later
"""The three interfaces as a person sees them, in a headless browser."""

from __future__ import annotations

import subprocess

import pytest
from conftest import CLUSTER

# Nothing of the browser's own may go out, and the names in the pages are those of the machines.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page(tmp_path):
    """Open a page by a machine's name and return its document after its scripts have run."""
    rules = ",".join(f"MAP {name} {address}" for name, address in CLUSTER.addresses.items())

    def open_page(url: str) -> str:
        return subprocess.run(
            [
                "chromium",
                *QUIET,
                f"--user-data-dir={tmp_path}",
                f"--host-resolver-rules={rules}",
                "--virtual-time-budget=8000",
                "--dump-dom",
                url,
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    return open_page


def test_the_masters_page_shows_agents_and_the_job(page):
    document = page("http://mesos-master:5050/")
    assert "mesos-slave1" in document
    assert "mesos-slave2" in document
    assert "www-data/prod/hello" in document
    assert "RUNNING" in document


def test_the_schedulers_pages_lead_to_the_task(page):
    assert "www-data" in page("http://aurora-scheduler:8081/scheduler")
    document = page("http://aurora-scheduler:8081/scheduler/www-data/prod/hello")
    assert "RUNNING" in document
    assert ":1338/task/www-data-prod-hello-0-" in document


def test_the_observers_page_shows_the_task_of_its_agent(page):
    shown = [page(f"http://{agent}:1338/") for agent in ("mesos-slave1", "mesos-slave2")]
    assert sum("www-data-prod-hello-0-" in document for document in shown) == 1

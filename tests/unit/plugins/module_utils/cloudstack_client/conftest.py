# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over the wire, to a server on loopback that says what the test wants it to."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import from_options
from doubles.cloudstack.scripted import KEY, SECRET, Handler, Quiet


@pytest.fixture
def server():
    server = Quiet(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def connect(server, monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def connect(say, scheme="http", **options):
        server.say = say
        endpoint = f"{scheme}://127.0.0.1:{server.server_port}/client/api"
        cloud = from_options({"endpoint": endpoint, "key": KEY, "secret": SECRET, "timeout": 2, **options})
        cloud.logged, cloud.slept = [], []
        cloud._log, cloud._sleep = cloud.logged.append, cloud.slept.append
        return cloud

    return connect


@pytest.fixture
def timed():
    """Let a client's clock be what it slept, and its time end after so many seconds."""

    def timed(cloud, seconds=None):
        cloud._clock = lambda: sum(cloud.slept)
        cloud.deadline = seconds
        return cloud

    return timed

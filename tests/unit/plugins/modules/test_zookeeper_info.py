# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest
from ansible_collections.aurora.cluster.plugins.modules import zookeeper_info

SERVES = (
    "Zookeeper version: 3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022\nLatency min: 0\nMode: follower\n"
)
NO_QUORUM = "This ZooKeeper instance is not currently serving requests\n"


@contextmanager
def server(answer: str | None):
    """A server on a port of its own that answers once; without an answer it keeps the connection open."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve():
            connection, _address = listening.accept()
            with connection:
                assert connection.recv(4) == b"srvr"
                if answer is None:
                    over.wait(10)
                else:
                    connection.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "mode", "version", "message"),
    [
        (SERVES, "follower", "3.8.0", ""),
        (NO_QUORUM, "none", "", "This ZooKeeper instance is not currently serving requests"),
        ("", "none", "", "the server closed the connection without an answer"),
    ],
)
def test_what_a_server_says(answer, mode, version, message):
    with server(answer) as port:
        said = zookeeper_info.ask("127.0.0.1", port, 5)
    assert said == {"mode": mode, "version": version, "message": message}


def test_a_server_too_busy_to_answer_is_not_down():
    with server(None) as port:
        said = zookeeper_info.ask("127.0.0.1", port, 0.2)
    assert (said["mode"], said["message"]) == ("silent", f"127.0.0.1:{port}: timed out")


def test_where_nobody_listens_it_is_down():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    said = zookeeper_info.ask("127.0.0.1", port, 5)
    assert said["mode"] == "down"
    assert "Connection refused" in said["message"]

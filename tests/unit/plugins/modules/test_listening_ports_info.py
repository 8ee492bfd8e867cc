# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.aurora.cluster.plugins.modules import listening_ports_info as module

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   {n}: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"


@pytest.fixture
def proc(tmp_path):
    """A small /proc: a master on 5050, an unseen process on 8081, a connection that does not listen."""
    net = tmp_path / "net"
    net.mkdir()
    (net / "tcp").write_text(
        HEADER
        + ROW.format(n=0, local="00000000:13BA", state="0A", inode=111)
        + ROW.format(n=1, local="0100007F:1F91", state="0A", inode=222)
        + ROW.format(n=2, local="0100007F:13BA", state="01", inode=333)
    )
    (net / "tcp6").write_text(HEADER + ROW.format(n=0, local="0" * 24 + "01000000:0885", state="0A", inode=444))
    for pid, command, cgroup, inode in [
        (812, "mesos-master", "1:name=systemd:/system.slice/mesos-master.service\n", 111),
        (90, "java", "0::/machine.slice/box.scope/system.slice/zookeeper.service\n", 444),
    ]:
        directory = tmp_path / str(pid)
        (directory / "fd").mkdir(parents=True)
        os.symlink(f"socket:[{inode}]", directory / "fd" / "7")
        os.symlink("/dev/null", directory / "fd" / "0")
        (directory / "comm").write_text(f"{command}\n")
        (directory / "cgroup").write_text(f"4:memory:/user.slice\n{cgroup}")
    return str(tmp_path)


def test_sockets_and_their_holders(proc):
    assert module.listening(None, proc) == [
        {"port": 2181, "address": "::1", "pid": 90, "command": "java", "unit": "zookeeper.service"},
        {"port": 5050, "address": "0.0.0.0", "pid": 812, "command": "mesos-master", "unit": "mesos-master.service"},
        {"port": 8081, "address": "127.0.0.1", "pid": None, "command": None, "unit": None},
    ]


def test_only_the_ports_asked_for(proc):
    assert [entry["port"] for entry in module.listening([5050, 1], proc)] == [5050]
    assert module.listening([], proc) == []


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        ("0::/system.slice/nginx.service/worker\n", "nginx.service"),
        ("12:cpu:/x.service\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        ("0::/init.scope\n", "init.scope"),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_unit_of_a_process(text, unit):
    assert module.parse_unit(text) == unit


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_real_socket_is_found(family, address):
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        port = server.getsockname()[1]
        assert module.listening([port]) == []
        server.listen()
        (found,) = module.listening([port])
    assert (found["address"], found["pid"]) == (address, os.getpid())
    assert found["command"]

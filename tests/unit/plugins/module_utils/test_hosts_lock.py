# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock: whoever edits the file at a time is alone, by whatever path and as whatever user."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils import _hosts_write
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_write import locked

LOCK = ".hosts.aurora-cluster.lock"
NOBODY = 65534


@pytest.fixture
def hosts(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(b"127.0.0.1 localhost\n")
    return str(path)


def test_the_lock_is_exclusive_and_leaves_nothing(hosts, monkeypatch):
    monkeypatch.setattr(_hosts_write, "LOCK_SECONDS", 0.2)
    with locked(hosts):
        assert sorted(os.listdir(os.path.dirname(hosts))) == [LOCK, "hosts"]
        with pytest.raises(HostsError, match="has been locked by another run"), locked(hosts):
            pass
    with locked(hosts):
        pass
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_a_lock_left_by_a_killed_run_stops_nobody(hosts):
    (Path(hosts).parent / LOCK).touch()
    with locked(hosts):
        pass
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_a_lock_removed_between_opening_and_locking_is_taken_anew(hosts, monkeypatch):
    lock_path = os.path.join(os.path.dirname(hosts), LOCK)
    real, calls = fcntl.flock, []

    def flock(fd, operation):
        calls.append(fd)
        if len(calls) == 1:
            os.unlink(lock_path)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(hosts):
        assert len(calls) == 3
        assert os.path.exists(lock_path)


def test_one_file_in_two_places_has_one_lock(hosts, tmp_path, monkeypatch):
    """As with a file that is mounted at two places: each has a lock of its own beside it."""
    monkeypatch.setattr(_hosts_write, "LOCK_SECONDS", 0.2)
    other = tmp_path / "other"
    other.mkdir()
    os.link(hosts, other / "hosts")
    with locked(hosts):
        with pytest.raises(HostsError, match="has been locked by another run"), locked(str(other / "hosts")):
            pass
        assert os.listdir(other) == ["hosts"]
    with locked(str(other / "hosts")):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_who_cannot_open_the_lock_waits_all_the_same(monkeypatch):
    monkeypatch.setattr(_hosts_write, "LOCK_SECONDS", 0.2)
    directory = tempfile.mkdtemp(dir="/tmp")
    os.chown(directory, NOBODY, NOBODY)
    path = os.path.join(directory, "hosts")
    Path(path).write_text("")
    os.chmod(path, 0o644)
    try:
        with locked(path):
            child = os.fork()
            if not child:
                os.setegid(NOBODY)
                os.seteuid(NOBODY)
                try:
                    with locked(path):
                        os._exit(1)
                except HostsError:
                    os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        shutil.rmtree(directory)


def test_a_file_that_cannot_be_locked_itself_is_locked_beside(hosts, monkeypatch):
    real = fcntl.flock

    def flock(fd, operation):
        if os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) == "hosts":
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(hosts):
        assert os.path.exists(os.path.join(os.path.dirname(hosts), LOCK))


def test_where_nothing_can_be_created_the_file_itself_is_locked(hosts, monkeypatch):
    real = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with locked(hosts), open(hosts, "rb") as stream, pytest.raises(BlockingIOError):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_no_increment_is_lost_between_processes(tmp_path):
    """Many processes read, add one and replace, each under the lock."""
    path = tmp_path / "counter"
    path.write_text("0")
    children = []
    for _child in range(4):
        child = os.fork()
        if not child:
            try:
                for _turn in range(25):
                    with locked(str(path)):
                        number = int(path.read_text())
                        time.sleep(0.0005)
                        (tmp_path / "new").write_text(str(number + 1))
                        os.rename(tmp_path / "new", path)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    assert path.read_text() == "100"
    assert sorted(os.listdir(tmp_path)) == ["counter"]

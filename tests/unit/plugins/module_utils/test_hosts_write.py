# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing a file: whatever fails and whenever the process dies, the old file is there or the new one."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.aurora.cluster.plugins.module_utils import _hosts_write
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_write import (
    locked,
    read,
    replace,
    resolve,
    write_in_place,
)

OLD = b"127.0.0.1 localhost\n" * 5
NEWS = {"longer": OLD + b"10.0.0.1 alpha\n" * 50, "shorter": b"10.0.0.9 beta\n"}
CALLS = ["mkstemp", "fsync", "chown", "rename", "pwrite", "ftruncate", "utime", "chmod"]


@pytest.fixture
def module():
    with patch_module_args({}):
        return AnsibleModule(argument_spec={})


@pytest.fixture
def hosts(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(OLD)
    return str(path)


class Interruption:
    """Counts the system calls that touch files, and strikes before or after the one with the given number."""

    def __init__(self, monkeypatch, strike, number, after=False):
        self.count = 0
        self.struck = None
        for name in CALLS:
            owner = _hosts_write.tempfile if name == "mkstemp" else os
            monkeypatch.setattr(owner, name, self.wrap(name, getattr(owner, name), strike, number, after))

    def wrap(self, name, real, strike, number, after):
        def call(*args, **kwargs):
            self.count += 1
            if self.count != number:
                return real(*args, **kwargs)
            self.struck = name
            if after:
                real(*args, **kwargs)
            return strike()

        return call


def start_anew(path):
    for left in Path(path).parent.iterdir():
        left.unlink()
    Path(path).write_bytes(OLD)


def fail():
    raise OSError(errno.EIO, "injected")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def ways_to_write(module):
    return {"rename": lambda path, new: replace(module, path, new), "in place": write_in_place}


@pytest.mark.parametrize("how", ["rename", "in place"])
@pytest.mark.parametrize("size", NEWS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failing_call_leaves_the_old_file_or_the_new_one(module, hosts, how, size, after, monkeypatch):
    number, finished = 0, False
    while not finished:
        number += 1
        start_anew(hosts)
        with monkeypatch.context() as patch:
            interruption = Interruption(patch, fail, number, after)
            try:
                ways_to_write(module)[how](hosts, NEWS[size])
                finished = interruption.count < number
            except Exception as exc:
                assert "injected" in str(exc) or "injected" in str(exc.__cause__)  # noqa: PT017 - several causes are right here
        assert read(hosts) in (OLD, NEWS[size]), f"call {number}"
        # A mkstemp() that creates its file and fails is no real failure, it only hides the name.
        if interruption.struck != "mkstemp":
            assert os.listdir(os.path.dirname(hosts)) == ["hosts"], f"call {number}"
    assert number > 2
    assert read(hosts) == NEWS[size]


@pytest.mark.parametrize("how", ["rename", "in place"])
@pytest.mark.parametrize("size", NEWS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_call_leaves_the_old_file_or_the_new_one(module, hosts, how, size, after, monkeypatch):
    number, killed = 0, True
    while killed:
        number += 1
        start_anew(hosts)
        child = os.fork()
        if not child:
            Interruption(monkeypatch, kill, number, after)
            ways_to_write(module)[how](hosts, NEWS[size])
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        # Written in place, a shorter file may still have blank lines at its end.
        assert (read(hosts) if how == "rename" else read(hosts).rstrip(b"\n") + b"\n") in (OLD, NEWS[size]), number
    assert number > 2
    assert read(hosts) == NEWS[size]


def test_owner_mode_and_attributes_are_kept(module, hosts):
    os.chmod(hosts, 0o640)
    if os.geteuid() == 0:
        os.chown(hosts, 1234, 4321)
    before = os.stat(hosts)
    try:
        os.setxattr(hosts, "user.origin", b"kept")
    except OSError as exc:
        pytest.skip(f"no extended attributes under {os.path.dirname(hosts)}: {exc}")
    assert replace(module, hosts, NEWS["longer"]) is True
    after = os.stat(hosts)
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.getxattr(hosts, "user.origin") == b"kept"


def test_a_new_file_is_readable_by_all(module, tmp_path):
    path = str(tmp_path / "hosts")
    umask = os.umask(0o077)
    try:
        replace(module, path, OLD)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_where_rename_is_impossible_the_file_is_written_in_place(module, hosts, monkeypatch, number):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "rename", refuse)
    before = os.stat(hosts)
    assert replace(module, hosts, NEWS["shorter"]) is False
    assert read(hosts) == NEWS["shorter"]
    assert os.stat(hosts).st_ino == before.st_ino
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPERM, errno.EROFS])
def test_other_errors_of_rename_are_errors(module, hosts, monkeypatch, number):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(HostsError, match=re.escape(f"cannot replace {hosts}: [Errno {number}]")):
        replace(module, hosts, NEWS["shorter"])
    assert read(hosts) == OLD


def test_a_validation_that_fails_changes_nothing(module, hosts):
    with pytest.raises(HostsError, match="validate failed with exit status 1"):
        replace(module, hosts, NEWS["longer"], "grep -q beta %s")
    with pytest.raises(HostsError, match="must contain %s"):
        replace(module, hosts, NEWS["longer"], "true")
    assert read(hosts) == OLD
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]
    replace(module, hosts, NEWS["longer"], "grep -q alpha %s")
    assert read(hosts) == NEWS["longer"]


def test_links_are_followed_if_asked(hosts, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("hosts")
    assert resolve(str(link), follow=True) == hosts
    with pytest.raises(HostsError, match="is a symbolic link to"):
        resolve(str(link), follow=False)


def test_what_cannot_be_edited_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(HostsError, match="which does not exist"):
        resolve(str(tmp_path / "link"), follow=True)
    with pytest.raises(HostsError, match="is not a regular file"):
        resolve(str(tmp_path), follow=True)
    with pytest.raises(HostsError, match="its directory does not exist"):
        resolve(str(tmp_path / "no" / "hosts"), follow=True)
    assert read(str(tmp_path / "none")) is None


def test_the_lock_is_exclusive_and_leaves_nothing(hosts, monkeypatch):
    monkeypatch.setattr(_hosts_write, "LOCK_SECONDS", 0.2)
    with locked(hosts):
        assert sorted(os.listdir(os.path.dirname(hosts))) == [".hosts.aurora-cluster.lock", "hosts"]
        with pytest.raises(HostsError, match="has been locked by another run"), locked(hosts):
            pass
    with locked(hosts):
        pass
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_a_lock_left_by_a_killed_run_stops_nobody(hosts):
    (Path(hosts).parent / ".hosts.aurora-cluster.lock").touch()
    with locked(hosts):
        pass
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_a_lock_removed_between_opening_and_locking_is_taken_anew(hosts, monkeypatch):
    lock_path = os.path.join(os.path.dirname(hosts), ".hosts.aurora-cluster.lock")
    real, calls = fcntl.flock, []

    def flock(fd, operation):
        calls.append(fd)
        if len(calls) == 1:
            os.unlink(lock_path)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(hosts):
        assert len(calls) == 2
        assert os.path.exists(lock_path)


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

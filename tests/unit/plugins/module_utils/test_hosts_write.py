# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing a file: whatever fails and whenever the process dies, the old file is there or the new one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils import _hosts_write
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_write import (
    ChangedError,
    read,
    replace,
    resolve,
    write_in_place,
)

OLD = b"127.0.0.1 localhost\n" * 5
NEWS = {"longer": OLD + b"10.0.0.1 alpha\n" * 50, "shorter": b"10.0.0.9 beta\n"}
CALLS = ["mkstemp", "fsync", "chown", "fchown", "fchmod", "rename", "pwrite", "ftruncate", "utime", "chmod"]
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


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
    return {
        "rename": lambda path, new: replace(module, path, OLD, new),
        "in place": lambda path, new: write_in_place(path, OLD, new),
    }


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
    assert replace(module, hosts, OLD, NEWS["longer"]) == {"atomic": True}
    after = os.stat(hosts)
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.getxattr(hosts, "user.origin") == b"kept"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_new_file_is_whole_and_readable_by_all_from_the_start(module, hosts, after, monkeypatch):
    number, killed = 0, True
    while killed:
        number += 1
        start_anew(hosts)
        os.unlink(hosts)
        child = os.fork()
        if not child:
            os.umask(0o077)
            Interruption(monkeypatch, kill, number, after)
            replace(module, hosts, None, OLD)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if read(hosts) is not None:
            assert read(hosts) == OLD
            assert stat.S_IMODE(os.stat(hosts).st_mode) == 0o644, number
    assert number > 2
    assert read(hosts) == OLD


@pytest.fixture
def shared():
    """Root's hosts file in a directory of another user."""
    directory = tempfile.mkdtemp(dir="/tmp")
    os.chown(directory, NOBODY, NOBODY)
    path = os.path.join(directory, "hosts")
    Path(path).write_bytes(OLD)
    os.chmod(path, 0o644)
    yield path
    shutil.rmtree(directory)


def as_nobody(function):
    """What function returned or raised, as text, when another user called it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            said = str(function())
        except Exception as exc:
            said = f"{type(exc).__name__}: {exc}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader) as stream:
        return stream.read()


@needs_root
def test_a_user_who_cannot_keep_the_owner_is_told_to_become_root(module, shared):
    said = as_nobody(lambda: replace(module, shared, OLD, NEWS["longer"]))
    assert said == f"HostsError: this user cannot replace {shared} and keep its owner and group; set become: true"
    assert read(shared) == OLD
    status = os.stat(shared)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o644)
    assert os.listdir(os.path.dirname(shared)) == ["hosts"]


@needs_root
def test_a_user_may_replace_a_file_of_their_own(module, shared):
    os.chown(shared, NOBODY, NOBODY)
    os.chmod(shared, 0o664)
    assert as_nobody(lambda: replace(module, shared, OLD, NEWS["longer"])) == "{'atomic': True}"
    assert read(shared) == NEWS["longer"]
    status = os.stat(shared)
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, 0o664)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_where_rename_is_impossible_the_file_is_written_in_place(module, hosts, monkeypatch, number):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "rename", refuse)
    before = os.stat(hosts)
    assert replace(module, hosts, OLD, NEWS["shorter"]) == {"atomic": False}
    assert read(hosts) == NEWS["shorter"]
    assert os.stat(hosts).st_ino == before.st_ino
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPERM, errno.EROFS])
def test_other_errors_of_rename_are_errors(module, hosts, monkeypatch, number):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(HostsError, match=re.escape(f"cannot replace {hosts}: [Errno {number}]")):
        replace(module, hosts, OLD, NEWS["shorter"], backup=True)
    assert read(hosts) == OLD
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_a_validation_that_fails_changes_nothing(module, hosts):
    with pytest.raises(HostsError, match="validate failed with exit status 1"):
        replace(module, hosts, OLD, NEWS["longer"], "grep -q beta %s", backup=True)
    with pytest.raises(HostsError, match="must contain %s"):
        replace(module, hosts, OLD, NEWS["longer"], "true", backup=True)
    assert read(hosts) == OLD
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]
    replace(module, hosts, OLD, NEWS["longer"], "grep -q alpha %s")
    assert read(hosts) == NEWS["longer"]


def test_a_backup_is_told_and_goes_where_the_file_stays(module, hosts, monkeypatch):
    told = replace(module, hosts, OLD, NEWS["longer"], backup=True)
    assert read(told["backup_file"]) == OLD
    os.unlink(told["backup_file"])
    with pytest.raises(ChangedError):
        replace(module, hosts, OLD, NEWS["shorter"], backup=True)
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]

    def refuse(*_args):
        raise Exception("no") from OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(module, "backup_local", refuse)
    with pytest.raises(HostsError, match=re.escape(f"cannot back up {hosts}: [Errno 28] no space")):
        replace(module, hosts, NEWS["longer"], OLD, backup=True)
    assert read(hosts) == NEWS["longer"]
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_a_backup_stays_where_the_file_does_not(module, hosts, monkeypatch):
    def spoil(_temporary, path):
        Path(path).write_bytes(b"spoilt")
        fail()

    monkeypatch.setattr(module, "atomic_move", spoil)
    with pytest.raises(HostsError, match=r"injected; a copy of the old file is (\S+)$") as caught:
        replace(module, hosts, OLD, NEWS["longer"], backup=True)
    assert read(str(caught.value).split()[-1]) == OLD


@pytest.mark.parametrize("old", [OLD + b"end\n", OLD + b"middle\nend\n" * 9, OLD])
@pytest.mark.parametrize("new", [OLD + b"other\n", OLD + b"end\nmore\n", OLD])
def test_in_place_the_lines_above_the_change_are_not_written(hosts, old, new, monkeypatch):
    Path(hosts).write_bytes(old)
    written, real = [], os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: written.append(offset) or real(fd, data, offset))
    write_in_place(hosts, old, new)
    assert read(hosts) == new
    assert min(written, default=len(OLD)) >= len(OLD)


def test_a_kill_in_the_midst_of_the_write_in_place_spares_the_lines_above(hosts, monkeypatch):
    child = os.fork()
    if not child:
        real = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:7], offset) and kill())
        write_in_place(hosts, OLD, OLD[:40] + b"fd00::2 beta\n" + OLD[40:])
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert read(hosts) == OLD[:40] + b"fd00::2" + OLD[47:]


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

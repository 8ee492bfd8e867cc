# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that know nothing of the lock: what they write meanwhile is not overwritten."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_write import (
    ATTEMPTS,
    ChangedError,
    read,
    replace,
    resolve,
    update,
    write_in_place,
)

OLD = b"127.0.0.1 localhost\n" * 5
NEW = OLD + b"10.0.0.1 alpha\n"


@pytest.fixture
def hosts(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(OLD)
    return str(path)


def rename_refused(*_args, **_kwargs):
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@pytest.mark.parametrize("now", [OLD + b"10.9.9.9 printer\n", OLD[:-1], None])
@pytest.mark.parametrize("how", ["rename", "in place"])
def test_what_another_program_did_meanwhile_stands(module, hosts, now, how, monkeypatch):
    if how == "in place":
        monkeypatch.setattr(os, "rename", rename_refused)
    Path(hosts).write_bytes(now or b"")
    if now is None:
        os.unlink(hosts)
    with pytest.raises(ChangedError, match="was changed by another program meanwhile"):
        replace(module, hosts, OLD, NEW)
    assert read(hosts) == now


def test_a_file_that_appeared_meanwhile_stands(module, hosts):
    with pytest.raises(ChangedError, match="was changed by another program meanwhile"):
        replace(module, hosts, None, NEW)
    assert read(hosts) == OLD


def test_a_change_before_the_write_in_place_stands(hosts):
    with pytest.raises(ChangedError):
        write_in_place(hosts, OLD + b"x", NEW)
    assert read(hosts) == OLD


@pytest.mark.parametrize("start", [OLD, None])
@pytest.mark.parametrize("times", range(ATTEMPTS + 1))
def test_a_change_made_meanwhile_is_built_upon(module, hosts, start, times):
    """Another program adds a line after each of the first readings."""
    if start is None:
        os.unlink(hosts)
    seen = []

    def make_plan(old):
        seen.append(old)
        if len(seen) <= times:
            with open(hosts, "ab") as stream:
                stream.write(b"line %d\n" % len(seen))
        return SimpleNamespace(content=(old or b"") + b"block\n")

    added = b"".join(b"line %d\n" % number for number in range(1, times + 1))
    if times < ATTEMPTS:
        old, plan, told = update(module, hosts, make_plan)
        assert (old or b"") == (start or b"") + added
        assert read(hosts) == plan.content == (old or b"") + b"block\n"
        assert told == {"atomic": True}
    else:
        with pytest.raises(ChangedError):
            update(module, hosts, make_plan)
        assert read(hosts) == (start or b"") + added
    assert os.listdir(os.path.dirname(hosts)) == ["hosts"]


def test_an_update_that_changes_nothing_writes_nothing(module, hosts):
    before = os.stat(hosts)
    assert update(module, hosts, lambda old: SimpleNamespace(content=old), backup=True)[2] == {}
    assert os.stat(hosts) == before


def test_a_relative_path_is_one_of_the_working_directory(module, hosts, monkeypatch):
    monkeypatch.chdir(os.path.dirname(hosts))
    assert resolve("hosts", follow=True) == hosts
    update(module, resolve("hosts", follow=True), lambda old: SimpleNamespace(content=old + b"new\n"))
    assert read(hosts) == OLD + b"new\n"
    assert os.listdir(".") == ["hosts"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: a process of its own, on real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
RUN = """
import functools, json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.aurora.cluster.plugins.modules import hosts_file
if len(sys.argv) > 2:
    hosts_file.HOSTS, root = sys.argv[2:]
    hosts_file.cloud_init_warning = functools.partial(hosts_file.cloud_init_warning, root=root)
with patch_module_args(json.loads(sys.argv[1])):
    hosts_file.main()
"""
ALPHA = {"address": "10.0.0.1", "names": ["alpha", "a"]}
BETA = {"address": "fd00::2", "names": ["beta"]}
USER = b"127.0.0.1 localhost\n"
BLOCK = b"# BEGIN aurora.cluster hosts: blue\n10.0.0.1\talpha a\nfd00::2\tbeta\n# END aurora.cluster hosts: blue\n"


def command(path, **options):
    arguments = {"path": str(path), "block": "blue", "entries": [ALPHA, BETA], **options}
    return [
        sys.executable,
        "-c",
        RUN,
        json.dumps({key: value for key, value in arguments.items() if value is not None}),
    ]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT / ".cache" / "collections")}


def run(path, prefix=(), **options):
    done = subprocess.run(
        [*prefix, *command(path, **options)], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def warnings(result):
    return [str(item["event"]["msg"] if isinstance(item, dict) else item) for item in result.get("warnings", [])]


@pytest.fixture
def hosts(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(USER)
    return path


def test_present_again_and_absent(hosts):
    result = run(hosts)
    assert hosts.read_bytes() == USER + BLOCK
    assert result["changed"] is result["atomic"] is True
    assert result["entries"] == result["added"] == [ALPHA, BETA]
    assert (result["path"], result["block"], result["removed"]) == (str(hosts), "blue", [])

    before = hosts.stat()
    folder = hosts.parent.stat()
    result = run(hosts)
    assert result["changed"] is False
    assert "atomic" not in result
    assert result["kept"] == [ALPHA, BETA]
    assert (hosts.stat().st_ino, hosts.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert hosts.parent.stat().st_mtime_ns == folder.st_mtime_ns

    result = run(hosts, entries=[BETA])
    assert (result["removed"], result["kept"], result["added"]) == ([ALPHA], [BETA], [])

    assert run(hosts, entries=None, state="absent")["changed"] is True
    assert run(hosts, entries=None, state="absent")["changed"] is False
    assert hosts.read_bytes() == USER
    assert os.listdir(hosts.parent) == ["hosts"]


def test_check_mode_and_diff_tell_exactly_what_a_run_does(hosts):
    hosts.write_bytes(b"127.0.1.1 alpha # caf\xe9")
    options = {"loopback": "release", "_ansible_diff": True}
    predicted = run(hosts, _ansible_check_mode=True, **options)
    assert hosts.read_bytes() == b"127.0.1.1 alpha # caf\xe9"
    assert os.listdir(hosts.parent) == ["hosts"]
    done = run(hosts, **options)
    assert done["atomic"] is True
    own = {"atomic", "invocation", "size"}
    assert {key: done[key] for key in done.keys() - own} == {key: predicted[key] for key in predicted.keys() - own}
    assert done["diff"]["before"] == "127.0.1.1 alpha # caf\\xe9"
    assert done["diff"]["after"] == hosts.read_bytes().decode("utf-8", "backslashreplace")
    assert done["released"] == [{"line": 1, "address": "127.0.1.1", "names": ["alpha"]}]


def test_a_refused_file_is_left_alone(hosts):
    hosts.write_bytes(USER + BLOCK[:-10])
    result = run(hosts, backup=True)
    assert result["failed"] is True
    assert "line 2 begins 'blue' and nothing ends it" in result["msg"]
    assert hosts.read_bytes() == USER + BLOCK[:-10]
    assert os.listdir(hosts.parent) == ["hosts"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"entries": [{"address": "10.0.0.1", "names": ["a\n6.6.6.6 bank"]}]}, "is not a host name"),
        ({"entries": [{"address": "10.0.0.1\n6.6.6.6", "names": ["a"]}]}, "is not an IPv4 or IPv6 address"),
        ({"block": "a\nb"}, "is no block name"),
        ({"entries": None}, "state is present but all of the following are missing: entries"),
        ({"entries": [ALPHA, {"address": "10.0.0.2", "names": ["a"]}]}, "a is given two addresses, 10.0.0.1 and 10.0"),
        ({"validate": "grep -q gamma %s"}, "validate failed with exit status 1"),
        ({"validate": "true"}, "validate must contain %s"),
    ],
)
def test_what_is_refused_changes_nothing(hosts, options, told):
    result = run(hosts, backup=True, **options)
    assert result["failed"] is True
    assert told in result["msg"]
    assert hosts.read_bytes() == USER
    assert os.listdir(hosts.parent) == ["hosts"]


@pytest.mark.parametrize(
    ("duplicates", "told"),
    [("warn", ["entries: entry 2: A is given two addresses, 10.0.0.1 and 10.0.0.2"]), ("allow", [])],
)
def test_a_name_may_have_two_addresses(hosts, duplicates, told):
    result = run(hosts, entries=[ALPHA, {"address": "10.0.0.2", "names": ["A"]}], duplicates=duplicates)
    assert warnings(result) == told
    assert b"\n10.0.0.1\talpha a\n10.0.0.2\tA\n" in hosts.read_bytes()


def writes_meanwhile(hosts, times):
    """A validate command that adds a line to the hosts file itself, the first times it is run."""
    script = hosts.parent.parent / f"{hosts.parent.name}.sh"
    script.write_text(
        f'#!/bin/sh\necho x >> "$0.runs"\n[ "$(wc -l < "$0.runs")" -gt {times} ] || '
        f'echo "10.9.9.$(wc -l < "$0.runs") printer" >> {hosts}\n'
    )
    script.chmod(0o755)
    return f"{script} %s"


@pytest.mark.parametrize("exists", [True, False])
def test_a_line_another_program_writes_meanwhile_is_kept(hosts, exists):
    before = USER if exists else b""
    if not exists:
        hosts.unlink()
    result = run(hosts, validate=writes_meanwhile(hosts, 2), backup=True, _ansible_diff=True)
    assert hosts.read_bytes() == before + b"10.9.9.1 printer\n10.9.9.2 printer\n" + BLOCK
    assert result["diff"]["before"].encode() == before + b"10.9.9.1 printer\n10.9.9.2 printer\n"
    assert Path(result["backup_file"]).read_bytes() == before + b"10.9.9.1 printer\n10.9.9.2 printer\n"
    assert len(os.listdir(hosts.parent)) == 2


def test_a_file_that_never_rests_is_left_to_the_other_program(hosts):
    result = run(hosts, validate=writes_meanwhile(hosts, 9), backup=True)
    assert result["failed"] is True
    assert "was changed by another program meanwhile" in result["msg"]
    assert hosts.read_bytes() == USER + b"10.9.9.1 printer\n10.9.9.2 printer\n10.9.9.3 printer\n"
    assert os.listdir(hosts.parent) == ["hosts"]


def test_a_backup_is_the_old_file(hosts):
    result = run(hosts, backup=True)
    assert Path(result["backup_file"]).read_bytes() == USER
    assert "backup_file" not in run(hosts, backup=True)


def test_a_symbolic_link_stays_one(hosts, tmp_path):
    link = tmp_path / "etc-hosts"
    link.symlink_to("hosts")
    assert run(link)["path"] == str(hosts)
    assert link.is_symlink()
    assert hosts.read_bytes() == USER + BLOCK
    assert "is a symbolic link" in run(link, follow=False, state="absent")["msg"]


def test_a_missing_file_is_created_and_told(tmp_path):
    result = run(tmp_path / "hosts", _ansible_check_mode=True)
    assert result["changed"] is True
    assert not (tmp_path / "hosts").exists()
    result = run(tmp_path / "hosts")
    assert (tmp_path / "hosts").read_bytes() == BLOCK
    assert (tmp_path / "hosts").stat().st_mode & 0o777 == 0o644
    assert "did not exist and is created" in warnings(result)[0]
    assert run(tmp_path / "none", entries=None, state="absent")["changed"] is False
    assert not (tmp_path / "none").exists()


def test_ten_runs_at_once_all_end_up_in_the_file(hosts):
    names = [f"set{number}" for number in range(10)]
    runs = [
        subprocess.Popen(
            command(hosts, block=name, entries=[{"address": f"10.0.1.{number}", "names": [f"machine-{name}"]}]),
            env=environment(),
            stdout=subprocess.PIPE,
        )
        for number, name in enumerate(names)
    ]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in runs]
    assert all(result["changed"] for result in results)
    content = hosts.read_bytes()
    assert content.startswith(USER)
    for number, name in enumerate(names):
        block = f"# BEGIN aurora.cluster hosts: {name}\n10.0.1.{number}\tmachine-{name}\n# END aurora.cluster hosts: {name}\n"
        assert content.count(block.encode()) == 1
    assert len(content.splitlines()) == 1 + 3 * len(names)
    assert os.listdir(hosts.parent) == ["hosts"]


needs_namespaces = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="this user may not make a mount namespace",
)


@needs_namespaces
@pytest.mark.parametrize("folder", ["rw", "ro"])
def test_a_bind_mounted_file_is_written_in_place(hosts, tmp_path, folder):
    """As /etc/hosts in a container: the name is a mount point, so no rename can replace it."""
    inside = tmp_path / "etc"
    inside.mkdir()
    (inside / "hosts").touch()
    prepare = 'mount -t tmpfs none "$1" && touch "$1/hosts" && mount --bind "$2" "$1/hosts"'
    if folder == "ro":
        prepare += ' && mount -o remount,ro "$1"'
    script = f'set -e; {prepare}; shift 2; exec "$@"'
    prefix = ["unshare", "-m", "sh", "-c", script, "sh", str(inside), str(hosts)]
    number = hosts.stat().st_ino
    result = run(inside / "hosts", prefix)
    assert result["changed"] is True
    assert result["atomic"] is False
    assert hosts.read_bytes() == USER + BLOCK
    assert run(inside / "hosts", prefix)["changed"] is False
    hosts.write_bytes(USER)
    assert run(inside / "hosts", prefix, validate=writes_meanwhile(hosts, 1))["atomic"] is False
    assert hosts.read_bytes() == USER + b"10.9.9.1 printer\n" + BLOCK
    hosts.write_bytes(USER + BLOCK)
    assert run(inside / "hosts", prefix, entries=None, state="absent")["changed"] is True
    assert hosts.read_bytes() == USER
    assert hosts.stat().st_ino == number


@needs_namespaces
def test_the_resolver_reads_what_was_written(hosts):
    hosts.write_bytes(b"127.0.0.1 localhost alpha\r\n10.7.7.7 beta # stale\r\n")
    run(hosts, loopback="release", on_conflict="replace")
    script = 'set -e; mount --bind "$1" /etc/hosts; for name in alpha a beta localhost; do getent -s files ahosts $name; done'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(hosts)], capture_output=True, text=True, check=True
    )
    assert {line.split()[0] for line in done.stdout.splitlines()} - {"::1"} == {"10.0.0.1", "fd00::2", "127.0.0.1"}
    assert "10.7.7.7" not in done.stdout


@pytest.mark.parametrize(
    ("value", "loopback", "told"),
    [
        ("true", "keep", "write {hosts} anew"),
        ("localhost", "release", "own name back on a loopback line"),
        ("localhost", "keep", None),
        ("false", "release", None),
    ],
)
def test_cloud_init_is_named_when_it_would_undo_the_work(hosts, tmp_path, value, loopback, told):
    (tmp_path / "etc/cloud").mkdir(parents=True)
    (tmp_path / "etc/cloud/cloud.cfg").write_text(f"manage_etc_hosts: {value}\n")
    done = subprocess.run(
        [*command(hosts, loopback=loopback), str(hosts), str(tmp_path)],
        env=environment(),
        capture_output=True,
        check=True,
    )
    found = " ".join(warnings(json.loads(done.stdout)))
    if told:
        assert told.format(hosts=hosts) in found
        assert (
            f"{tmp_path}/etc/cloud/cloud.cfg says manage_etc_hosts: {value}; set manage_etc_hosts: false there" in found
        )
    else:
        assert found == ""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes, started, found again and ended; each lives at most a minute if a test fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.aurora.cluster.plugins.modules.local_processes import MARK, running_pid

MODULE = Path(__file__).parents[4] / "plugins/modules/local_processes.py"

pytestmark = pytest.mark.skipif(
    os.path.isdir("/run/systemd/system") and os.geteuid() != 0, reason="transient units of the system need root"
)


def run(processes, **options):
    arguments = {"ANSIBLE_MODULE_ARGS": {"processes": processes, **options}}
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


@pytest.fixture
def wish(tmp_path):
    name = f"unit-test-{os.getpid()}-{tmp_path.name.rstrip('0').replace('_', '-')}"
    wish = {"name": name[:80], "directory": str(tmp_path / "one"), "command": ["sleep", "60"]}
    yield wish
    assert "failed" not in run([wish], state="stopped", timeout=1)


def pid_of(wish):
    return running_pid(Path(wish["directory"]))


def test_started_found_again_and_stopped(wish):
    first = run([wish])
    assert (first["changed"], first["started"]) == (True, [wish["name"]])
    pid = pid_of(wish)
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x0060\x00"

    again = run([wish])
    assert (again["changed"], again["started"], pid_of(wish)) == (False, [], pid)

    end = run([wish], state="stopped")
    assert (end["changed"], end["stopped"], pid_of(wish)) == (True, [wish["name"]], 0)
    assert not Path(f"/proc/{pid}/cmdline").exists() or Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    assert run([wish], state="stopped")["changed"] is False


def test_check_mode_tells_and_does_nothing(wish):
    assert run([wish], _ansible_check_mode=True)["changed"] is True
    assert not Path(wish["directory"]).exists()
    run([wish])
    pid = pid_of(wish)
    assert run([wish], _ansible_check_mode=True)["changed"] is False
    assert run([{**wish, "command": ["sleep", "59"]}], _ansible_check_mode=True)["changed"] is True
    assert run([wish], state="stopped", _ansible_check_mode=True)["changed"] is True
    assert pid_of(wish) == pid


def test_one_that_died_is_started_again(wish):
    run([wish])
    os.kill(pid_of(wish), signal.SIGKILL)
    while pid_of(wish):
        time.sleep(0.01)
    assert run([wish])["started"] == [wish["name"]]
    assert pid_of(wish)


@pytest.mark.parametrize("change", ["command", "watched file"])
def test_another_definition_restarts(wish, tmp_path, change):
    watched = tmp_path / "settings"
    watched.write_text("one")
    wish["watch"] = [str(watched)]
    run([wish])
    pid = pid_of(wish)
    if change == "command":
        wish["command"] = ["sleep", "59"]
    else:
        watched.write_text("two")
    answer = run([wish])
    assert (answer["started"], answer["stopped"]) == ([wish["name"]], [wish["name"]])
    assert pid_of(wish) not in (0, pid)
    assert run([wish])["changed"] is False


def test_another_prefix_restarts_nothing(wish):
    run([{**wish, "prefix": ["env", "A=1"]}])
    pid = pid_of(wish)
    assert run([{**wish, "prefix": ["env", "A=2"]}])["changed"] is False
    assert pid_of(wish) == pid


def test_a_pid_that_is_anothers_is_left_alone(wish, tmp_path):
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: str(tmp_path / "other")})
    try:
        Path(wish["directory"]).mkdir()
        Path(wish["directory"], "process.pid").write_text(f"{other.pid}\n")
        assert run([wish], state="stopped")["changed"] is False
        assert other.poll() is None
        assert run([wish])["started"] == [wish["name"]]
        assert pid_of(wish) != other.pid
    finally:
        other.kill()
        other.wait()


def test_one_that_ignores_the_request_is_killed(wish):
    wish["command"] = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    run([wish])
    while "ready" not in Path(wish["directory"], "output.log").read_text():
        time.sleep(0.01)
    assert run([wish], state="stopped", timeout=1)["stopped"] == [wish["name"]]
    assert pid_of(wish) == 0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["sh", "-c", "echo no such setting >&2; exit 3"], "no such setting"),
        (["no-such-program"], "not found"),
        ([], "needs a command"),
    ],
)
def test_one_that_cannot_run_says_why(wish, command, told):
    answer = run([{**wish, "command": command}])
    assert answer["failed"] is True
    assert wish["name"] in answer["msg"]
    assert told in answer["msg"]
    assert pid_of(wish) == 0


def test_several_end_at_once(wish, tmp_path):
    slow = ["sh", "-c", "trap 'sleep 1; exit' TERM; while :; do sleep 0.1; done"]
    wishes = [
        {"name": f"{wish['name'][:70]}-{number}", "directory": str(tmp_path / str(number)), "command": slow}
        for number in range(3)
    ]
    assert len(run(wishes)["started"]) == 3
    started = time.monotonic()
    assert len(run(wishes, state="stopped")["stopped"]) == 3
    assert time.monotonic() - started < 3

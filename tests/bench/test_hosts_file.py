# SPDX-License-Identifier: GPL-3.0-or-later
"""Run time and peak memory of hosts_file beside ansible.builtin.blockinfile, given the same text in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROUNDS = 5
USER = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
RUN = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module(sys.argv[1])
try:
    with patch_module_args(json.load(sys.stdin)):
        module.main()
finally:
    # Of this program alone: what wait4() tells includes the parent's memory at the fork.
    with open("/proc/self/status") as stream:
        sys.stderr.write(next(line.split()[1] for line in stream if line.startswith("VmHWM")))
"""
MODULES = {
    "hosts_file": "ansible_collections.aurora.cluster.plugins.modules.hosts_file",
    "blockinfile": "ansible.modules.blockinfile",
}


def entries(count):
    return [
        {"address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
         "names": [f"node{number}.example.org", f"node{number}"]}
        for number in range(1, count + 1)
    ]  # fmt: skip


def arguments(name, path, asked):
    if name == "hosts_file":
        return {"path": path, "block": "bench", "entries": asked, "loopback": "release"}
    text = "".join(f"{entry['address']}\t{' '.join(entry['names'])}\n" for entry in asked)
    return {"path": path, "block": text, "marker": "# {mark} bench"}


def measure(name, given):
    """(seconds, peak memory in MiB, result) of one run as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".cache" / "collections")}
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, MODULES[name]],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = process.communicate(given)
    assert process.returncode == 0, output + errors
    return time.monotonic() - begun, int(errors.split()[-1]) / 1024, json.loads(output)


@pytest.mark.parametrize("count", [6, 1000, 10000])
def test_run_time_and_memory(tmp_path, count):
    figures = {(name, changed): [] for name in MODULES for changed in (True, False)}
    lines = {}
    for _round in range(ROUNDS):
        for name in MODULES:
            path = tmp_path / name
            path.write_bytes(USER)
            given = json.dumps(arguments(name, str(path), entries(count))).encode()
            for changed in (True, False):
                seconds, memory, result = measure(name, given)
                assert result["changed"] is changed
                figures[name, changed].append((seconds, memory))
            lines[name] = [line for line in path.read_bytes().splitlines() if not line.startswith(b"#")]
    assert lines["hosts_file"] == lines["blockinfile"]
    assert len(lines["hosts_file"]) == count + 2
    for changed in (True, False):
        (ours, our_memory), (theirs, their_memory) = (
            [statistics.median(column) for column in zip(*figures[name, changed])] for name in MODULES
        )
        print(
            f"\nhosts_file {count:5} entries {'changed  ' if changed else 'unchanged'}: "
            f"{ours:.2f} s, blockinfile {theirs:.2f} s, ratio {ours / theirs:.2f}; "
            f"{our_memory:.0f} MiB, blockinfile {their_memory:.0f} MiB",
            end="",
        )
    print()

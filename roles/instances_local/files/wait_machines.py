# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until machines answer ssh, have booted, and reach the package cache and each other.

Asks all of them at once and answers with JSON. For one that stays away it tells what is known: the last answer of ssh,
the end of its console and of its journal.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import time

# `--wait` returns once the boot is over; a unit that failed later is not this step's affair.
BOOTED = "systemctl is-system-running --wait >/dev/null; true"
REACHES = "timeout 5 bash -c ': >/dev/tcp/{0}/{1}' 2>/dev/null || {{ echo 'cannot reach {0}:{1}'; exit 3; }}"


def ask(config: pathlib.Path, name: str, question: str, deadline: float) -> str:
    """Return '' once the machine says yes, or why it has not until the deadline."""
    ssh = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", name, question]
    reason = "it does not answer ssh"
    while (left := deadline - time.monotonic()) > 0:
        try:
            result = subprocess.run(
                ssh, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=max(left, 1)
            )
        except subprocess.TimeoutExpired:
            return "it is connected to but does not finish booting"
        if result.returncode == 0:
            return ""
        reason = (result.stdout + result.stderr).strip() or f"ssh ended with {result.returncode}"
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in reason:
            return "another machine answers at its address, with another host key"
        time.sleep(0.3)
    return reason


def ask_all(config: pathlib.Path, questions: dict[str, str], deadline: float) -> dict[str, str]:
    """Ask all machines at once and return those that failed, with the reason."""
    with concurrent.futures.ThreadPoolExecutor(max(1, len(questions))) as pool:
        answers = {name: pool.submit(ask, config, name, question, deadline) for name, question in questions.items()}
    return {name: answer.result() for name, answer in answers.items() if answer.result()}


def evidence(home: pathlib.Path) -> str:
    parts = []
    console = home / "output.log"
    if console.exists():
        lines = [line for line in console.read_text(errors="replace").splitlines() if line.strip()]
        parts.append("\n".join([f"-- end of {console}", *lines[-15:]]))
    journal = home / "upper/var/log/journal"
    if journal.is_dir():
        command = ["journalctl", "--no-pager", "--quiet", "--lines=25", f"--directory={journal}"]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        parts.append(f"-- end of its journal ({' '.join(command)})\n{result.stdout}{result.stderr}".rstrip())
    return "\n".join(parts)


def remedy(reason: str, cache: str) -> str:
    if reason.startswith("cannot reach"):
        what = "the package cache" if cache in reason else "another machine"
        return (
            f"It runs, but its packets to {what} are lost. A firewall of this computer may drop them: allow the set's "
            "bridge, and check net.bridge.bridge-nf-call-iptables."
        )
    return "Run the playbook again; if that does not help, run destroy.yml and provision.yml."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--cache", required=True, help="ADDRESS:PORT")
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("machine", nargs="+", help="NAME=ADDRESS")
    arguments = parser.parse_args()
    machines = dict(item.split("=") for item in arguments.machine)
    config = arguments.directory / "ssh_config"
    started = time.monotonic()
    to_cache = REACHES.format(*arguments.cache.split(":"))
    failed = ask_all(config, dict.fromkeys(machines, f"{BOOTED}; {to_cache}"), started + arguments.timeout)
    # Each of the others tries the one before it, so that a lost path between machines shows.
    ready = [name for name in machines if name not in failed]
    neighbours = {name: REACHES.format(machines[ready[index - 1]], 22) for index, name in enumerate(ready)}
    failed |= ask_all(config, neighbours, time.monotonic() + 10)
    problems = [
        f"{name} ({machines[name]}) is not ready: {reason}\n{remedy(reason, arguments.cache)}\n"
        + evidence(arguments.directory / "machines" / name)
        for name, reason in failed.items()
    ]
    summary = (
        f"{len(machines) - len(failed)} of {len(machines)} machines ready after {time.monotonic() - started:.1f} s"
    )
    json.dump({"summary": summary, "problems": problems}, sys.stdout)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until machines answer ssh, have booted, and reach the package cache and each other.

Asks all of them at once. For one that stays away it prints what is known: the last answer of ssh, the end of its
console and of its journal.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import subprocess
import time

# Ends with 0 when all is well. `--wait` returns once the boot is over; a unit that failed later is not this step's affair.
QUESTION = """
systemctl is-system-running --wait >/dev/null
for target in {targets}; do
  timeout 5 bash -c ": >/dev/tcp/${{target%:*}}/${{target#*:}}" 2>/dev/null || {{ echo "cannot reach $target"; exit 3; }}
done
"""


def ask(arguments: argparse.Namespace, name: str, targets: list[str], deadline: float) -> str:
    """Return '' once the machine is ready, or the last reason why it is not."""
    ssh = ["ssh", "-F", str(arguments.directory / "ssh_config"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", name]
    reason = "no time left to ask"
    while (left := deadline - time.monotonic()) > 0:
        try:
            result = subprocess.run(
                [*ssh, QUESTION.format(targets=" ".join(targets))],
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=left,
            )
        except subprocess.TimeoutExpired:
            return "it answers ssh but does not finish booting"
        if result.returncode == 0:
            return ""
        reason = (result.stdout + result.stderr).strip() or f"ssh ended with {result.returncode}"
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in reason:
            return "another machine answers at its address, with another host key"
        time.sleep(0.3)
    return reason


def evidence(home: pathlib.Path) -> str:
    parts = []
    console = home / "output.log"
    if console.exists():
        parts.append(f"-- end of {console}\n" + "\n".join(console.read_text(errors="replace").splitlines()[-15:]))
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
    addresses = list(machines.values())
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(machines)) as pool:
        answers = {
            # Each machine tries one other, so that a lost path between them shows.
            name: pool.submit(
                ask,
                arguments,
                name,
                [arguments.cache, f"{addresses[index - 1]}:22"],
                started + arguments.timeout,
            )
            for index, name in enumerate(machines)
        }
    failed = {name: answer.result() for name, answer in answers.items() if answer.result()}
    print(f"{len(machines) - len(failed)} of {len(machines)} machines ready after {time.monotonic() - started:.1f} s")
    for name, reason in failed.items():
        print(f"\n{name} ({machines[name]}) is not ready: {reason}\n{remedy(reason, arguments.cache)}")
        print(evidence(arguments.directory / "machines" / name))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: local_processes
author: The aurora.cluster authors (!UNKNOWN)
version_added: 0.1.0
short_description: Keep processes running in the background, with systemd or without
description:
  - Starts commands that stay in the foreground and lets them run on in the background. Where systemd is PID 1 each runs as
    a transient unit, elsewhere in a session of its own.
  - A process is known by its pid and by a mark in its environment, so that a pid that was given to another process, or
    a reboot, is never taken for it.
  - A process that runs another command than the wanted one, or whose watched files have changed since, is restarted.
options:
  processes:
    description: The processes. All of them start, or end, at once.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The process's name, and the name of its unit where there is systemd.
        type: str
        required: true
      directory:
        description:
          - Where its pid (C(process.pid)), its definition (C(process.json)) and its output (C(output.log)) are kept.
          - Made when it is missing. No two processes may share one.
        type: path
        required: true
      command:
        description: The program and its arguments. Needed when O(state=started).
        type: list
        elements: str
        default: []
      prefix:
        description:
          - Programs and arguments to put before the command.
          - Unlike the command they are no part of what defines the process, and a change of them alone restarts nothing.
        type: list
        elements: str
        default: []
      watch:
        description: Files the process reads when it starts. When their content has changed it is restarted.
        type: list
        elements: path
        default: []
      properties:
        description: Properties of the unit, name to value. Used only where systemd is PID 1.
        type: dict
        default: {}
  state:
    description: Whether the processes shall run.
    type: str
    choices: [started, stopped]
    default: started
  timeout:
    description: Seconds to wait after C(SIGTERM) until a process is killed with C(SIGKILL).
    type: int
    default: 30
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
"""

EXAMPLES = r"""
- name: Run the package cache
  aurora.cluster.local_processes:
    processes:
      - name: package-cache
        directory: /var/lib/package-cache
        command: [apt-cacher-ng, -c, /etc/package-cache, ForeGround=1]
        watch: [/etc/package-cache/acng.conf]

- name: End it
  aurora.cluster.local_processes:
    processes:
      - name: package-cache
        directory: /var/lib/package-cache
    state: stopped
"""

RETURN = r"""
started:
  description: Names of the processes that the module started, for the first time or again.
  returned: success
  type: list
  elements: str
stopped:
  description: Names of the processes that the module ended.
  returned: success
  type: list
  elements: str
"""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import time

from ansible.module_utils.basic import AnsibleModule

MARK = "AURORA_CLUSTER_PROCESS"
# The shell writes its own pid and then becomes the command, so the file is there before the command can fail.
START = 'echo $$ >"$1/process.pid" && exec >"$1/output.log" 2>&1 </dev/null && shift && exec "$@"'


def recorded_pid(directory: pathlib.Path) -> int:
    try:
        return int((directory / "process.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def running_pid(directory: pathlib.Path) -> int:
    """Return the pid of the process that was started for this directory, or 0."""
    pid = recorded_pid(directory)
    if not pid:
        return 0
    proc = pathlib.Path("/proc", str(pid))
    environment = b""
    try:
        # While a process becomes another program its environment is empty for a moment.
        for _attempt in range(10):
            state = (proc / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            environment = (proc / "environ").read_bytes()
            if environment or state in "ZX":
                break
            time.sleep(0.01)
    except OSError:
        return 0
    return pid if f"{MARK}={directory}".encode() in environment.split(b"\0") else 0


def definition(command: list[str], watch: list[str]) -> dict:
    """Return what a running process must have been started with to be the wanted one."""
    return {
        "command": command,
        "watch": {path: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in watch},
    }


def recorded_definition(directory: pathlib.Path) -> dict:
    try:
        return json.loads((directory / "process.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


class Process:
    def __init__(self, module: AnsibleModule, wish: dict) -> None:
        self.module = module
        self.name: str = wish["name"]
        self.directory = pathlib.Path(wish["directory"])
        self.prefix: list[str] = wish["prefix"]
        self.command: list[str] = wish["command"]
        self.watch: list[str] = wish["watch"]
        self.properties: dict = wish["properties"]

    def pid(self) -> int:
        return running_pid(self.directory)

    def fail(self, what: str) -> None:
        try:
            output = (self.directory / "output.log").read_text(encoding="utf-8", errors="replace")[-2000:]
        except OSError:
            output = ""
        self.module.fail_json(msg=f"{self.name}: {what}\n{output}".strip())

    def runs_as_wished(self) -> bool:
        missing = [path for path in self.watch if not os.path.exists(path)]
        if missing and not self.module.check_mode:
            self.fail(f"there is no such file to watch: {', '.join(missing)}")
        return (
            self.pid() != 0
            and not missing
            and recorded_definition(self.directory) == definition(self.command, self.watch)
        )

    def start(self) -> None:
        wanted = definition(self.command, self.watch)
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        (self.directory / "process.pid").unlink(missing_ok=True)
        (self.directory / "process.json").write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        shell = ["env", f"{MARK}={self.directory}", "sh", "-c", START, "sh", str(self.directory)]
        self.module.run_command(self.launch(shell + self.prefix + self.command), check_rc=True)

    def launch(self, argv: list[str]) -> list[str]:
        if not os.path.isdir("/run/systemd/system"):
            return ["setsid", "--fork", *argv]
        properties = {"KillMode": "mixed", **self.properties}
        return [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={self.name}.service",
            f"--description={self.name}",
            *[f"--property={name}={value}" for name, value in properties.items()],
            # systemd replaces variables in a command line; a doubled dollar sign stands for itself.
            *[argument.replace("$", "$$") for argument in argv],
        ]


def signal_all(processes: list[Process], number: int, seconds: float) -> list[Process]:
    """Send a signal and return those processes that have not ended after the given time."""
    for process in processes:
        if pid := process.pid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if process.pid()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def stop(processes: list[Process], timeout: int) -> None:
    for process in signal_all(signal_all(processes, signal.SIGTERM, timeout), signal.SIGKILL, 10):
        process.fail(f"process {process.pid()} did not end, not even after SIGKILL")


def start(processes: list[Process]) -> None:
    for process in processes:
        process.start()
    deadline = time.monotonic() + 10
    for process in processes:
        while not process.pid():
            recorded = recorded_pid(process.directory)
            if time.monotonic() >= deadline or (recorded and not process.pid()):
                process.fail("the command ended as soon as it was started")
            time.sleep(0.02)
    # What is wrong with a command line or a configuration shows at once.
    time.sleep(0.3 if processes else 0)
    for process in processes:
        if not process.pid():
            process.fail("the command ended as soon as it was started")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "processes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "directory": {"type": "path", "required": True},
                    "prefix": {"type": "list", "elements": "str", "default": []},
                    "command": {"type": "list", "elements": "str", "default": []},
                    "watch": {"type": "list", "elements": "path", "default": []},
                    "properties": {"type": "dict", "default": {}},
                },
            },
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    processes = [Process(module, wish) for wish in module.params["processes"]]
    to_start: list[Process] = []
    if module.params["state"] == "started":
        for process in processes:
            if not process.command:
                process.fail("a process that shall run needs a command")
        to_start = [process for process in processes if not process.runs_as_wished()]
        to_stop = [process for process in to_start if process.pid()]
    else:
        to_stop = [process for process in processes if process.pid()]
    if not module.check_mode:
        stop(to_stop, module.params["timeout"])
        start(to_start)
    module.exit_json(
        changed=bool(to_start or to_stop),
        started=[process.name for process in to_start],
        stopped=[process.name for process in to_stop],
    )


if __name__ == "__main__":
    main()

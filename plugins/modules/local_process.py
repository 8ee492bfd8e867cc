#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: local_process
author: The aurora.cluster authors
version_added: 0.1.0
short_description: Keep a process running in the background, with systemd or without
description:
  - Starts a command that stays in the foreground and lets it run on in the background. Where systemd is PID 1 it runs as
    a transient unit, elsewhere in a session of its own.
  - The process is known by its pid and by a mark in its environment, so that a pid that was given to another process, or
    a reboot, is never taken for it.
  - A process that runs another command than the wanted one, or whose watched files have changed since, is restarted.
options:
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
    description: The program and its arguments. Required when O(state=started).
    type: list
    elements: str
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
    description: Whether the process shall run.
    type: str
    choices: [started, stopped]
    default: started
  timeout:
    description:
      - Seconds to wait after C(SIGTERM) until the process is killed with C(SIGKILL).
      - With V(0) the module sends C(SIGTERM) and does not wait at all, which lets several processes end at once.
    type: int
    default: 60
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
  aurora.cluster.local_process:
    name: package-cache
    directory: /var/lib/package-cache
    command: [apt-cacher-ng, -c, /etc/package-cache, ForeGround=1]
    watch: [/etc/package-cache/acng.conf]

- name: End it
  aurora.cluster.local_process:
    name: package-cache
    directory: /var/lib/package-cache
    state: stopped
"""

RETURN = r"""
pid:
  description: The process, or 0 when none runs.
  returned: always
  type: int
started:
  description: Whether the module started the process, for the first time or again.
  returned: always
  type: bool
reason:
  description: Why the process was started or ended; empty when there was nothing to do.
  returned: always
  type: str
  sample: it did not run
"""

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


def running_pid(directory: pathlib.Path, proc: pathlib.Path = pathlib.Path("/proc")) -> int:
    """Return the pid of the process that was started for this directory, or 0."""
    try:
        pid = int((directory / "process.pid").read_text(encoding="ascii"))
        state = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        environment = (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return 0
    return pid if state not in "ZX" and f"{MARK}={directory}".encode() in environment else 0


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


def wait_until_gone(directory: pathlib.Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while running_pid(directory):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


class LocalProcess:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.name = module.params["name"]
        self.directory = pathlib.Path(module.params["directory"])

    def fail(self, what: str) -> None:
        try:
            output = (self.directory / "output.log").read_text(encoding="utf-8", errors="replace")[-2000:]
        except OSError:
            output = ""
        self.module.fail_json(msg=f"{self.name}: {what}\n{output}".strip())

    def stop(self, pid: int) -> None:
        timeout = self.module.params["timeout"]
        try:
            os.kill(pid, signal.SIGTERM)
            if timeout and not wait_until_gone(self.directory, timeout):
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        if timeout and not wait_until_gone(self.directory, 10):
            self.fail(f"process {pid} did not end, not even after SIGKILL")

    def start(self, wanted: dict) -> int:
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        (self.directory / "process.pid").unlink(missing_ok=True)
        (self.directory / "process.json").write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        argv = ["env", f"{MARK}={self.directory}", "sh", "-c", START, "sh", str(self.directory), *wanted["command"]]
        self.module.run_command(self.launcher() + argv, check_rc=True)
        deadline = time.monotonic() + 10
        while not (pid := running_pid(self.directory)):
            if time.monotonic() >= deadline or (self.directory / "process.pid").exists():
                self.fail("the command ended as soon as it was started")
            time.sleep(0.02)
        # What is wrong with a command line or a configuration shows at once.
        time.sleep(0.3)
        if not running_pid(self.directory):
            self.fail("the command ended as soon as it was started")
        return pid

    def launcher(self) -> list[str]:
        if not os.path.isdir("/run/systemd/system"):
            return ["setsid", "--fork"]
        properties = {"KillMode": "mixed", **self.module.params["properties"]}
        return [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={self.name}.service",
            *[f"--property={name}={value}" for name, value in properties.items()],
        ]


def run(module: AnsibleModule) -> None:
    process = LocalProcess(module)
    pid = running_pid(process.directory)
    reason = ""
    started = False
    if module.params["state"] == "stopped":
        if pid:
            reason = "it ran"
            if not module.check_mode:
                process.stop(pid)
                pid = running_pid(process.directory)
    else:
        # In check mode a watched file may not have been written yet; then the process cannot run as wanted.
        missing = [path for path in module.params["watch"] if not os.path.exists(path)]
        if missing and not module.check_mode:
            module.fail_json(msg=f"{process.name}: no such file to watch: {', '.join(missing)}")
        wanted = {} if missing else definition(module.params["command"], module.params["watch"])
        if not pid:
            reason = "it did not run"
        elif recorded_definition(process.directory) != wanted:
            reason = "it was started otherwise"
        if reason:
            started = True
            if not module.check_mode:
                if pid:
                    process.stop(pid)
                pid = process.start(wanted)
    module.exit_json(changed=bool(reason), pid=pid, started=started, reason=reason)


def main() -> None:
    run(
        AnsibleModule(
            argument_spec={
                "name": {"type": "str", "required": True},
                "directory": {"type": "path", "required": True},
                "command": {"type": "list", "elements": "str"},
                "watch": {"type": "list", "elements": "path", "default": []},
                "properties": {"type": "dict", "default": {}},
                "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
                "timeout": {"type": "int", "default": 60},
            },
            required_if=[("state", "started", ["command"])],
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()

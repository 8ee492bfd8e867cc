# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines behind the double's instances: systemd-nspawn hosts, made as roles/instances_local makes them.

They lie where the role would put them, so its entry point `absent` removes whatever is left of a set.
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[3]
MACHINE = ROOT / "roles/instances_local/files/machine.py"
MODULE = ROOT / "plugins/modules/local_processes.py"
FILTERS = ROOT / "plugins/filter/local_machines.py"
CACHE_ADDRESS = "10.63.255.1"


def run(*argv: object, **options) -> str:
    result = subprocess.run([str(part) for part in argv], check=False, capture_output=True, text=True, **options)
    if result.returncode:
        raise RuntimeError(f"{argv[0]} ended with {result.returncode}: {(result.stderr + result.stdout).strip()}")
    return result.stdout


class Hosting:
    def __init__(self, name: str, image: Path) -> None:
        if not image.is_dir():
            raise SystemExit(f"There is no image {image}.")
        self.name = name
        self.image = image
        self.directory = Path("/var/lib/aurora-cluster") / name
        asked = f"import runpy, sys; f = runpy.run_path({str(FILTERS)!r}); print(f['local_subnet'](sys.argv[1]), f['local_bridge'](sys.argv[1]))"
        self.subnet, self.bridge = run(sys.executable, "-c", asked, name).split()
        self.network = f"{self.subnet}.0/24"
        self._lock = threading.Lock()

    def home(self, row: dict) -> Path:
        return self.directory / "machines" / row["name"]

    def prepare(self, row: dict) -> None:
        """The set's bridge, and the machine's directory, image and host key."""
        with self._lock:
            if not Path("/sys/class/net", self.bridge).exists():
                mac = ":".join(
                    hashlib.sha256(self.name.encode()).hexdigest()[:10][index : index + 2] for index in range(0, 10, 2)
                )
                run("ip", "link", "add", "name", self.bridge, "address", f"02:{mac}", "type", "bridge")
            run("ip", "address", "replace", f"{self.subnet}.1/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
            address = row["nic"][0]["ipaddress"]
            run(
                sys.executable,
                MACHINE,
                "prepare",
                "--directory",
                self.directory,
                "--image",
                self.image,
                f"{row['name']}={address}",
            )
            # Only the key pair of the deployment lets a user in.
            (self.directory / "ssh_key.pub").write_text("", encoding="ascii")
        keys = self.home(row) / "upper/root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.write_text(row.get("_publickey", "").strip() + "\n", encoding="utf-8")
        keys.chmod(0o600)

    def process(self, row: dict) -> dict:
        return {
            "name": f"{self.name}-{row['name']}",
            "directory": str(self.home(row)),
            "command": [
                "unshare",
                "--mount",
                sys.executable,
                str(MACHINE),
                "run",
                f"--set={self.name}",
                f"--name={self.name}-{row['name']}",
                f"--hostname={row['name']}",
                f"--directory={self.home(row)}",
                f"--bridge={self.bridge}",
                f"--address={row['nic'][0]['ipaddress']}",
                f"--gateway={self.subnet}.1",
                f"--cache={CACHE_ADDRESS}",
                f"--memory={row['memory']}M",
                f"--cpus={row['cpunumber']}",
            ],
            "properties": {"Delegate": "yes", "TasksMax": "infinity"},
        }

    def module(self, row: dict, state: str) -> None:
        arguments = {"processes": [self.process(row)], "state": state}
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        run(sys.executable, MODULE, input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), env=environment)

    def start(self, row: dict) -> None:
        self.prepare(row)
        self.module(row, "started")

    def stop(self, row: dict) -> None:
        self.module(row, "stopped")

    def destroy(self, row: dict) -> None:
        if self.home(row).is_dir():
            self.module(row, "stopped")
            runpy.run_path(str(MACHINE))["clean_cgroups"](f"aurora-cluster/{self.name}/{row['name']}")
            shutil.rmtree(self.home(row))

# SPDX-License-Identifier: GPL-3.0-or-later
"""How long `ansible-inventory` takes for many machines, beside another plugin and a bare listing.

    python tests/bench/cloudstack_inventory.py [MACHINES …]

All read the same double of a cloud in the same run, one after another: the plugin of this collection, cold, filling its
cache and from its cache; `ngine_io.cloudstack.instance` as the community package `ansible` ships it, which is downloaded
into .cache/bench and used for nothing else; and `cs` alone, which lists and makes no inventory. Every figure is the middle
one of three runs. `--list` prints all variables of all machines, which takes Ansible longer than reading the inventory does;
`--graph` prints names, and shows what a playbook pays.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from doubles.cloudstack import Double

BENCH = ROOT / ".cache" / "bench"
PACKAGE = "ansible==14.5.0"
RUNS = 3
BARE = """
import os
from cs import CloudStack
rows = CloudStack(*(os.environ[f"CLOUDSTACK_{name}"] for name in ("ENDPOINT", "KEY", "SECRET")), timeout=60)\\
    .listVirtualMachines(listall=True, fetch_list=True)
print(len(rows))
"""


def other_plugin() -> Path:
    """A collections path that holds ngine_io.cloudstack."""
    target = BENCH / "collections"
    if not (target / "ansible_collections/ngine_io/cloudstack").is_dir():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--ignore-requires-python"]
        subprocess.run([*pip, "--only-binary=:all:", "-d", str(BENCH), PACKAGE], check=True)
        [wheel] = BENCH.glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [
                name for name in archive.namelist() if name.startswith("ansible_collections/ngine_io/cloudstack/")
            ]
            archive.extractall(target, wanted)
    return target


def fill(double: Double, machines: int) -> None:
    roles = ("zookeeper", "mesos_master", "mesos_slave", "aurora_scheduler", "devtools")
    for number in range(machines):
        address = f"10.{200 + number // 62500}.{number // 250 % 250}.{number % 250 + 2}"
        double.add_machine(f"machine-{number:05}", address=address, tags={"aurora_role": roles[number % 5]})


def measure(command: list[str], environment: dict[str, str], hosts: int, double: Double) -> dict:
    """Seconds, processor seconds, peak memory and API calls of one run, after which the machines are counted."""
    before = sum(double.cloud.calls.values())
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.DEVNULL
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    if "--list" in command:
        found = len(json.loads(text)["_meta"]["hostvars"])
    else:
        found = int(text) if text.strip().isdigit() else len(set(re.findall(r"machine-\d+", text)))
    if found != hosts:
        raise SystemExit(f"{command} found {found} of {hosts} machines")
    calls = sum(double.cloud.calls.values()) - before
    return {"s": seconds, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024, "calls": calls}


def middle(*arguments) -> dict:
    runs = [measure(*arguments) for _run in range(RUNS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def compare(machines: int, collections: Path, directory: Path) -> None:
    ours, theirs = directory / "cloudstack.yml", directory / "cloudstack-instances.yml"
    kept = directory / "cached.cloudstack.yml"
    ours.write_text("plugin: aurora.cluster.cloudstack\n")
    kept.write_text(
        "plugin: aurora.cluster.cloudstack\ncache: true\ncache_plugin: ansible.builtin.jsonfile\n"
        f"cache_connection: {directory}/cache\n"
    )
    theirs.write_text("plugin: ngine_io.cloudstack.instance\n")
    inventory = str(Path(sys.executable).parent / "ansible-inventory")
    with Double() as double:
        fill(double, machines)
        environment = {
            **double.environment(),
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.cache/collections:{collections}",
            "CLOUDSTACK_TIMEOUT": "60",
        }
        arguments = (environment, machines, double)
        show("cs alone", machines, middle([sys.executable, "-c", BARE], *arguments))
        for output in ("--list", "--graph"):
            their = middle([inventory, output, "-i", str(theirs)], *arguments)
            for name, command in {
                "cold": [str(ours)],
                "filling the cache": [str(kept), "--flush-cache"],
                "from the cache": [str(kept)],
            }.items():
                found = middle([inventory, output, "-i", *command], *arguments)
                show(f"{output}, aurora.cluster.cloudstack, {name}", machines, found, their)
            show(f"{output}, ngine_io.cloudstack.instance", machines, their, their)


def show(name: str, machines: int, found: dict, reference: dict | None = None) -> None:
    ratios = [f"{found[key] / reference[key]:5.2f}" if reference else " " * 5 for key in ("s", "cpu", "mib")]
    print(
        f"{machines:6}  {name:54} {found['s']:6.2f} {ratios[0]}  {found['cpu']:6.2f} {ratios[1]}"
        f"  {found['mib']:5.0f} {ratios[2]}  {found['calls']:4.0f}",
        flush=True,
    )


def main() -> None:
    collections = other_plugin()
    print("Seconds, processor seconds and MiB, each with its ratio to ngine_io.cloudstack.instance, and API calls")
    for machines in [int(argument) for argument in sys.argv[1:]] or [100, 1000, 10000]:
        with tempfile.TemporaryDirectory() as directory:
            compare(machines, collections, Path(directory))


if __name__ == "__main__":
    main()

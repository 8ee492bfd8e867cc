# SPDX-License-Identifier: GPL-3.0-or-later
"""How instances_local finds out which limits the kernel enforces, and sets them, on trees of files that act as the kernel's."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles/instances_local/files"
GROUP = "aurora-cluster/blue/box"
PID = f"{os.getpid()}\n"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_host = load("check_host")
machine = load("machine")


def fill(cgroup: Path, files: dict[str, str]) -> Path:
    os.makedirs(cgroup, exist_ok=True)
    for name, content in files.items():
        (cgroup / name).write_bytes(content.encode())
    return cgroup


def version_1(tree: Path, *files: str) -> Path:
    return fill(tree, {"cgroup.procs": "", **dict.fromkeys(files, "-1\n")})


def version_2(tree: Path, controllers: str, **files: str) -> Path:
    """A kernel's own root, which is the only cgroup without a type."""
    return fill(
        tree,
        {"cgroup.procs": "1\n", "cgroup.controllers": controllers, "cgroup.subtree_control": "", **files},
    )


def containers_root(tree: Path, procs: str) -> Path:
    return version_2(tree, "cpu memory", **{"cgroup.procs": procs, "cgroup.type": "domain\n"})


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Let making, writing and removing do to the test's files what they do to a kernel's. Holds the files it was built without."""
    lacks: set[str] = set()

    def mkdir(cgroup: Path, mode=0o777, parents=False, exist_ok=False):
        if cgroup.is_dir():
            return
        if not cgroup.parent.is_dir():
            cgroup.parent.mkdir()
        above = {file.name: file.read_text() for file in cgroup.parent.iterdir() if file.is_file()}
        if "cgroup.controllers" in above:
            enabled = above["cgroup.subtree_control"]
            fill(cgroup, {"cgroup.type": "domain\n", "cgroup.controllers": enabled, "cgroup.subtree_control": ""})
            fill(cgroup, dict.fromkeys({f"{name}.max" for name in enabled.split()} - lacks, "max\n"))
        else:
            fill(cgroup, above)
        fill(cgroup, {"cgroup.procs": ""})

    def write_text(file: Path, text: str, encoding=None):
        if not file.exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        cgroup = file.parent
        if file.name == "cgroup.subtree_control":
            wanted = {word.removeprefix("+") for word in text.split()}
            if not wanted <= set((cgroup / "cgroup.controllers").read_text().split()):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            assert not ((cgroup / "cgroup.type").exists() and (cgroup / "cgroup.procs").read_text()), (
                "would be no domain"
            )
            text = " ".join(sorted(wanted | set(file.read_text().split())))
            for child in cgroup.iterdir():
                if child.is_dir():
                    fill(
                        child,
                        {
                            "cgroup.controllers": text,
                            **dict.fromkeys({f"{name}.max" for name in wanted} - lacks, "max\n"),
                        },
                    )
        file.write_bytes(text.encode())

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "write_text", write_text)
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)
    return lacks


@pytest.mark.usefixtures("kernel")
def test_version_2_does(tmp_path):
    assert check_host.cgroup_state(version_2(tmp_path, "cpuset cpu io memory pids\n"), False) == ([], [])
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.usefixtures("kernel")
def test_version_1_does_too(tmp_path):
    version_1(tmp_path / "systemd")
    version_1(tmp_path / "memory", "memory.limit_in_bytes")
    version_1(tmp_path / "cpu", "cpu.cfs_quota_us")
    assert check_host.cgroup_state(tmp_path, False) == ([], [])


@pytest.mark.usefixtures("kernel")
def test_a_missing_controller_is_a_note(tmp_path):
    problems, notes = check_host.cgroup_state(version_2(tmp_path, "cpu io pids\n"), False)
    assert problems == []
    assert notes == ["this kernel offers no memory controller, so instances_local_memory is not enforced"]


def test_a_limit_that_the_kernel_was_built_without_is_a_note(tmp_path, kernel):
    kernel.add("cpu.max")
    _problems, notes = check_host.cgroup_state(version_2(tmp_path / "2", "cpu memory\n"), False)
    said = "cpu.max cannot be set below {} (No such file or directory), so instances_local_cpus is not enforced"
    assert notes == [said.format(tmp_path / "2")]

    version_1(tmp_path / "1/systemd")
    version_1(tmp_path / "1/memory", "memory.limit_in_bytes")
    version_1(tmp_path / "1/cpu", "cpu.shares")
    _problems, notes = check_host.cgroup_state(tmp_path / "1", False)
    assert notes == [said.format(tmp_path / "1/cpu").replace("cpu.max", "cpu.cfs_quota_us")]


@pytest.mark.usefixtures("kernel")
def test_a_controller_of_version_2_does_beside_version_1(tmp_path):
    version_1(tmp_path / "systemd")
    version_1(tmp_path / "cpu", "cpu.cfs_quota_us")
    assert check_host.cgroup_state(tmp_path, False)[1] == [
        "this kernel offers no memory controller, so instances_local_memory is not enforced"
    ]
    version_2(tmp_path / "unified", "memory\n")
    assert check_host.cgroup_state(tmp_path, False) == ([], [])


@pytest.mark.usefixtures("kernel")
def test_a_container_whose_processes_are_in_its_root_is_told_so(tmp_path):
    reason = f"the cgroup {tmp_path} holds processes, as it does in a container, so instances_local_"
    problems, notes = check_host.cgroup_state(containers_root(tmp_path, "1\n17\n"), False)
    assert problems == []
    assert notes == [f"{reason}cpus is not enforced", f"{reason}memory is not enforced"]
    # With its processes elsewhere it enforces what it is given.
    assert check_host.cgroup_state(containers_root(tmp_path, ""), False) == ([], [])


@pytest.mark.usefixtures("kernel")
def test_systemds_tree_is_left_to_systemd(tmp_path):
    assert check_host.cgroup_state(version_2(tmp_path, "cpu memory\n"), True) == ([], [])
    assert (tmp_path / "cgroup.subtree_control").read_text() == ""


def test_no_tree_for_systemd_is_a_problem(tmp_path):
    version_1(tmp_path / "memory", "memory.limit_in_bytes")
    (problem,), _notes = check_host.cgroup_state(tmp_path)
    assert "mount -t cgroup -o none,name=systemd" in problem


HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /srv/chroot/sys/fs/cgroup/freezer cgroup rw,freezer 0 0
"""


def test_trees_of_a_hybrid_host():
    root = Path("/sys/fs/cgroup")
    assert machine.hierarchies(HYBRID) == {
        "cpu": root / "cpu,cpuacct",
        "cpuacct": root / "cpu,cpuacct",
        "memory": root / "memory",
        "name=systemd": root / "systemd",
        "": root / "unified",
    }


def test_tree_of_a_unified_host():
    assert machine.hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n") == {"": Path("/sys/fs/cgroup")}


@pytest.fixture
def enter(kernel, monkeypatch):
    """Let a machine of 512M and half a processor enter its cgroups in trees, which are named by what they control."""

    def act(trees: dict[str, Path], current: dict[str, str] | None = None, under_systemd: bool = False) -> None:
        monkeypatch.setattr(machine, "mounted_hierarchies", lambda: trees)
        monkeypatch.setattr(machine, "own_cgroups", lambda: current or {})
        machine.enter_cgroups(GROUP, "512M", 0.5, under_systemd)

    return act


def read(tree: Path, *names: str) -> list[str]:
    return [(tree / GROUP / name).read_text() for name in names]


def test_a_machine_is_limited_in_version_1_and_is_in_every_tree(tmp_path, enter, capfd):
    memory = version_1(tmp_path / "memory", "memory.limit_in_bytes")
    cpu = version_1(tmp_path / "cpu", "cpu.cfs_period_us", "cpu.cfs_quota_us")
    freezer, unified = version_1(tmp_path / "freezer"), version_2(tmp_path / "unified", "pids\n")
    enter({"memory": memory, "cpu": cpu, "freezer": freezer, "": unified})
    assert read(memory, "memory.limit_in_bytes", "cgroup.procs") == ["512M\n", PID]
    assert read(cpu, "cpu.cfs_period_us", "cpu.cfs_quota_us", "cgroup.procs") == ["100000\n", "50000\n", PID]
    assert read(freezer, "cgroup.procs") + read(unified, "cgroup.procs") == [PID, PID]
    assert capfd.readouterr().err == ""


def test_a_machine_is_limited_in_version_2(tmp_path, enter, capfd):
    tree = version_2(tmp_path, "cpu io memory pids\n")
    enter({"": tree})
    assert read(tree, "memory.max", "cpu.max", "cgroup.procs") == ["512M\n", "50000 100000\n", PID]
    # A cgroup that holds processes must enable nothing for others.
    assert read(tree, "cgroup.subtree_control") == [""]
    assert capfd.readouterr().err == ""


def test_each_controller_is_where_it_is_mounted(tmp_path, enter):
    cpu = version_1(tmp_path / "cpu", "cpu.cfs_period_us", "cpu.cfs_quota_us")
    unified = version_2(tmp_path / "unified", "memory\n")
    enter({"cpu": cpu, "": unified})
    assert read(cpu, "cpu.cfs_quota_us") + read(unified, "memory.max") == ["50000\n", "512M\n"]


@pytest.mark.parametrize(
    ("offered", "value", "lacking"), [("cpu", "50000 100000\n", "memory"), ("memory", "512M\n", "cpu")]
)
def test_a_missing_controller_is_told_once_and_takes_no_other_limit_with_it(
    tmp_path, enter, capfd, offered, value, lacking
):
    tree = version_2(tmp_path, f"{offered}\n")
    enter({"": tree})
    assert read(tree, f"{offered}.max", "cgroup.procs") == [value, PID]
    (told,) = capfd.readouterr().err.splitlines()
    assert told == f"machine: cannot set {tree}/cgroup.subtree_control to +{lacking}: No such file or directory"


def test_a_container_whose_processes_are_in_its_root_still_runs_machines(tmp_path, enter, capfd):
    tree = containers_root(tmp_path, "1\n17\n")
    enter({"": tree})
    assert read(tree, "cgroup.procs", "cgroup.controllers") == [PID, ""]
    assert capfd.readouterr().err == f"machine: {tree} holds processes, so nothing below it can be limited\n"


def test_what_systemd_did_for_the_unit_stays(tmp_path, enter):
    memory, freezer = version_1(tmp_path / "memory", "memory.limit_in_bytes"), version_1(tmp_path / "freezer")
    enter({"memory": memory, "freezer": freezer}, {"memory": "/system.slice/blue-box.service", "freezer": "/"}, True)
    assert not (memory / "aurora-cluster").exists()
    assert read(freezer, "cgroup.procs") == [PID]
